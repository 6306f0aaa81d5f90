// Round trips through BullMQ: requester.mjs HOST PORT IN_FLIGHT TRIPS
import { Queue, QueueEvents } from "bullmq";

const [host, port, inFlight, trips] = process.argv.slice(2);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
const events = new QueueEvents("bench", { connection });
await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);

// As the other requesters: each of so many goes round again when it has its result.
async function loop(callers, each) {
  const samples = [];
  const began = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let n = 0; n < each; n++) {
        const from = performance.now();
        // Not removed at once: waitUntilFinished may look for the job after its end.
        const job = await queue.add("task", {}, { removeOnComplete: 1000 });
        await job.waitUntilFinished(events);
        samples.push(performance.now() - from);
      }
    }),
  );
  return { samples, seconds: (performance.now() - began) / 1e3 };
}

function quantile(sorted, q) {
  return sorted[Math.max(Math.ceil(q * sorted.length), 1) - 1];
}

await loop(Number(inFlight), 1);
const { samples, seconds } = await loop(Number(inFlight), Math.floor(Number(trips) / Number(inFlight)));
samples.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    trips: samples.length,
    median_ms: quantile(samples, 0.5),
    p99_ms: quantile(samples, 0.99),
    rate: samples.length / seconds,
  }),
);
process.exit(0);

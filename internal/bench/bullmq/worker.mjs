// A BullMQ worker that has nothing to do: worker.mjs HOST PORT CONCURRENCY
import { Worker } from "bullmq";

const [host, port, concurrency] = process.argv.slice(2);
const worker = new Worker("bench", async () => "done", {
  connection: { host, port: Number(port), maxRetriesPerRequest: null },
  concurrency: Number(concurrency),
});
await worker.waitUntilReady();
console.log(JSON.stringify({ msg: "role is ready" }));

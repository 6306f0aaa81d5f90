// What the tests share: which gateway they call (GATEWAY_URL, without /v1, and GATEWAY_KEY), and how a picture looks.
import assert from "node:assert/strict";
import OpenAI from "openai";

export const { GATEWAY_URL: url, GATEWAY_KEY: apiKey } = process.env;
export const model = "Z-Image";

// Prompts that the simulated upstream knows: it refuses the one for good, and takes its time over the other.
export const refused = "please refuse this";
export const slow = "a slow picture";

// The Markdown of exactly one picture with an absolute URL.
export const onePicture = /^!\[[^\]\n]*\]\(https?:\/\/[^()\s]+\)$/;

export const newClient = (baseURL = `${url}/v1`) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });

export const user = (content) => [{ role: "user", content }];

const magic = { png: "89504e470d0a1a0a", jpeg: "ffd8ff" };

// assertPicture checks bytes, or base64 of bytes without a data: prefix.
export function assertPicture(data, format = "png") {
  if (typeof data === "string") {
    assert.match(data, /^[A-Za-z0-9+/]+={0,2}$/);
    data = Buffer.from(data, "base64");
  }
  assert.ok(data.length > 100, `${data.length} bytes are no picture`);
  assert.ok(Buffer.from(data).toString("hex", 0, 8).startsWith(magic[format]), `not ${format}`);
}

export async function assertLink(link, format = "png") {
  const reply = await fetch(link);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get("content-type"), `image/${format}`);
  assertPicture(new Uint8Array(await reply.arrayBuffer()), format);
}

// all reads a stream to its end.
export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

// until repeats ask until its answer fits.
export async function until(ask, fits) {
  for (const end = Date.now() + 20_000; ; ) {
    const answer = await ask();
    if (fits(answer)) return answer;
    assert.ok(Date.now() < end, `waited in vain, last: ${JSON.stringify(answer)}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

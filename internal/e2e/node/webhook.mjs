// Reads a delivery ({body, headers, secret, other}) from standard input and has the official client verify it, with the
// secret and with another one. Prints the event, and how the other secret was refused, as JSON.
import { text } from "node:stream/consumers";
import OpenAI from "openai";

const { body, headers, secret, other } = JSON.parse(await text(process.stdin));
const client = new OpenAI({ apiKey: "unused" });
const event = await client.webhooks.unwrap(body, headers, secret);
const refused = await client.webhooks.unwrap(body, headers, other).then(() => "no", (e) => e.constructor.name);
console.log(JSON.stringify({ event, refused }));

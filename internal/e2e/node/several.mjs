// Plain chat calls, all at once, one for each argument: the prompt. The official client makes them as it comes, its retries
// included. Prints what each caller gets, as JSON.
import OpenAI from "openai";
import { apiKey, model, url, user } from "./gateway.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const contents = await Promise.all(process.argv.slice(2).map(async (prompt) => {
  const reply = await client.chat.completions.create({ model, messages: user(prompt) });
  return reply?.choices?.[0]?.message?.content ?? "";
}));
console.log(JSON.stringify(contents));

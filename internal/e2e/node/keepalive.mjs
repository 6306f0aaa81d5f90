// One plain chat call with the official client as it comes, its retries included. Prints what its caller gets, as JSON.
import OpenAI from "openai";
import { apiKey, model, url, user } from "./gateway.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
try {
  const reply = await client.chat.completions.create({ model, messages: user("a cat") });
  console.log(JSON.stringify({ content: reply?.choices?.[0]?.message?.content ?? "" }));
} catch (e) {
  console.log(JSON.stringify({ error: e.constructor.name, status: e.status, code: e.code, message: e.message }));
}

// The Vercel AI SDK: its present line (ai 7) and the one before (ai 6), with the provider for compatible services and with
// OpenAI's own, which speaks the Responses API.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as ai7 from "ai";
import * as ai6 from "ai6";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible as compatible3 } from "@ai-sdk/openai-compatible";
import { createOpenAICompatible as compatible2 } from "oc2";
import { apiKey, assertPicture, model as id, onePicture, refused, url } from "./gateway.mjs";

const maxRetries = 0;
const prompt = "a cat";

// The SDK fetches no picture from a private address unless it is the gateway's own, and the simulated upstream has no
// other: so it gets a name here.
const named = "http://pictures.example:";
async function renamed(link, init) {
  const reply = await fetch(String(link).replace(named, "http://127.0.0.1:"), init);
  if (!reply.headers.get("content-type")?.includes("json")) return reply;
  return new Response((await reply.text()).replaceAll("http://127.0.0.1:", named), reply);
}

const wantImages = ({ images }, n) => {
  assert.equal(images.length, n);
  for (const image of images) assertPicture(image.uint8Array);
};

// wantText generates text and streams it.
async function wantText(ai, ask) {
  const whole = await ai.generateText({ ...ask, maxRetries });
  assert.match(whole.text, onePicture);
  assert.equal(whole.finishReason, "stop");
  const stream = ai.streamText({ ...ask, maxRetries, onError() {} });
  let text = "";
  for await (const delta of stream.textStream) text += delta;
  assert.match(text, onePicture);
  assert.equal(await stream.finishReason, "stop");
  return whole;
}

// wantErrors checks a refusal before and after a stream has begun.
async function wantErrors(ai, model) {
  await assert.rejects(ai.generateText({ model, prompt: refused, maxRetries }), (e) => e.statusCode === 400 && /refuse/.test(e.message));
  const errors = [];
  const stream = ai.streamText({ model, prompt: refused, maxRetries, onError: ({ error }) => errors.push(error) });
  await stream.consumeStream({ onError() {} });
  assert.equal(errors.length, 1);
  assert.match(JSON.stringify(errors[0]) + errors[0]?.message, /refuse/);
}

const lines = {
  "ai 7, openai-compatible 3": [ai7, compatible3({ name: "gateway", baseURL: `${url}/v1`, apiKey, includeUsage: true, fetch: renamed })],
  "ai 6, openai-compatible 2": [ai6, compatible2({ name: "gateway", baseURL: url, apiKey, includeUsage: true })],
};
for (const [name, [ai, gateway]] of Object.entries(lines)) {
  describe(name, { concurrency: true }, () => {
    for (const n of [1, 2]) {
      test(`generateImage of ${n}`, async () => {
        wantImages(await ai.generateImage({ model: gateway.imageModel("gpt-image-1"), prompt, n, size: "256x256", maxRetries }), n);
      });
    }
    test("generateImage of a model that answers with links", async () => {
      wantImages(await ai.generateImage({ model: gateway.imageModel(id), prompt, size: "256x256", maxRetries }), 1);
    });
    test("chat model", () => wantText(ai, { model: gateway.chatModel(id), prompt }));
    test("chat model by <id>:image", async () => {
      assert.equal((await ai.generateText({ model: gateway.chatModel(`${id}:image`), prompt, maxRetries })).text, "");
    });
    test("errors", () => wantErrors(ai, gateway.chatModel(id)));
  });
}

describe("ai 7, @ai-sdk/openai", { concurrency: true }, () => {
  const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey });
  const tools = { image_generation: openai.tools.imageGeneration({ size: "256x256", quality: "low", outputFormat: "png" }) };

  test("responses", () => wantText(ai7, { model: openai(id), prompt }));

  test("responses with the image tool", async () => {
    const whole = await wantText(ai7, { model: openai(id), prompt, tools });
    const results = whole.staticToolResults.filter((r) => r.toolName === "image_generation");
    assert.equal(results.length, 1);
    assertPicture(results[0].output.result);
  });

  test("the image tool, streamed", async () => {
    const results = [];
    for await (const part of ai7.streamText({ model: openai(id), prompt, tools, maxRetries }).fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "tool-result") results.push(part);
    }
    assert.equal(results.length, 1);
    assertPicture(results[0].output.result);
  });

  test("errors of responses", () => wantErrors(ai7, openai(id)));
  test("chat", () => wantText(ai7, { model: openai.chat(id), prompt }));
  test("errors of chat", () => wantErrors(ai7, openai.chat(id)));

  for (const name of ["gpt-image-1", "dall-e-3", id]) {
    test(`image of ${name}`, async () => {
      wantImages(await ai7.generateImage({ model: openai.image(name), prompt, n: 2, size: "256x256", maxRetries }), 2);
    });
  }
});

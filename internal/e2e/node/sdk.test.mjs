// The official JavaScript client's chat, models and errors, under both base URLs.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { all, apiKey, assertLink, model, newClient, onePicture, refused, url, user } from "./gateway.mjs";

const messages = user("一只可爱的小狗，16:9");

for (const baseURL of [url, `${url}/v1`]) {
  const client = newClient(baseURL);

  describe(`base URL ${baseURL.endsWith("/v1") ? "with" : "without"} /v1`, { concurrency: true }, () => {
    test("chat.completions.create", async () => {
      const reply = await client.chat.completions.create({ model, messages });
      assert.match(reply.choices[0].message.content, onePicture);
      assert.equal(reply.choices[0].finish_reason, "stop");
      assert.equal(reply.object, "chat.completion");
      assert.equal(reply.usage.total_tokens, 0);
    });

    test("streaming iteration", async () => {
      const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
      let content = "", finish, usage, role;
      for await (const chunk of stream) {
        role ??= chunk.choices[0]?.delta.role;
        content += chunk.choices[0]?.delta.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      assert.equal(role, "assistant");
      assert.match(content, onePicture);
      assert.equal(finish, "stop");
      assert.equal(usage.total_tokens, 0);
    });

    test("chat.completions.stream", async () => {
      const stream = client.chat.completions.stream({ model, messages });
      assert.match(await stream.finalContent(), onePicture);
    });

    test("models", async () => {
      const ids = (await all(client.models.list())).map((m) => m.id);
      assert.deepEqual(ids.sort(), [model, "dall-e-3", "gpt-image-1"].sort());
      for (const id of ids) assert.equal((await client.models.retrieve(id)).owned_by, "sd-exacg-gateway");
    });

    test("typed errors", async () => {
      const stranger = new OpenAI({ baseURL, apiKey: "sk-nobody", maxRetries: 0 });
      await assert.rejects(stranger.chat.completions.create({ model, messages }), (e) =>
        e instanceof AuthenticationError && e.code === "invalid_api_key" && typeof e.requestID === "string");
      await assert.rejects(client.images.generate({ model, prompt: "a cat", size: "9999x9999" }), (e) =>
        e instanceof BadRequestError && e.code === "invalid_value" && e.param === "size");
      await assert.rejects(client.chat.completions.create({ model: "gpt-9", messages }), (e) =>
        e instanceof NotFoundError && e.code === "model_not_found");
      await assert.rejects(client.chat.completions.create({ model, messages: user(refused) }), (e) =>
        e instanceof BadRequestError && e.code === "upstream_rejected");
    });
  });
}

describe("chat", { concurrency: true }, () => {
  const client = newClient();

  const wantImages = async (message) => {
    assert.ok(!message.content, "the picture must not be in the text as well");
    assert.equal(message.images.length, 1);
    assert.equal(message.images[0].type, "image_url");
    await assertLink(message.images[0].image_url.url);
  };

  test("modalities and <id>:image put the picture in message.images", async () => {
    for (const ask of [{ model, modalities: ["text", "image"] }, { model: `${model}:image` }]) {
      const reply = await client.chat.completions.create({ ...ask, messages });
      assert.equal(reply.choices[0].finish_reason, "stop");
      await wantImages(reply.choices[0].message);
    }
  });

  test("modalities and <id>:image put the picture in delta.images", async () => {
    for (const ask of [{ model, modalities: ["image", "text"] }, { model: `${model}:image` }]) {
      const chunks = await all(await client.chat.completions.create({ ...ask, messages, stream: true }));
      const deltas = chunks.map((c) => c.choices[0]?.delta ?? {});
      await wantImages({ content: deltas.map((d) => d.content ?? "").join(""), images: deltas.flatMap((d) => d.images ?? []) });
      assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    }
  });

  test("n choices", async () => {
    const reply = await client.chat.completions.create({ model, messages, n: 3 });
    assert.deepEqual(reply.choices.map((c) => c.index), [0, 1, 2]);
    for (const choice of reply.choices) assert.match(choice.message.content, onePicture);
    assert.equal(new Set(reply.choices.map((c) => c.message.content)).size, 3);
  });

  test("n choices, streamed", async () => {
    const reply = await client.chat.completions.stream({ model, messages, n: 3 }).finalChatCompletion();
    assert.deepEqual(reply.choices.map((c) => c.index), [0, 1, 2]);
    for (const choice of reply.choices) assert.match(choice.message.content, onePicture);
  });

  test("content parts", async () => {
    const reply = await client.chat.completions.create({
      model, messages: user([{ type: "text", text: "a cat" }, { type: "text", text: "on a roof, 1:2" }]),
    });
    assert.match(reply.choices[0].message.content, /^!\[a cat on a roof\]\(http/);
  });

  test("an error in mid-stream is thrown", async () => {
    const stream = await client.chat.completions.create({ model, messages: user(refused), stream: true });
    await assert.rejects(all(stream), (e) => e instanceof APIError && e.code === "upstream_rejected" && e.message !== "");
    await assert.rejects(client.chat.completions.stream({ model, messages: user(refused) }).finalContent(), APIError);
  });

  test("no parameter of the API is an error", async () => {
    const weather = { name: "weather", description: "the weather", parameters: { type: "object", properties: {} } };
    const body = {
      model, messages: [{ role: "system", content: "You draw." }, { role: "developer", content: "Well." }, ...messages],
      n: null, seed: null, size: "auto", quality: null, modalities: ["text"], stream: false, stream_options: null,
      audio: null, prediction: null, moderation: null, frequency_penalty: 0.5, presence_penalty: -0.5,
      temperature: 0.7, top_p: 0.9, logit_bias: { 50256: -100 }, logprobs: true, top_logprobs: 2, max_tokens: 4096,
      max_completion_tokens: 4096, stop: ["\n", "END"], metadata: { team: "art" }, user: "u-1", safety_identifier: "s-1",
      prompt_cache_key: "k-1", prompt_cache_retention: "24h", prompt_cache_options: { mode: "implicit" }, service_tier: "auto", store: true,
      reasoning_effort: "low", verbosity: "low", web_search_options: { search_context_size: "low" },
      response_format: { type: "json_schema", json_schema: { name: "picture", strict: true, schema: { type: "object", properties: {} } } },
      tools: [], tool_choice: "none", parallel_tool_calls: false, functions: [weather], function_call: "none",
    };
    for (const more of [{}, { tools: [{ type: "function", function: weather }], tool_choice: "auto", stop: null, max_tokens: null }]) {
      const reply = await client.chat.completions.create({ ...body, ...more });
      assert.match(reply.choices[0].message.content, onePicture);
    }
  });
});

// The official JavaScript client against a running gateway: GATEWAY_URL (without /v1) and GATEWAY_KEY say which.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from "openai";

const { GATEWAY_URL: url, GATEWAY_KEY: apiKey } = process.env;
const onePicture = /^!\[[^\]\n]*\]\(https?:\/\/[^()\s]+\)$/;
const messages = [{ role: "user", content: "一只可爱的小狗，16:9" }];
const model = "Z-Image";

for (const baseURL of [url, `${url}/v1`]) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

  describe(`base URL ${baseURL.endsWith("/v1") ? "with" : "without"} /v1`, { concurrency: true }, () => {
    test("chat.completions.create", async () => {
      const reply = await client.chat.completions.create({ model, messages });
      assert.match(reply.choices[0].message.content, onePicture);
      assert.equal(reply.choices[0].finish_reason, "stop");
      assert.equal(reply.object, "chat.completion");
      assert.equal(reply.usage.total_tokens, 0);
    });

    test("images.generate", async () => {
      const reply = await client.images.generate({ model, prompt: "a cat", n: 2, size: "512x512", response_format: "url" });
      assert.equal(reply.data.length, 2);
      for (const image of reply.data) {
        const picture = await fetch(image.url);
        assert.equal(picture.status, 200);
        assert.equal(picture.headers.get("content-type"), "image/png");
        await picture.arrayBuffer();
      }
    });

    test("null means absent", async () => {
      const reply = await client.images.generate({ model, prompt: "a cat", n: null, size: "auto", seed: null, quality: null });
      assert.equal(reply.data.length, 1);
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
      const ids = [];
      for await (const m of client.models.list()) ids.push(m.id);
      assert.deepEqual(ids, [model]);
      assert.equal((await client.models.retrieve(model)).owned_by, "sd-exacg-gateway");
    });

    test("typed errors", async () => {
      const stranger = new OpenAI({ baseURL, apiKey: "sk-nobody", maxRetries: 0 });
      await assert.rejects(stranger.chat.completions.create({ model, messages }), (e) =>
        e instanceof AuthenticationError && e.code === "invalid_api_key" && typeof e.requestID === "string");
      await assert.rejects(client.images.generate({ model, prompt: "a cat", size: "9999x9999" }), (e) =>
        e instanceof BadRequestError && e.code === "invalid_value" && e.param === "size");
      await assert.rejects(client.chat.completions.create({ model: "gpt-9", messages }), (e) =>
        e instanceof NotFoundError && e.code === "model_not_found");
    });
  });
}

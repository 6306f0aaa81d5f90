// The official JavaScript client's images.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APIError, BadRequestError } from "openai";
import { all, assertLink, assertPicture, model, newClient, refused, url } from "./gateway.mjs";

const client = newClient();
const prompt = "a cat";
const size = "256x256";

describe("images", { concurrency: true }, () => {
  test("url, under both base URLs", async () => {
    for (const baseURL of [url, `${url}/v1`]) {
      const reply = await newClient(baseURL).images.generate({ model, prompt, n: 2, size: "512x512", response_format: "url" });
      assert.equal(reply.data.length, 2);
      assert.ok(Number.isInteger(reply.created));
      for (const image of reply.data) {
        assert.ok(!("b64_json" in image));
        await assertLink(image.url);
      }
    }
  });

  test("b64_json", async () => {
    const reply = await client.images.generate({ model, prompt, n: 2, size, response_format: "b64_json" });
    assert.equal(reply.data.length, 2);
    for (const image of reply.data) {
      assert.ok(!("url" in image));
      assertPicture(image.b64_json);
    }
  });

  test("without response_format the name decides", async () => {
    const named = async (name) => (await client.images.generate({ model: name, prompt, size })).data[0];
    for (const name of [model, "dall-e-3"]) {
      const image = await named(name);
      assert.ok(image.url && !("b64_json" in image), `${name}: ${Object.keys(image)}`);
    }
    const image = await named("gpt-image-1");
    assert.ok(!("url" in image), Object.keys(image).join());
    assertPicture(image.b64_json);
  });

  test("output_format jpeg", async () => {
    const reply = await client.images.generate({ model, prompt, size, response_format: "b64_json", output_format: "jpeg" });
    assertPicture(reply.data[0].b64_json, "jpeg");
  });

  test("stream", async () => {
    const stream = await client.images.generate({ model, prompt, size, stream: true, partial_images: 2 });
    const events = await all(stream);
    assert.deepEqual(events.map((e) => e.type), ["image_generation.completed"]);
    assertPicture(events[0].b64_json);
    assert.ok(Number.isInteger(events[0].created_at));
  });

  test("stream of several", async () => {
    const events = await all(await client.images.generate({ model: "gpt-image-1", prompt, size, n: 2, stream: true }));
    assert.deepEqual(events.map((e) => e.type), ["image_generation.completed", "image_generation.completed"]);
    for (const event of events) assertPicture(event.b64_json);
  });

  test("errors", async () => {
    await assert.rejects(client.images.generate({ model, prompt: refused }), (e) =>
      e instanceof BadRequestError && e.code === "upstream_rejected");
    await assert.rejects(client.images.generate({ model, prompt: refused, response_format: "b64_json" }), BadRequestError);
    const stream = await client.images.generate({ model, prompt: refused, stream: true });
    await assert.rejects(all(stream), (e) => e instanceof APIError && e.code === "upstream_rejected" && e.message !== "");
    const image = await fetch((await client.images.generate({ model, prompt, size })).data[0].url);
    await assert.rejects(client.images.edit({ model, prompt, image }), BadRequestError); // this model cannot edit
  });

  test("null means absent", async () => {
    const reply = await client.images.generate({ model, prompt, n: null, size: "auto", seed: null, quality: null });
    assert.equal(reply.data.length, 1);
  });

  test("no parameter of the API is an error", async () => {
    const body = {
      model, prompt, n: 1, size, quality: "auto", style: "vivid", user: "u-1", background: "transparent", moderation: "low",
      output_compression: 80, output_format: "png", partial_images: 0, stream: false, response_format: "url", safety_identifier: "s-1",
      complexity: "low", frame_count: null, frame_duration_ms: null, svg: null, input_fidelity: "high",
    };
    for (const more of [{}, { quality: "hd", style: "natural", background: "auto", moderation: "auto" }, { quality: "standard", size: "" }]) {
      const reply = await client.images.generate({ ...body, ...more });
      assert.equal(reply.data.length, 1);
    }
    const nulls = Object.fromEntries(Object.keys(body).map((name) => [name, null]));
    assert.equal((await client.images.generate({ ...nulls, prompt })).data.length, 1);
  });
});

// The official JavaScript client's Responses API.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APIError, BadRequestError, NotFoundError } from "openai";
import { all, assertPicture, model, newClient, onePicture, refused, slow, until, url } from "./gateway.mjs";

const client = newClient();
const tools = [{ type: "image_generation", size: "256x256", quality: "low" }];

// wantDrawn checks a response that has come to its good end.
function wantDrawn(response) {
  assert.equal(response.object, "response");
  assert.equal(response.status, "completed");
  assert.equal(response.error, null);
  assert.deepEqual(response.output.map((item) => item.type), ["image_generation_call", "message"]);
  const [picture, message] = response.output;
  assert.equal(picture.status, "completed");
  assertPicture(picture.result);
  assert.equal(message.role, "assistant");
  assert.match(message.content[0].text, onePicture);
  assert.equal(response.output_text, message.content[0].text);
}

const unfinished = ({ status }) => status === "queued" || status === "in_progress";
const finished = (id) => until(() => client.responses.retrieve(id), (response) => !unfinished(response));

describe("responses", { concurrency: true }, () => {
  test("string input, under both base URLs", async () => {
    for (const baseURL of [url, `${url}/v1`]) wantDrawn(await newClient(baseURL).responses.create({ model, input: "a cat", tools }));
  });

  test("string input without the tool", async () => {
    wantDrawn(await client.responses.create({ model, input: "a cat, 1:1" }));
  });

  test("message input", async () => {
    const response = await client.responses.create({
      model, tools, instructions: "You draw.",
      input: [
        { role: "user", content: "a dog" },
        { type: "message", role: "assistant", content: [{ type: "output_text", text: "![a dog](https://example.com/a.png)", annotations: [] }] },
        { role: "user", content: [{ type: "input_text", text: "a cat" }, { type: "input_text", text: "on a roof" }] },
      ],
    });
    wantDrawn(response);
    assert.match(response.output_text, /^!\[a cat on a roof\]/);
  });

  test("background, then polling", async () => {
    const { data: queued, response } = await client.responses.create({ model, input: "a cat", tools, background: true }).withResponse();
    assert.equal(queued.status, "queued");
    assert.equal(queued.background, true);
    assert.deepEqual(queued.output, []);
    assert.match(queued.id, /^resp_/);
    assert.match(response.headers.get("openai-poll-after-ms") ?? "", /^[1-9]\d*$/);
    const done = await finished(queued.id);
    assert.equal(done.id, queued.id);
    wantDrawn(done);
  });

  test("a response that was waited for can be retrieved", async () => {
    const drawn = await client.responses.create({ model, input: "a cat", tools });
    const again = await client.responses.retrieve(drawn.id);
    wantDrawn(again);
    assert.equal(again.output[0].id, drawn.output[0].id);
    await assert.rejects(client.responses.retrieve("resp_nothing"), NotFoundError);
  });

  test("cancel", async () => {
    const queued = await client.responses.create({ model, input: slow, tools, background: true });
    const cancelled = await client.responses.cancel(queued.id);
    assert.equal(cancelled.id, queued.id);
    const end = await finished(queued.id);
    assert.equal(end.status, "cancelled");
    assert.deepEqual(end.output, []);
    assert.equal((await client.responses.cancel(queued.id)).status, "cancelled");
  });

  test("cancel of what is finished changes nothing", async () => {
    const drawn = await client.responses.create({ model, input: "a cat", tools });
    const { output_text } = drawn; // which the client adds to all but this call
    wantDrawn({ ...(await client.responses.cancel(drawn.id)), output_text });
  });

  test("stream: true", async () => {
    const events = await all(await client.responses.create({ model, input: "a cat", tools, stream: true }));
    assert.equal(events[0].type, "response.created");
    assert.deepEqual(events[0].response.output, []);
    events.forEach((event, i) => assert.equal(event.sequence_number, events[0].sequence_number + i));
    const last = events.at(-1);
    assert.equal(last.type, "response.completed");
    assert.equal(last.response.id, events[0].response.id);
    const deltas = events.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join("");
    assert.match(deltas, onePicture);
    wantDrawn({ ...last.response, output_text: deltas });
  });

  test("responses.stream", async () => {
    wantDrawn(await client.responses.stream({ model, input: "a cat", tools }).finalResponse());
  });

  test("a failure in mid-stream is the last event", async () => {
    const stream = await client.responses.create({ model, input: refused, tools, stream: true });
    const last = (await all(stream)).at(-1);
    assert.equal(last.type, "response.failed");
    assert.equal(last.response.status, "failed");
    assert.equal(last.response.error.code, "upstream_rejected");
    assert.equal(typeof last.response.error.message, "string");
  });

  test("errors", async () => {
    await assert.rejects(client.responses.create({ model, input: refused, tools }), (e) =>
      e instanceof BadRequestError && e.code === "upstream_rejected");
    await assert.rejects(client.responses.create({ model: "gpt-9", input: "a cat" }), (e) =>
      e instanceof NotFoundError && e.code === "model_not_found");
    await assert.rejects(client.responses.create({ model, tools }), (e) =>
      e instanceof APIError && e.status === 400 && e.param === "input");
    const queued = await client.responses.create({ model, input: refused, background: true });
    const failed = await finished(queued.id);
    assert.equal(failed.status, "failed");
    assert.equal(failed.error.code, "upstream_rejected");
    assert.deepEqual(failed.output, []);
  });

  test("no parameter of the API is an error", async () => {
    const response = await client.responses.create({
      model, input: "a cat", stream: false, background: false, store: true, include: ["message.output_text.logprobs"], instructions: null,
      max_output_tokens: 1000, max_tool_calls: 1, metadata: { team: "art" }, parallel_tool_calls: true, previous_response_id: null,
      conversation: null, prompt: null, prompt_cache_key: "k-1", prompt_cache_retention: "24h", reasoning: { effort: "low" },
      safety_identifier: "s-1", service_tier: "auto", stream_options: null, temperature: 1, top_p: 1, top_logprobs: 0,
      text: { format: { type: "text" }, verbosity: "low" }, truncation: "disabled", user: "u-1",
      tool_choice: { type: "image_generation" },
      tools: [{
        ...tools[0], action: "generate", background: "auto", input_fidelity: "low", model: "gpt-image-1", moderation: "auto",
        output_compression: 100, output_format: "png", partial_images: 0,
      }, { type: "web_search" }],
    });
    wantDrawn(response);
  });
});

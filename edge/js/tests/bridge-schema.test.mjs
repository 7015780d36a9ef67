// The schema is the one source: the documents follow it, and so does every message that the page sends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { METHODS } from "../bridge/schema.js";
import { problem } from "../bridge/validate.js";
import { readme, schema, written } from "./bridge-docs.mjs";
import { ASK, MODEL, FakeSprat, bridged } from "./bridge-fakes.mjs";

test("the documents say what the schema says (else run edge/js/tests/bridge-docs.mjs)", () => {
  assert.equal(written().schema, schema());
  assert.equal(written().readme, readme());
});

test("the schema uses only what the validator knows", () => {
  const known = ["type", "description", "enum", "minLength", "maxLength", "minimum", "maximum", "items", "minItems", "maxItems"];
  known.push("properties", "required", "additionalProperties", "maxProperties", "anyOf");
  const walk = (schema) => {
    for (const key of Object.keys(schema)) assert.ok(known.includes(key), key);
    if (schema.type === "object" && schema.properties) assert.equal(schema.additionalProperties, false);
    const inner = [schema.items, ...(schema.anyOf ?? []), ...Object.values(schema.properties ?? {})];
    if (typeof schema.additionalProperties === "object") inner.push(schema.additionalProperties);
    inner.filter(Boolean).forEach(walk);
  };
  for (const { params, result } of METHODS.values()) [params, result].filter(Boolean).forEach(walk);
});

test("what the page sends fits the schema too", async () => {
  const { host, engine } = bridged({
    engine: async (options) => {
      options.onProgress({ stage: "download", loaded: 1, total: 0, message: "" });
      options.onWarning({ code: "storage_refused", message: "y" });
      options.onStatus({ state: "loading", device: null, model: null });
      return (fake = new FakeSprat(options));
    },
  });
  let fake;
  const results = { "sprat.load": await host.call("sprat.load", { model: MODEL, hostFetch: true, hostAsk: true }) };
  assert.equal(engine(), undefined);
  const chat = host.call("sprat.chat", { messages: ASK }, "c");
  fake.options.cloudFetch({ url: "https://api.example/v1", body: "{}" }).catch(() => {});
  const { id } = host.heard.findLast(({ method }) => method === "host.fetch");
  host.say({ jsonrpc: "2.0", id, result: { status: 200 } });
  host.notify("host.fetch.chunk", { id, seq: 7, data: "" });
  fake.answers[0].options.onAsk({ to: "https://api.example/v1", model: "m", reason: "", messages: ASK, stop: ["x"] });
  fake.answers[0].delta("a");
  fake.answers[0].end();
  results["sprat.chat"] = await chat;
  results["sprat.adapt"] = await host.call("sprat.adapt", { adapter: "lora/", scale: 0.5 });
  results["sprat.save"] = await host.call("sprat.save", { name: "n", messages: ASK, level: "ask" });
  results["sprat.restore"] = await host.call("sprat.restore", { name: "n" });
  results["sprat.status"] = await host.call("sprat.status");
  results["sprat.stop"] = await host.call("sprat.stop", { id: 1 });
  results["sprat.memoryWarning"] = await host.call("sprat.memoryWarning", { level: "critical" });
  results["sprat.dispose"] = await host.call("sprat.dispose");
  for (const [name, { result }] of Object.entries(results)) assert.equal(problem(METHODS.get(name).result, result, name), null);
  const sent = host.heard.filter(({ method }) => method);
  for (const { method, params } of sent) assert.equal(problem(METHODS.get(method).params, params, method), null);
  const names = new Set(sent.map(({ method }) => method));
  const expected = [...METHODS.values()].filter(({ from, name }) => from === "page" && name !== "host.fetch.ack");
  for (const { name } of expected) assert.ok(names.has(name), `${name} was never sent`);
});

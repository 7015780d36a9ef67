import assert from "node:assert/strict";
import { test } from "node:test";
import { foreignHost, readParams } from "../js/params.js";

test("usual addresses are made absolute", () => {
  const params = readParams("http://h:1/chat/?x=1#y");
  assert.deepEqual(params, {
    device: "auto", cloud: "http://h:1/v1", model: "http://h:1/chat/models/sprat-tiny/", bundled: false, problems: [],
  });
});

test("the address can choose device, cloud and model", () => {
  const params = readParams("http://h/?device=cpu&cloud=off&model=https://m.example/p");
  assert.deepEqual(params, { device: "cpu", cloud: null, model: "https://m.example/p/", bundled: false, problems: [] });
  assert.equal(readParams("http://h/?cloud=http://127.0.0.1:9/v1/").cloud, "http://127.0.0.1:9/v1");
});

test("a page that an app brings along has usual values of its own", () => {
  const own = { cloud: "off", device: "cpu", model: "bundled" };
  assert.deepEqual(readParams("file:///a/b.html", own), {
    device: "cpu", cloud: null, model: "file:///a/models/sprat-tiny/", bundled: true, problems: [],
  });
  const other = readParams("file:///a/b.html?cloud=http://h/v1&model=https://m.example/p", own);
  assert.deepEqual([other.cloud, other.model, other.bundled], ["http://h/v1", "https://m.example/p/", false]);
});

test("what the address gets wrong is said and not followed", () => {
  const params = readParams("http://h/?device=tpu&cloud=javascript:alert(1)&model=http://[");
  assert.equal(params.device, "auto");
  assert.equal(params.cloud, "http://h/v1");
  assert.equal(params.model, "http://h/models/sprat-tiny/");
  assert.equal(params.problems.length, 3);
});

test("a cloud of another origin is named", () => {
  assert.equal(foreignHost("http://h/v1", "http://h/"), null);
  assert.equal(foreignHost(null, "http://h/"), null);
  assert.equal(foreignHost("http://h:8/v1", "http://h/"), "h:8");
});

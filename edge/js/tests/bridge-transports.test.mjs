// Each kind of webview, as its page sees it: who may speak, and what is sent where.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  APP_ORIGIN,
  androidListenerTransport,
  androidTransport,
  awaitPort,
  connect,
  detect,
  portTransport,
  reactNativeTransport,
  webkitTransport,
  windowTransport,
} from "../bridge.js";

/** A window, or anything else that hears `message`. */
class FakeWindow extends EventTarget {
  posted = [];
  document = new EventTarget();
  parent = this;
  opener = null;
  postMessage(text, origin) {
    this.posted.push([text, origin]);
  }
}

/** A `message` event as browsers and apps make them. */
function message(data, { origin = "", source = null, ports = [] } = {}) {
  return Object.assign(new Event("message"), { data, origin, source, ports });
}

/** What a transport hears and refuses. */
function listen(transport) {
  const heard = [];
  transport.onmessage = (data) => heard.push(data);
  transport.onrefused = (reason) => heard.push(`refused: ${reason}`);
  return heard;
}

function frame(origins = ["https://app.example", "https://other.example"]) {
  const window = new FakeWindow();
  window.parent = new FakeWindow();
  return { window, host: window.parent, transport: windowTransport({ origins, window }) };
}

test("a frame hears its parent from a listed origin, and nobody else", () => {
  const { window, host, transport } = frame();
  const heard = listen(transport);
  window.dispatchEvent(message("evil", { origin: "https://evil.example", source: host }));
  window.dispatchEvent(message("sibling", { origin: "https://app.example", source: new FakeWindow() }));
  window.dispatchEvent(message("sandbox", { origin: "null", source: host }));
  window.dispatchEvent(message("script", { origin: "", source: null }));
  assert.deepEqual(heard, Array(4).fill("refused: origin"));
  assert.deepEqual(host.posted, []);
  window.dispatchEvent(message("a", { origin: "https://app.example", source: host }));
  assert.equal(heard.at(-1), "a");
});

test("a frame answers only the origin that has spoken", () => {
  const { window, host, transport } = frame();
  const heard = listen(transport);
  transport.post("hello");
  assert.deepEqual(host.posted, [["hello", "https://app.example"], ["hello", "https://other.example"]]);
  window.dispatchEvent(message("a", { origin: "https://other.example", source: host }));
  transport.post("b");
  assert.deepEqual(host.posted.slice(2), [["b", "https://other.example"]]);
  // The parent went on to another page, which is listed too: that is another host.
  window.dispatchEvent(message("c", { origin: "https://app.example", source: host }));
  assert.deepEqual(heard, ["a", "refused: origin"]);
  transport.close();
  window.dispatchEvent(message("d", { origin: "https://other.example", source: host }));
  assert.equal(heard.length, 2);
});

test("lists of origins that mean anyone are refused", () => {
  for (const origins of [undefined, [], ["*"], ["null"], ["https://app.example/"], ["app.example"], ["https://app.example", "*"], "https://app.example"]) {
    assert.throws(() => frame(origins === undefined ? null : origins), { name: "SpratError", code: "bad_request" });
  }
});

test("the bridge counts what comes from elsewhere, and answers none of it", () => {
  const { window, host, transport } = frame();
  const bridge = connect({ transport });
  const before = host.posted.length;
  const request = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "sprat.status" });
  for (let at = 0; at < 100; at += 1) window.dispatchEvent(message(request, { origin: "https://evil.example", source: host }));
  assert.deepEqual([bridge.refused, host.posted.length], [{ origin: 100 }, before]);
});

test("a port carries texts, and its end closes the bridge", async () => {
  const { port1, port2 } = new MessageChannel();
  const bridge = connect({ transport: portTransport(port1) });
  const answer = new Promise((resolve) => {
    port2.onmessage = ({ data }) => JSON.parse(data).id === 1 && resolve(JSON.parse(data));
  });
  port2.postMessage(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "sprat.status" }));
  assert.equal((await answer).result.state, "empty");
  const closed = new Promise((resolve) => port1.addEventListener("close", resolve));
  port2.close();
  await closed;
  assert.ok(bridge.closed);
});

test("a port is taken from a listed origin or the app itself, from nobody else", async () => {
  const window = new FakeWindow();
  const refused = [];
  const { port1, port2 } = new MessageChannel();
  const found = awaitPort({ origins: [APP_ORIGIN], window, onRefused: (reason) => refused.push(reason) });
  window.dispatchEvent(message("sprat.port", { origin: "https://evil.example", ports: [port1] }));
  window.dispatchEvent(message("sprat.port", { origin: "null", ports: [port1] }));
  window.dispatchEvent(message("something else", { ports: [port1] }));
  window.dispatchEvent(message("sprat.port", { ports: [] }));
  window.dispatchEvent(message("sprat.port", { ports: [port1] }));
  const transport = await found;
  assert.deepEqual([transport.name, refused], ["port", ["origin", "origin"]]);
  transport.close();
  port2.close();
  await assert.rejects(awaitPort({ origins: [APP_ORIGIN], window, signal: AbortSignal.abort() }), { code: "aborted" });
});

test("WKWebView: out by the handler, in by the global function", () => {
  const posted = [];
  const window = Object.assign(new FakeWindow(), { webkit: { messageHandlers: { sprat: { postMessage: (text) => posted.push(text) } } } });
  const transport = webkitTransport({ window });
  const heard = listen(transport);
  transport.post("out");
  window.spratReceive("in");
  assert.deepEqual([posted, heard], [["out"], ["in"]]);
  assert.throws(() => webkitTransport({ window }), { code: "bad_request" });
  transport.close();
  assert.equal(window.spratReceive, undefined);
  assert.throws(() => webkitTransport({ window, handler: "other" }), { code: "unsupported" });
});

test("Android's interface is called as a method of its object", () => {
  const posted = [];
  const AndroidBridge = {
    postMessage(text) {
      assert.equal(this, AndroidBridge);
      posted.push(text);
    },
  };
  const window = Object.assign(new FakeWindow(), { AndroidBridge });
  const transport = androidTransport({ window, receiver: "hear" });
  const heard = listen(transport);
  transport.post("out");
  window.hear("in");
  assert.deepEqual([posted, heard], [["out"], ["in"]]);
  assert.throws(() => androidTransport({ window: new FakeWindow() }), { code: "unsupported" });
});

test("AndroidX's listener speaks and hears by its own object", () => {
  const AndroidBridge = new FakeWindow();
  const window = Object.assign(new FakeWindow(), { AndroidBridge });
  const transport = androidListenerTransport({ window });
  const heard = listen(transport);
  transport.post("out");
  AndroidBridge.dispatchEvent(message("in"));
  window.dispatchEvent(message("not for us"));
  assert.deepEqual([AndroidBridge.posted, heard], [[["out", undefined]], ["in"]]);
  transport.close();
  AndroidBridge.dispatchEvent(message("late"));
  assert.equal(heard.length, 1);
});

test("React Native: events without an origin, on the window or the document, each once", () => {
  const posted = [];
  const window = Object.assign(new FakeWindow(), { ReactNativeWebView: { postMessage: (text) => posted.push(text) } });
  const transport = reactNativeTransport({ window });
  const heard = listen(transport);
  transport.post("out");
  window.dispatchEvent(message("a"));
  const bubbling = message("b");
  window.document.dispatchEvent(bubbling);
  window.dispatchEvent(bubbling);
  window.dispatchEvent(message("frame", { origin: "https://ads.example", source: new FakeWindow() }));
  window.dispatchEvent(message("sandbox", { origin: "null" }));
  assert.deepEqual([posted, heard], [["out"], ["a", "b", "refused: origin", "refused: origin"]]);
});

test("each kind of host is found, React Native before WebKit", () => {
  const postMessage = () => {};
  const webkit = { messageHandlers: { sprat: { postMessage }, ReactNativeWebView: { postMessage } } };
  const kinds = {
    "react-native": { ReactNativeWebView: { postMessage }, webkit },
    webkit: { webkit },
    android: { AndroidBridge: { postMessage } },
    "android-listener": { AndroidBridge: new FakeWindow() },
    window: { parent: new FakeWindow() },
  };
  for (const [kind, globals] of Object.entries(kinds)) {
    const window = Object.assign(new FakeWindow(), globals);
    assert.equal(detect({ window, origins: ["https://app.example"] }).name, kind);
  }
  // Without a list nobody is a host only because it has framed the page.
  const framed = Object.assign(new FakeWindow(), { parent: new FakeWindow() });
  assert.throws(() => detect({ window: framed }), { name: "SpratError", code: "unsupported" });
  assert.throws(() => detect({ window: new FakeWindow(), origins: ["https://app.example"] }), { code: "unsupported" });
});

// Whether a worker is sealed is found out by trying.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seal } from "../seal.js";

/** A worker's global whose policy is this; null is none. */
function scope(policy) {
  const listeners = new Set();
  const base = { XMLHttpRequest: class {}, WebSocket: class {} };
  return Object.assign(Object.create(base), {
    addEventListener: (_, listener) => listeners.add(listener),
    removeEventListener: (_, listener) => listeners.delete(listener),
    listeners,
    async fetch() {
      if (policy === null) return {};
      queueMicrotask(() => listeners.forEach((listener) => listener({ originalPolicy: policy })));
      throw new TypeError("Failed to fetch");
    },
  });
}

test("only a policy that forbids to connect and to load seals", async () => {
  const none = "default-src 'none'";
  for (const [policy, sealed] of [
    [none, true],
    [`${none}; script-src 'wasm-unsafe-eval'; connect-src 'none'`, true],
    // A page that is one file, and starts its workers from blobs.
    [`${none}; script-src 'sha256-abc=' 'wasm-unsafe-eval'; worker-src blob:; style-src 'self'`, true],
    // Scripts of its own server may be asked for by a telling name; so may other workers, and fonts.
    [`${none}; script-src 'self' 'wasm-unsafe-eval'; connect-src 'none'`, false],
    [`${none}; script-src-elem https:`, false],
    [`${none}; script-src 'nonce-abc'`, false],
    [`${none}; worker-src 'self'`, false],
    [`${none}; child-src 'self'`, false],
    [`${none}; font-src 'self'`, false],
    [`${none}; connect-src 'self'`, false],
    ["connect-src 'none'", false],
    ["script-src 'none'; connect-src 'none'", false],
    // Of two directives with one name the first holds.
    [`${none}; script-src 'self'; script-src 'none'`, false],
    [null, false],
  ]) {
    assert.equal(await seal(scope(policy)), sealed, String(policy));
  }
});

test("what could connect is gone, wherever it was, and nobody listens any more", async () => {
  const worker = scope(null);
  await seal(worker);
  for (const name of ["fetch", "XMLHttpRequest", "WebSocket"]) assert.equal(worker[name], undefined, name);
  assert.equal(worker.listeners.size, 0);
});

test("a refusal without a word is not taken for a seal", async () => {
  const worker = scope(null);
  worker.fetch = () => Promise.reject(new TypeError("offline"));
  assert.equal(await seal(worker), false);
});

test("a classic worker may load scripts beside its own, and nothing that could carry something out", async () => {
  const loaded = [];
  const classic = Object.assign(scope(null), {
    location: new URL("https://app.example/assets/worker.1.js"),
    importScripts: (...scripts) => void loaded.push(...scripts),
  });
  await seal(classic);
  classic.importScripts("https://app.example/assets/cpu.2.js");
  for (const script of ["https://evil.example/x.js", "cpu.2.js?what=was-said", "cpu.2.js#x", "../x.js", "data:,"]) {
    assert.throws(() => classic.importScripts("cpu.2.js", script), TypeError, script);
  }
  assert.deepEqual(loaded, ["https://app.example/assets/cpu.2.js"]);
});

test("a module worker, and one from a blob, have nothing to load scripts with", async () => {
  const refuses = () => {
    throw new TypeError("Module scripts don't support importScripts()");
  };
  const module = Object.assign(scope(null), { location: new URL("https://app.example/worker.js"), importScripts: refuses });
  const blob = Object.assign(scope(null), { location: new URL("blob:null/7"), importScripts: () => {} });
  for (const worker of [module, blob]) {
    await seal(worker);
    assert.equal(worker.importScripts, undefined);
  }
});

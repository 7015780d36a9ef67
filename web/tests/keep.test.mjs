import assert from "node:assert/strict";
import { test } from "node:test";
import { keepModel } from "../js/keep.js";

const READY = { state: "ready", model: { stored: true } };

/** A chat with this status, what it is told, and how often the browser was asked. */
function setup(status) {
  const chat = Object.assign(new EventTarget(), { status });
  const page = new EventTarget();
  let asked = 0;
  keepModel(chat, page, async () => {
    asked += 1;
    throw new Error("a private window");
  });
  return {
    chat,
    answer: (source) => chat.dispatchEvent(new CustomEvent("sprat-answer", { detail: { receipt: { source } } })),
    install: () => page.dispatchEvent(new Event("appinstalled")),
    asked: () => asked,
  };
}

test("the browser is asked once, after the model's first answer", () => {
  const { answer, install, asked } = setup(READY);
  for (const source of ["exact", "cloud"]) answer(source);
  assert.equal(asked(), 0);
  for (const source of ["device", "device"]) answer(source);
  install();
  assert.equal(asked(), 1);
});

test("or when the page is installed", () => {
  const { answer, install, asked } = setup(READY);
  install();
  answer("device");
  assert.equal(asked(), 1);
});

test("a model that is not stored is not to be kept; one that comes later is", () => {
  const { chat, answer, install, asked } = setup({ state: "loading" });
  install();
  chat.status = { state: "ready", model: { stored: false } };
  answer("device");
  chat.status = { state: "ready", model: null };
  install();
  assert.equal(asked(), 0);
  chat.status = READY;
  answer("device");
  assert.equal(asked(), 1);
});

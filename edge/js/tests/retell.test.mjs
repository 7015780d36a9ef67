import assert from "node:assert/strict";
import { test } from "node:test";
import { Retelling } from "../retell.js";

const start = (source = "device") => ({ type: "start", source });
const delta = (text, source = "device") => ({ type: "delta", source, text });

/** What the page is told of two tries, and the text it ends with. */
function told(first, second) {
  const events = [];
  const retelling = new Retelling((json) => events.push(JSON.parse(json)));
  const tell = (event) => retelling.tell(JSON.stringify(event));
  first.forEach(tell);
  const before = events.length;
  retelling.beginAgain();
  second.forEach(tell);
  let text = "";
  for (const event of events) {
    if (event.type === "start") text = "";
    if (event.type === "delta") text += event.text;
  }
  return { text, later: events.slice(before) };
}

test("the same words are told once, however they are cut", () => {
  const first = [start(), delta("The fi"), delta("sh ")];
  const { text, later } = told(first, [start(), delta("The "), delta("fish s"), delta("wims")]);
  assert.equal(text, "The fish swims");
  assert.deepEqual(later, [delta("s"), delta("wims")]);
});

test("other words replace what was told", () => {
  const { text, later } = told([start(), delta("The fish")], [start(), delta("The "), delta("cat"), delta(" sits")]);
  assert.equal(text, "The cat sits");
  assert.deepEqual(later, [start(), delta("The cat"), delta(" sits")]);
});

test("an answer that had not begun is told as it comes", () => {
  assert.equal(told([], [start(), delta("Hello")]).text, "Hello");
  assert.equal(told([start()], [start(), delta("Hello")]).text, "Hello");
});

test("the end, and a cloud that takes over, are told as they come", () => {
  const end = { type: "end", text: "The fish", receipt: {} };
  assert.deepEqual(told([start(), delta("The fish")], [start(), delta("The fish"), end]).later, [end]);
  const cloud = [{ type: "handover", from: "device", to: "cloud", rule: "r", reason: "" }, start("cloud"), delta("Yes", "cloud")];
  assert.deepEqual(told([start(), delta("The fish")], [start(), delta("The"), ...cloud]).later, cloud);
});

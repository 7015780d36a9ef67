// @ts-check
/**
 * A receipt in words: who answered, why, how sure, what was sent.
 *
 * @import { Receipt } from "./types.js"
 * @import { Words } from "./words.js"
 * @typedef {{ term: string, value: string }} Fact
 */
import { definitions, make } from "./dom.js";

/**
 * Why, in the page's language. A rule that is not known here keeps the sentence that came with the receipt.
 *
 * @param {Receipt} receipt
 * @param {Words} words
 */
export function why(receipt, words) {
  const confidence = words.percent(receipt.confidence ?? 0);
  const threshold = words.percent(receipt.threshold ?? 0);
  return words.find(`why.${receipt.rule}`, { confidence, threshold }) ?? receipt.reason;
}

/**
 * @param {Receipt} receipt
 * @param {Words} words
 */
function answeredBy({ source, model, device }, words) {
  if (source === "exact") return words.say("by.exact");
  if (source === "cloud") return words.say("by.cloud", { model: model ?? words.say("by.largerModel") });
  const name = model ?? words.say("by.someModel");
  return device ? words.say("by.deviceWords", { model: name, device }) : words.say("by.device", { model: name });
}

/**
 * @param {Receipt} receipt
 * @param {Words} words
 * @returns {string | null} null where nobody judged the answer
 */
export function howSure({ confidence, threshold }, words) {
  if (confidence === null || confidence === undefined) return null;
  const values = { confidence: words.percent(confidence), threshold: words.percent(threshold ?? 0) };
  if (threshold === null || threshold === undefined) return words.say("sure.alone", values);
  return words.say(confidence >= threshold ? "sure.enough" : "sure.notEnough", values);
}

/**
 * @param {Receipt} receipt
 * @param {Words} words
 */
export function sent({ bytes_sent }, words) {
  return bytes_sent === 0 ? words.say("sent.nothing") : words.say("sent.bytes", { bytes: words.bytes(bytes_sent) });
}

/**
 * @param {Receipt} receipt
 * @param {Words} words
 */
function time({ total_ms, first_token_ms, device_ms, cloud_ms }, words) {
  const total = words.duration(total_ms);
  const known = typeof first_token_ms === "number";
  const parts = [known ? words.say("time.first", { total, first: words.duration(first_token_ms) }) : words.say("time.total", { total })];
  if (device_ms > 0 && cloud_ms > 0) {
    parts.push(words.say("time.device", { time: words.duration(device_ms) }), words.say("time.cloud", { time: words.duration(cloud_ms) }));
  }
  return words.list(parts);
}

/**
 * @param {Receipt} receipt
 * @param {Words} words
 */
function tokens(receipt, words) {
  const values = { read: words.count(receipt.prompt_tokens), written: words.count(receipt.completion_tokens) };
  const parts = [words.say("tokens.value", values)];
  if (receipt.cached_tokens > 0) parts.push(words.say("tokens.reused", { count: words.count(receipt.cached_tokens) }));
  const speed = tokensPerSecond(receipt);
  if (speed !== null) parts.push(words.say("tokens.speed", { count: words.count(speed < 10 ? Math.round(speed * 10) / 10 : Math.round(speed)) }));
  return words.list(parts);
}

/**
 * Tokens per second of whoever wrote the answer, over its whole time, reading the question included.
 *
 * @param {Receipt} receipt
 */
export function tokensPerSecond({ source, cloud_ms, device_ms, completion_tokens }) {
  const ms = source === "cloud" ? cloud_ms : device_ms;
  return completion_tokens > 0 && ms > 0 ? (completion_tokens * 1000) / ms : null;
}

/**
 * Everything below why and how sure.
 *
 * @param {Receipt} receipt
 * @param {Words} words
 * @returns {Fact[]}
 */
export function facts(receipt, words) {
  const list = [
    { term: words.say("receipt.sent"), value: sent(receipt, words) },
    { term: words.say("receipt.time"), value: time(receipt, words) },
  ];
  if (receipt.prompt_tokens > 0 || receipt.completion_tokens > 0) {
    list.push({ term: words.say("receipt.tokens"), value: tokens(receipt, words) });
  }
  if (receipt.continued_tokens > 0) {
    const count = words.count(receipt.continued_tokens);
    list.push({ term: words.say("receipt.seam"), value: words.say("seam.value", { count }) });
  }
  list.push({ term: words.say("receipt.cost"), value: words.cost(receipt.cost_usd) });
  return list;
}

/**
 * @param {HTMLElement} element
 * @param {Receipt | null} receipt
 * @param {Words} words
 */
export function renderReceipt(element, receipt, words) {
  if (receipt === null) {
    element.replaceChildren(make("p", { class: "muted" }, words.say("receipt.later")));
    return;
  }
  const rule = make("code", { title: words.say("receipt.rule"), dir: "ltr" }, receipt.rule);
  /** @type {{ term: string, value: Node | string }[]} */
  const rows = [
    { term: words.say("receipt.by"), value: answeredBy(receipt, words) },
    { term: words.say("receipt.why"), value: make("span", {}, why(receipt, words), " ", rule) },
  ];
  const sure = howSure(receipt, words);
  if (sure !== null) rows.push({ term: words.say("receipt.sure"), value: meter(receipt, sure, words) });
  element.replaceChildren(make("dl", { class: "facts" }, ...definitions([...rows, ...facts(receipt, words)])));
}

/**
 * @param {Receipt} receipt
 * @param {string} sure
 * @param {Words} words
 */
function meter({ confidence, threshold }, sure, words) {
  const share = Math.min(1, Math.max(0, confidence ?? 0));
  const enough = typeof threshold !== "number" || share >= threshold;
  const bar = make("span", {
    class: enough ? "meter" : "meter low",
    role: "meter",
    "aria-label": words.say("receipt.sure"),
    "aria-valuemin": "0",
    "aria-valuemax": "1",
    "aria-valuenow": String(share),
    "aria-valuetext": sure,
  });
  const fill = make("span", { class: "fill" });
  // A policy of strict content security forbids style attributes, not this.
  fill.style.inlineSize = `${100 * share}%`;
  bar.append(fill);
  if (typeof threshold === "number" && threshold <= 1) {
    const tick = make("span", { class: "tick" });
    tick.style.insetInlineStart = `${100 * Math.max(0, threshold)}%`;
    bar.append(tick);
  }
  return make("span", { class: "meter-row" }, bar, make("span", {}, sure));
}

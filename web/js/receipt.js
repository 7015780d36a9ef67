/**
 * A receipt in words.
 *
 * @import { Receipt, Source } from "./types.d.ts"
 * @typedef {{ term: string, value: string }} Fact
 */
import { fillFacts, make } from "./dom.js";
import { formatBytes, formatCost, formatCount, formatMs, formatShare } from "./format.js";

/** @type {Record<Source, string>} */
export const BADGE = { exact: "Exact", device: "This device", cloud: "Cloud" };

/**
 * @param {Receipt} receipt
 * @returns {string}
 */
export function answeredBy(receipt) {
  switch (receipt.source) {
    case "exact":
      return "Computed exactly in this page; no model was asked";
    case "device":
      return [receipt.model ?? "The model in this page", receipt.device].filter(Boolean).join(" on ");
    case "cloud":
      return `${receipt.model ?? "A larger model"} in the cloud`;
  }
}

/**
 * Tokens per second of whoever wrote the answer, over its whole time, reading the question included.
 *
 * @param {Receipt} receipt
 * @returns {number | null}
 */
export function tokensPerSecond(receipt) {
  const ms = receipt.source === "cloud" ? receipt.cloud_ms : receipt.device_ms;
  return receipt.completion_tokens > 0 && ms > 0 ? (receipt.completion_tokens * 1000) / ms : null;
}

/**
 * Everything below the reason and the confidence.
 *
 * @param {Receipt} receipt
 * @returns {Fact[]}
 */
export function facts(receipt) {
  /** @type {Fact[]} */
  const list = [];
  const times = [`${formatMs(receipt.total_ms)} in all`];
  if (receipt.first_token_ms != null) times.push(`first text after ${formatMs(receipt.first_token_ms)}`);
  if (receipt.device_ms > 0 && receipt.cloud_ms > 0) {
    times.push(`${formatMs(receipt.device_ms)} on this device`, `${formatMs(receipt.cloud_ms)} in the cloud`);
  }
  list.push({ term: "Time", value: times.join(", ") });

  if (receipt.prompt_tokens > 0 || receipt.completion_tokens > 0) {
    const cached = receipt.cached_tokens > 0 ? ` (${formatCount(receipt.cached_tokens)} reused)` : "";
    const speed = tokensPerSecond(receipt);
    const pace = speed === null ? "" : `, ${speed < 10 ? speed.toFixed(1) : formatCount(Math.round(speed))} tokens/s`;
    list.push({
      term: "Tokens",
      value: `${formatCount(receipt.prompt_tokens)} read${cached}, ${formatCount(receipt.completion_tokens)} written${pace}`,
    });
  }
  if (receipt.continued_tokens > 0) {
    list.push({ term: "Seam", value: `the cloud went on after ${formatCount(receipt.continued_tokens)} tokens of this device` });
  }
  list.push({
    term: "Sent",
    value: receipt.bytes_sent === 0 ? "Nothing left this device" : `${formatBytes(receipt.bytes_sent)} to the cloud`,
  });
  list.push({ term: "Cost", value: formatCost(receipt.cost_usd) });
  return list;
}

/**
 * @param {HTMLElement} element an empty element
 * @param {Receipt | null} receipt
 */
export function renderReceipt(element, receipt) {
  if (receipt === null) {
    element.replaceChildren(make("p", { class: "muted" }, "The receipt is written when the answer ends."));
    return;
  }
  /** @type {{ term: string, value: Node | string }[]} */
  const rows = [
    { term: "Answered by", value: answeredBy(receipt) },
    { term: "Why", value: make("span", {}, receipt.reason, " ", make("code", { title: "Rule" }, receipt.rule)) },
  ];
  if (receipt.confidence != null) {
    rows.push({ term: "Confidence", value: meter(receipt.confidence, receipt.threshold ?? null) });
  }
  const list = make("dl", { class: "facts" });
  fillFacts(list, [...rows, ...facts(receipt)]);
  element.replaceChildren(list);
}

/**
 * @param {number} confidence
 * @param {number | null} threshold
 */
function meter(confidence, threshold) {
  const enough = threshold === null || confidence >= threshold;
  const words = `${formatShare(confidence)}${threshold === null ? "" : `, at least ${formatShare(threshold)} is needed`}`;
  const bar = make("span", {
    class: enough ? "meter" : "meter low",
    role: "meter",
    "aria-label": "Confidence",
    "aria-valuemin": "0",
    "aria-valuemax": "1",
    "aria-valuenow": formatShare(confidence),
    "aria-valuetext": words,
  });
  const fill = make("span", { class: "fill" });
  fill.style.inlineSize = `${100 * Math.min(1, Math.max(0, confidence))}%`;
  bar.append(fill);
  if (threshold !== null) {
    const tick = make("span", { class: "tick" });
    tick.style.insetInlineStart = `${100 * Math.min(1, Math.max(0, threshold))}%`;
    bar.append(tick);
  }
  return make("span", { class: "meter-row" }, bar, make("span", {}, words));
}

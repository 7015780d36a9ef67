/**
 * Numbers in words, in the page's language.
 *
 * @import { Progress } from "../../edge/js/types.js"
 */
import { Words } from "../sprat/element/words.js";

export const words = new Words(["en"]);

/**
 * @param {Pick<Progress, "stage" | "loaded" | "total">} progress
 * @returns {{ stage: string, bytes: string, share: number | null }} share from 0 to 1; null where it is not known
 */
export function progressWords({ stage, loaded, total }) {
  const known = words.find(`load.${stage}`) ?? words.say("load.waiting");
  if (total <= 0) return { stage: known, bytes: "", share: null };
  const values = { loaded: words.bytes(Math.min(loaded, total)), total: words.bytes(total) };
  const bytes = stage === "download" ? words.say("load.progress", values) : "";
  return { stage: known, bytes, share: Math.min(1, loaded / total) };
}

/**
 * "4.2 million": a model's size to two figures or so.
 *
 * @param {number} count
 */
export function large(count) {
  return new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long", maximumFractionDigits: 1 }).format(count);
}

// @ts-check
/**
 * Where questions go, in words.
 *
 * @import { Level, Mode } from "./types.js"
 * @import { Words } from "./words.js"
 *
 * @typedef {object} Route
 * @property {Level} level of the conversation
 * @property {Mode} mode
 * @property {string | null} cloud its name; null where there is none
 * @property {boolean} sent whether something of the conversation was sent already
 */

/**
 * @param {Route} route
 * @param {Words} words
 * @returns {{ lane: string, sealed: boolean }} `sealed`: nothing leaves the device
 */
export function laneOf({ level, mode, cloud, sent }, words) {
  if (level === "private" && mode === "cloud") return { sealed: true, lane: words.say("lane.privateCloud") };
  if (level === "private") return { sealed: true, lane: words.say(sent ? "lane.privateFromNow" : "lane.private") };
  if (cloud === null) return { sealed: true, lane: words.say("lane.noCloud") };
  if (mode === "device") return { sealed: true, lane: words.say("lane.device") };
  const asked = level === "ask" ? /** @type {const} */ ("Ask") : "";
  return { sealed: false, lane: words.say(`lane.${mode}${asked}`, { cloud }) };
}

/**
 * A cloud's name for people: its host.
 *
 * @param {string | null} cloud its address; null where only the engine knows it
 * @param {Words} words
 */
export function cloudName(cloud, words) {
  try {
    return new URL(cloud ?? "", cloud === null ? undefined : document.baseURI).host;
  } catch {
    return words.say("lane.someCloud");
  }
}

// @ts-check
/** The element's words in the page's language: built in, or the page's own; and numbers as that language writes them. */
import { en } from "./strings/en.js";
import { ja } from "./strings/ja.js";
import { ko } from "./strings/ko.js";

/** @typedef {keyof typeof en} Key */
/** @typedef {Record<Key, string>} Strings every word; see strings/en.js */

/** @type {Record<string, Strings>} */
export const LANGUAGES = { en, ko, ja };

const UNITS = /** @type {const} */ (["byte", "kilobyte", "megabyte", "gigabyte"]);

/**
 * The first of these language tags that there are words in, else English.
 *
 * @param {readonly string[]} tags such as "ko-KR", the most wanted first
 */
export function chooseLanguage(tags) {
  for (const tag of tags) {
    const language = tag.trim().toLowerCase().split(/[-_]/)[0] ?? "";
    if (Object.hasOwn(LANGUAGES, language)) return language;
  }
  return "en";
}

export class Words {
  /** @type {Strings} */
  #strings;
  /** The tag of the language that the words are in. @type {string} */
  language;

  /**
   * @param {readonly string[]} tags the languages that are wanted, the most wanted first
   * @param {Partial<Strings>} [own] takes the place of what is built in
   */
  constructor(tags, own = {}) {
    const builtIn = chooseLanguage(tags);
    this.#strings = { ...(LANGUAGES[builtIn] ?? en), ...texts(own) };
    // Words of the page's own may be in a language that is not built in; its tag is then the one that was asked for.
    const owned = Object.keys(own).length > 0;
    const tag = tags.find((one) => isTag(one) && (owned || chooseLanguage([one]) === builtIn));
    // English also stands in for languages that there are no words in.
    this.language = tag !== undefined && (owned || tag.toLowerCase().startsWith(builtIn)) ? tag : builtIn;
  }

  /**
   * @param {Key} key
   * @param {Record<string, string>} [values] for the placeholders
   */
  say(key, values = {}) {
    return this.#strings[key].replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  }

  /**
   * Words whose key is made at run time.
   *
   * @param {string} key
   * @param {Record<string, string>} [values]
   * @returns {string | null} null where there are none
   */
  find(key, values) {
    return Object.hasOwn(this.#strings, key) ? this.say(/** @type {Key} */ (key), values) : null;
  }

  /** @param {number} value */
  count(value) {
    return new Intl.NumberFormat(this.language).format(value);
  }

  /**
   * Cut down rather than rounded, so that 79.9 % where 80 % is needed never reads as 80 %.
   *
   * @param {number} share from 0 to 1
   */
  percent(share) {
    const whole = Math.floor(Math.min(1, Math.max(0, share)) * 100 + 1e-3);
    return new Intl.NumberFormat(this.language, { style: "percent" }).format(whole / 100);
  }

  /**
   * Decimal units, as browsers count: 1 MB is 1,000,000 bytes.
   *
   * @param {number} bytes
   */
  bytes(bytes) {
    let power = 0;
    // 999,950 would print as "1000 kB".
    while (power < UNITS.length - 1 && bytes >= 1000 ** (power + 1) * 0.99995) power += 1;
    return this.#unit(bytes / 1000 ** power, UNITS[power] ?? "byte", power === 0 ? "long" : "short", power === 0 ? 0 : 1);
  }

  /** @param {number} ms */
  duration(ms) {
    if (ms < 1000) return this.#unit(Math.max(1, Math.round(ms)), "millisecond", "short", 0);
    if (ms < 59_950) return this.#unit(ms / 1000, "second", "narrow", ms < 10_000 ? 2 : 1);
    const seconds = Math.round(ms / 1000);
    return `${this.#unit(Math.floor(seconds / 60), "minute", "short", 0)} ${this.#unit(seconds % 60, "second", "short", 0)}`;
  }

  /** @param {string[]} parts */
  list(parts) {
    return parts.join(this.say("list.separator"));
  }

  /** @param {number} usd */
  cost(usd) {
    // Two figures that count, however small the price of a few tokens is.
    const options = usd === 0 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 2 };
    return new Intl.NumberFormat(this.language, { style: "currency", currency: "USD", ...options }).format(usd);
  }

  /**
   * @param {number} value
   * @param {string} unit
   * @param {"long" | "short" | "narrow"} unitDisplay
   * @param {number} digits
   */
  #unit(value, unit, unitDisplay, digits) {
    const options = { style: /** @type {const} */ ("unit"), unit, unitDisplay, maximumFractionDigits: digits };
    return new Intl.NumberFormat(this.language, options).format(value);
  }
}

/**
 * What of an object is text: a page's mistake must not break the chat.
 *
 * @param {Partial<Strings>} own
 * @returns {Partial<Strings>}
 */
function texts(own) {
  return Object.fromEntries(Object.entries(own).filter(([, value]) => typeof value === "string"));
}

/** @param {string} tag */
function isTag(tag) {
  try {
    return tag !== "" && Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}

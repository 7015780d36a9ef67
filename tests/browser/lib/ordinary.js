// What the page sends when nobody has asked anything. Everything that it sends while people write in private must be
// one of these requests, to the last value of the last header: then no encoding, however odd, has room in it.

/**
 * @typedef {import("./recorder.js").Seen} Seen
 * @typedef {{ where: string, api: string, text: string }} Attempt
 */

/** A download that broke off goes on from where it was; the browser asks for the rest of what it has cached. */
const RANGE = /^bytes=\d{1,8}-\d{0,8}$/;

/** How far a download is, told to the site's other tabs: the numbers are never the same. */
const COUNTS = /\b\d{1,12}\b/g;

export class Ordinary {
  #addresses = new Set();
  #headers = new Set();
  #attempts = new Set();

  /** @param {Seen[]} requests @param {Attempt[]} attempts uses of ways out */
  learn(requests, attempts) {
    for (const attempt of attempts) this.#attempts.add(plain(attempt));
    for (const { method, url, headers } of requests) {
      this.#addresses.add(`${method} ${url.pathname}${url.search}`);
      for (const [name, value] of Object.entries(headers)) this.#headers.add(`${name}: ${value}`);
    }
  }

  /** Whether the page does exactly that by itself, as when it registers a service worker. @param {Attempt} attempt */
  wasTried(attempt) {
    return this.#attempts.has(plain(attempt));
  }

  /**
   * What is not ordinary about a request, in words; null if it is.
   *
   * @param {Seen} request
   * @param {(request: Seen) => boolean} mayHaveBody whether its body is that of an open question
   * @param {Set<string>} versions the server's own names of its files' versions
   */
  oddity(request, mayHaveBody, versions) {
    const { method, url, headers, body } = request;
    const address = `${method} ${url.pathname}${url.search}`;
    if (!this.#addresses.has(address)) return address;
    for (const [name, value] of Object.entries(headers)) {
      if (this.#headers.has(`${name}: ${value}`)) continue;
      if (name === "content-length" && Number(value) === body.length) continue;
      if (name === "range" && RANGE.test(value)) continue;
      // Some time after a visit the browser looks by itself whether a service worker has changed, and calls that its referrer.
      if (name === "referer" && value === url.href) continue;
      if (name.startsWith("if-") && versions.has(value)) continue;
      return `${address} with ${name}: ${value}`;
    }
    return body.length === 0 || mayHaveBody(request) ? null : `${address} with a body`;
  }
}

/** @param {Attempt} attempt */
function plain(attempt) {
  const text = attempt.api === "BroadcastChannel" ? attempt.text.replace(COUNTS, "0") : attempt.text;
  return JSON.stringify({ ...attempt, text });
}

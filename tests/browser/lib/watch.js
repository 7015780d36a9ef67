// A server, the recorder, and a browser that is watched from every side; and the question that matters at the end:
// is anything of the private conversations in anything that left it, or that was written down?

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { ChatPage, launchProfile, strangers } from "./browser.js";
import { COMPLETIONS } from "./bench.js";
import { isForbidden } from "./hooks.js";
import { hashes, needlesOf, needlesOfAnswer } from "./needles.js";
import { Ordinary } from "./ordinary.js";
import { readings } from "./readings.js";
import { Recorder } from "./recorder.js";
import { Search } from "./search.js";
import { Server } from "./server.js";
import { filesBelow, storageOf } from "./storage.js";
import { Targets } from "./targets.js";

/** Milliseconds of silence after which nothing more is awaited. */
const QUIET_MS = 500;
/** Most places that a report names. */
const SHOWN = 20;

/**
 * @typedef {{ where: string, as: string, of: string }} Hit
 * @typedef {object} Report
 * @property {Hit[]} hits canaries, and where they were found
 * @property {string[]} odd requests that are not those of a page that nobody asks anything
 * @property {string[]} forbidden ways out that were tried
 * @property {string[]} foreign hosts
 * @property {number} bytes that were searched, before unpacking
 * @property {number} needles texts that were searched for
 */

export class Watch {
  /** @type {{ where: string, bytes: Buffer }[]} texts that were shown or told */
  #told = [];
  /** @type {Set<string>} */
  #seen = new Set();
  #private = new Search();
  #open = new Search();
  /** @type {Set<string>} */
  #answers = new Set();
  #answered = new Search();
  ordinary = new Ordinary();
  #folder = mkdtempSync(path.join(os.tmpdir(), "sprat-leak-"));

  /**
   * @param {{ server: Server, webgpu?: boolean }} options
   */
  static async start({ server, webgpu = false }) {
    const watch = new Watch();
    watch.server = server;
    try {
      watch.recorder = await new Recorder(server.origin).start();
      watch.profile = path.join(watch.#folder, "profile");
      watch.netLog = path.join(watch.#folder, "network.json");
      watch.context = await launchProfile(watch.recorder, watch.profile, { webgpu, netLog: watch.netLog });
      watch.targets = new Targets(watch.context);
    } catch (error) {
      await watch.stop();
      throw error;
    }
    return watch;
  }

  /** A tab with the chat page; the one before is closed. */
  async page({ query = "device=cpu" } = {}) {
    const page = await this.context.newPage();
    const session = await this.targets.watch(page);
    for (const old of this.context.pages()) if (old !== page) await old.close();
    const chat = new ChatPage({ pages: () => [page], on: () => {} }, this.server.origin);
    await chat.open({ query });
    await chat.ready();
    return Object.assign(chat, { session });
  }

  /** From here on only what was sent until now is ordinary. */
  learn() {
    this.ordinary.learn(this.recorder.requests, this.targets.attempts);
  }

  /** What these texts may be cut into by the tokenizer: alone, and behind a space. */
  async #ids(text) {
    const url = `${this.server.origin}/tokenize`;
    const headers = { "content-type": "application/json" };
    const ask = async (prompt) => {
      const body = JSON.stringify({ model: "sprat-tiny", prompt });
      const answer = await fetch(url, { method: "POST", headers, body });
      if (!answer.ok) throw new Error(`/tokenize says ${answer.status}: ${await answer.text()}`);
      return (await answer.json()).tokens;
    };
    // The ends depend on the neighbours: they are left out.
    return Promise.all([text, ` ${text} `].map(async (one) => (await ask(one)).slice(1, -1)));
  }

  /** Nothing of this may be found anywhere. @param {import("./canary.js").Conversation} conversation */
  async keep({ canaries, questions }) {
    for (const one of canaries) {
      const of = `${one.kind} ${one.text}`;
      for (const needle of needlesOf(one, await this.#ids(one.text))) this.#private.add(needle, of);
    }
    for (const { question, canaries: inside } of questions) {
      if (inside.length === 0) continue;
      for (const text of [question, JSON.stringify([{ role: "user", content: question }])]) {
        for (const needle of hashes(text)) this.#private.add(needle, `question ${question}`);
      }
    }
  }

  /** An answer is derived from what was asked. It may be found in the model's files, but in nothing that was sent. */
  keepAnswer(text) {
    if (this.#answers.has(text)) return;
    this.#answers.add(text);
    for (const needle of needlesOfAnswer(text)) this.#answered.add(needle, `answer ${text}`);
  }

  /** This may be found, and only where questions to the cloud are. @param {import("./canary.js").Canary} canary */
  release(canary) {
    for (const needle of needlesOf(canary)) this.#open.add(needle, canary.text);
  }

  /** Whether this open canary has come by the recorder. */
  saw(canary) {
    return this.recorder.requests.some(({ path, body }) => COMPLETIONS.test(path) && body.includes(canary.text));
  }

  /** Something that was shown, told or thrown; it must hold nothing of a private question either. */
  note(where, what) {
    this.#told.push({ where, bytes: Buffer.from(typeof what === "string" ? what : JSON.stringify(what) ?? "") });
  }

  /** Waits until nothing has been sent or tried for a while: a leak may take its time. */
  async settled() {
    const count = () => this.recorder.requests.length + this.recorder.frames.length + this.targets.attempts.length;
    for (let before = -1; before !== count(); ) {
      before = count();
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    }
  }

  /** What the page has stored, and says about itself; what was seen before is not kept twice. */
  async look(page) {
    for (const { where, bytes } of await storageOf(page)) {
      const print = createHash("sha256").update(`${where} `).update(bytes).digest("hex");
      if (!this.#seen.has(print)) this.#told.push({ where, bytes });
      this.#seen.add(print);
    }
  }

  /** Everything that left the browser, in pieces that can be unpacked. */
  *#left() {
    for (const { method, url, headers, body } of [...this.recorder.requests, ...this.recorder.strange]) {
      const where = `${method} ${url.pathname}`;
      yield { where: `${where}, address`, bytes: Buffer.from(url.href) };
      for (const [name, value] of Object.entries(headers)) {
        yield { where: `${where}, ${name}`, bytes: Buffer.from(`${name}: ${value}`, "latin1") };
      }
      if (body.length > 0) yield { where: `${where}, body`, bytes: body, encoding: headers["content-encoding"] };
    }
    for (const { path: at, bytes } of this.recorder.frames) yield { where: `WebSocket ${at}`, bytes };
    for (const host of this.recorder.foreign) yield { where: "host", bytes: Buffer.from(host) };
    for (const { where, api, text } of this.targets.attempts) yield { where: `${api} in ${where}`, bytes: Buffer.from(text) };
    for (const { where, what, text } of this.targets.traffic) yield { where: `${what} in ${where}`, bytes: Buffer.from(text) };
  }

  /** Everything that is searched as it is: too much to be unpacked in every way. */
  async *#kept() {
    yield { where: "all bytes sent", bytes: this.recorder.bytes };
    yield { where: "the server's log", bytes: Buffer.from(this.server.log) };
    for (const at of ["/metrics", "/health"]) {
      yield { where: `the server's ${at}`, bytes: Buffer.from(await (await fetch(this.server.origin + at)).arrayBuffer()) };
    }
    yield* this.#told;
    // Closed by now, so that everything is written.
    yield* filesBelow(this.#folder);
  }

  /** Closes the browser, so that what it sends or writes at its very end counts too, and searches. @returns {Promise<Report>} */
  async report() {
    for (const page of this.context.pages()) await page.goto("about:blank");
    await this.settled();
    await this.context.close();
    /** @type {Map<string, Hit>} */
    const hits = new Map();
    let bytes = 0;
    const found = (where, list) => {
      for (const { as, of } of list) hits.set(`${where} ${of}`, { where, as, of: String(of) });
    };
    // The page is loaded often, and always sends the same.
    const searched = new Map();
    for (const { where, bytes: piece, encoding } of this.#left()) {
      bytes += piece.length;
      const key = `${encoding} ${piece.latin1Slice()}`;
      const searches = [this.#private, this.#answered];
      const all = () => readings(piece, encoding).flatMap((reading) => searches.flatMap((search) => search.in(reading)));
      if (!searched.has(key)) searched.set(key, all());
      found(where, searched.get(key));
    }
    for await (const { where, bytes: piece } of this.#kept()) {
      bytes += piece.length;
      found(where, this.#private.in(piece));
    }
    const isOpen = ({ path: at, body }) => COMPLETIONS.test(at) && this.#open.in(body).length > 0;
    const { requests, versions } = this.recorder;
    const odd = requests.map((request) => this.ordinary.oddity(request, isOpen, versions)).filter((what) => what !== null);
    const isOdd = (attempt) => isForbidden(attempt) && !this.ordinary.wasTried(attempt);
    const forbidden = this.targets.attempts.filter(isOdd).map(({ api, where }) => `${api} in ${where}`);
    const once = (list) => [...new Set(list)];
    return {
      hits: [...hits.values()],
      odd: once(odd),
      forbidden: once(forbidden),
      foreign: once(strangers(this.recorder)),
      bytes,
      needles: this.#private.size + this.#answered.size,
    };
  }

  async stop() {
    await this.context?.close();
    await this.recorder?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What a report finds fault with, in short; empty if nothing left. @param {Report} report */
export function complaints({ hits, odd, forbidden, foreign }) {
  return [
    ...hits.slice(0, SHOWN).map(({ where, as, of }) => `${of}, as ${as}, in ${where}`),
    ...odd.slice(0, SHOWN).map((what) => `not an ordinary request: ${what}`),
    ...forbidden.slice(0, SHOWN).map((what) => `a way out was tried: ${what}`),
    ...foreign.slice(0, SHOWN).map((host) => `a strange host: ${host}`),
  ];
}

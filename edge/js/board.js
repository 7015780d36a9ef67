// @ts-check
/**
 * What an engine and its threads share: memory on which the engine writes jobs, and each thread its answer.
 *
 * It is all that they share: every thread is an instance of the engine's module with a memory of its own, and with its part
 * of the weights (shared/kernels/src/crew). So the module needs no shared memory, which compilers for WebAssembly have not
 * got in their stable form.
 */

/** Words of the longest job. */
const JOB = 1 << 18;
/** Numbers in a member's longest answer. */
const ANSWER = 1 << 20;

/** A cache line of words: what is written by one and watched by another has one to itself. */
const LINE = 16;
/** Words in the first line: the number of the last job, its length, how many sleep until there is another one. */
const NUMBER = 0;
const LENGTH = 1;
const ASLEEP = 2;
/** In a member's line behind the number of the job it has done: whether the engine sleeps until it has done another one. */
const AWAITED = 1;
/** The job's number after which they begin again at 0. */
const LAST = 0x7fffffff;
/** What a member that can go on no more writes instead of the number of the job it has done. */
const GONE = -1;

/**
 * How long one looks whether something has come before one sleeps, in milliseconds: longer than what lies between two jobs
 * of a token, because to be woken takes as long as a job.
 */
const WATCH = 1;
/** Looks between two at the clock. */
const LOOKS = 1000;
/** How long one sleeps at once, in milliseconds, and how often in a row before a member is given up: it may have been killed. */
const NAP = 1000;
const NAPS = 10;

export class Board {
  /** How many work: the engine, and its threads. @type {number} */ members;
  /** @type {SharedArrayBuffer} */ buffer;
  jobWords = JOB;
  answerFloats = ANSWER;
  #line;
  #job;
  /** @type {Float32Array[]} by member */ #answers;

  /**
   * @param {number} members
   * @param {SharedArrayBuffer} [buffer] that of another's board
   */
  constructor(members, buffer) {
    const lines = LINE * members;
    this.members = members;
    this.buffer = buffer ?? new SharedArrayBuffer(4 * (lines + JOB + (members - 1) * ANSWER));
    this.#line = new Int32Array(this.buffer, 0, lines);
    this.#job = new Uint32Array(this.buffer, 4 * lines, JOB);
    // The first member is the engine, which answers itself.
    const answerOf = (/** @type {number} */ member) => new Float32Array(this.buffer, 4 * (lines + JOB + (member - 1) * ANSWER), ANSWER);
    this.#answers = Array.from({ length: members }, (_, member) => answerOf(Math.max(member, 1)));
  }

  /**
   * The engine gives all threads a job; they have done the one before.
   * @param {Uint32Array} job
   */
  start(job) {
    this.#job.set(job);
    this.#line[LENGTH] = job.length;
    Atomics.store(this.#line, NUMBER, (Atomics.load(this.#line, NUMBER) + 1) & LAST);
    if (Atomics.load(this.#line, ASLEEP) > 0) Atomics.notify(this.#line, NUMBER);
  }

  /**
   * The engine waits for a thread's answer and takes it.
   * @param {number} member
   * @param {Float32Array} answer of the length that it has
   */
  finish(member, answer) {
    const number = Atomics.load(this.#line, NUMBER);
    const before = (number - 1) & LAST;
    for (let naps = 0; ; naps += 1) {
      const done = this.#watch(LINE * member, before);
      if (done === number) break;
      // What this throws ends the engine: a part of its weights is gone.
      if (done === GONE || naps === NAPS) throw new Error(`a thread of the engine ${done === GONE ? "stopped" : "does not answer"}`);
      // Said before the last look: who writes the number looks after, and wakes.
      Atomics.store(this.#line, LINE * member + AWAITED, 1);
      Atomics.wait(this.#line, LINE * member, before, NAP);
      Atomics.store(this.#line, LINE * member + AWAITED, 0);
    }
    answer.set(this.#answers[member].subarray(0, answer.length));
  }

  /**
   * A thread waits for the job after the one with this number; gives its number and the job.
   * @param {number} last
   * @returns {[number, Uint32Array]}
   */
  next(last) {
    let number;
    while ((number = this.#watch(NUMBER, last)) === last) {
      Atomics.add(this.#line, ASLEEP, 1);
      Atomics.wait(this.#line, NUMBER, last);
      Atomics.sub(this.#line, ASLEEP, 1);
    }
    return [number, this.#job.subarray(0, this.#line[LENGTH])];
  }

  /**
   * Where a thread writes its answer.
   * @param {number} member
   */
  answerOf(member) {
    return this.#answers[member];
  }

  /**
   * A thread has done a job.
   * @param {number} member
   * @param {number} number the job's
   */
  done(member, number) {
    Atomics.store(this.#line, LINE * member, number);
    if (Atomics.load(this.#line, LINE * member + AWAITED) > 0) Atomics.notify(this.#line, LINE * member);
  }

  /**
   * A thread can go on no more.
   * @param {number} member
   */
  gone(member) {
    this.done(member, GONE);
  }

  /**
   * Looks for a while whether a word has changed; gives what it is then.
   * @param {number} at
   * @param {number} from
   */
  #watch(at, from) {
    const begun = performance.now();
    do {
      for (let looks = 0; looks < LOOKS; looks += 1) {
        const now = Atomics.load(this.#line, at);
        if (now !== from) return now;
      }
    } while (performance.now() - begun < WATCH);
    return from;
  }
}

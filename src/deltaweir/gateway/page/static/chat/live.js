/**
 * The answers that are on their way: asked for, read, read on after a loss, stopped, and stored.
 */

import { Refused, ask, askJson, events, eventsToTheLast, send } from "../api.js";
import { alone } from "./locks.js";
import { fail, isOpen, stopped, take } from "./reply.js";

const STORE_MS = 500;
const LEAVING = "deltaweir.leaving";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
/** How long reading on is tried before a person has to say so. */
const PATIENCE_MS = 5 * 60 * 1000;
const HOPELESS = new Set([400, 401, 403, 404, 410]);

/** Keeps streams going, whatever the page shows meanwhile. */
export class Live {
  /**
   * @param {import("./store.js").Store} store
   * @param {(turn: object, reply: object, what: "begun" | "text" | "waiting" | "read on" | "ended") => void}
   *   changed Called for each change, many times a second.
   */
  constructor(store, changed) {
    this.store = store;
    this.changed = changed;
    this.running = new Map();
    addEventListener("pagehide", () => this.#left());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#storeAll();
    });
  }

  /** Take over what this tab had not stored when its page was left. */
  async recover() {
    try {
      const left = JSON.parse(sessionStorage.getItem(LEAVING) ?? "[]");
      sessionStorage.removeItem(LEAVING);
      for (const turn of left) await this.store.putTurn(turn);
    } catch {
      // storage is off: the server has it all
    }
  }

  /** @param {string} id Of a turn. @returns {object | undefined} It, if an answer is on its way. */
  turn(id) {
    return [...this.running.values()].find((one) => one.turn.id === id)?.turn;
  }

  /** @param {string} id Of an answer. @returns {boolean} Whether it is read here. */
  has(id) {
    return this.running.has(id);
  }

  /**
   * Ask for an answer.
   *
   * @param {object} turn It has the answer, newly made.
   * @param {import("./reply.js").Reply} reply
   * @param {object} body The request.
   * @param {boolean} resume Whether the stream is kept at the server.
   */
  async start(turn, reply, body, resume) {
    const one = this.#enter(turn, reply, resume);
    await alone(reply.id, async () => {
      await this.#store(one);
      try {
        const answer = await send("v1/chat/completions", body, { signal: one.abort.signal });
        reply.stream = answer.headers.get("x-deltaweir-stream-id");
        if (one.stopping) await this.#stopNow(one);
        await this.#store(one);
        await this.#read(one, answer);
      } catch (error) {
        this.#refused(one, error);
      }
      await this.#leave(one);
    });
  }

  /**
   * Read an answer on which another tab or an earlier page has begun to read.
   *
   * @param {object} stored Its turn.
   * @param {string} id Of the answer.
   */
  async adopt(stored, id) {
    if (this.running.has(id)) return;
    await alone(id, async () => {
      // whoever read it before may have come to its end
      const turn = (await this.store.turn(stored.id)) ?? stored;
      const reply = turn.versions.find((version) => version.id === id);
      if (!reply || !isOpen(reply) || this.running.has(id)) return;
      const one = this.#enter(turn, reply, true);
      this.changed(turn, reply, "begun");
      if (reply.stream === null) {
        fail(reply, "lost", { message: "the page was closed before the answer began" });
      } else {
        await this.#readOn(one);
      }
      await this.#leave(one);
    });
  }

  /**
   * Stop an answer, here and at the server.
   *
   * @param {string} id Of the answer.
   */
  async stop(id) {
    const one = this.running.get(id);
    if (!one || one.stopping) return;
    one.stopping = true;
    const { reply, turn } = one;
    stopped(reply, null);
    this.changed(turn, reply, "text");
    // who goes before the head came ends nothing at a server that keeps streams, and only with
    // the head comes the id by which it can be told
    if (reply.stream === null && one.resume) return;
    await this.#stopNow(one);
    this.changed(turn, reply, "text");
    await this.#store(one);
  }

  async #stopNow({ reply, abort }) {
    if (reply.stream !== null) stopped(reply, await this.stopAtServer(reply.stream));
    abort.abort();
  }

  /** Try again at once to read on. */
  hurry() {
    for (const one of this.running.values()) one.hurry?.();
  }

  #enter(turn, reply, resume) {
    const one = { turn, reply, resume, abort: new AbortController(), timer: null, stopping: false };
    this.running.set(reply.id, one);
    return one;
  }

  async #leave(one) {
    this.running.delete(one.reply.id);
    await this.#store(one);
    this.changed(one.turn, one.reply, "ended");
  }

  /** Read events to the end of a connection, and on over further ones. */
  async #read(one, answer) {
    const { reply, turn } = one;
    const connected = Date.now();
    try {
      for await (const event of events(answer)) {
        if (one.stopping) continue;
        const began = reply.first !== null;
        if (take(reply, event, Date.now(), connected)) {
          this.changed(turn, reply, !began && reply.first !== null ? "begun" : "text");
        }
        this.#storeSoon(one);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;  // a connection that broke is read on below
    }
    if (!isOpen(reply)) return;
    if (one.resume && reply.stream !== null) await this.#readOn(one);
    else fail(reply, "lost", { message: "the connection was lost" });
  }

  /** Read on behind the last event, until it ends or nothing can be read any more. */
  async #readOn(one) {
    const { reply, turn } = one;
    let since = Date.now();
    let pause = 0;
    let patient = false;
    while (isOpen(reply)) {
      if (pause) {
        this.changed(turn, reply, "waiting");
        await waited(pause, one);
        if (!isOpen(reply)) return;
      }
      const seen = reply.event;
      const failure = await this.#readOnce(one, patient);
      if (!isOpen(reply)) return;
      if (reply.event > seen) {
        since = Date.now();
        pause = 0;
        patient &&= failure !== null;
        continue;
      }
      // what came in vain may have been lost on its last way
      patient = true;
      if (failure && HOPELESS.has(failure.status)) {
        fail(reply, "lost", { message: lostWords(failure) });
      } else if (Date.now() - since > PATIENCE_MS) {
        fail(reply, "lost", { message: "the connection was lost, and could not be made again" });
      }
      pause = Math.min(LONGEST_PAUSE_MS, pause ? pause * 2 : FIRST_PAUSE_MS);
    }
  }

  /** One try; returns what failed. */
  async #readOnce(one, patient) {
    const { reply, turn } = one;
    const { signal } = one.abort;
    const path = `v1/streams/${encodeURIComponent(reply.stream)}?starting_after=${reply.event}`;
    const connected = Date.now();
    try {
      const found = patient ? eventsToTheLast(path, { signal }) : await this.#events(path, signal);
      for await (const event of found) {
        if (one.stopping) continue;
        if (take(reply, event, Date.now(), connected)) this.changed(turn, reply, "read on");
        this.#storeSoon(one);
      }
      return null;
    } catch (error) {
      if (one.stopping) return null;
      if (!(error instanceof Refused)) throw error;
      if (error.status === 204) {
        fail(reply, "lost", { message: "the stream has ended, and its end was not kept" });
      }
      return error;
    }
  }

  async #events(path, signal) {
    const answer = await ask(path, { signal, cache: "no-store" });
    if (answer.status === 204) throw new Refused(204, null, "nothing more");
    return events(answer);
  }

  #refused(one, error) {
    if (one.stopping) return;
    if (!(error instanceof Refused)) throw error;
    fail(one.reply, "failed", error);
    if (error.status === 401) dispatchEvent(new Event("keyrefused"));
  }

  /**
   * Tell the server to stop a stream, whoever reads it; the server may be away for a while.
   *
   * @param {string} stream Its id.
   * @returns {Promise<object | null>} What it has used; null where that was not told.
   */
  async stopAtServer(stream) {
    for (const pause of [0, 500, 2000, 8000]) {
      if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
      try {
        return await askJson(`v1/streams/${encodeURIComponent(stream)}`, { method: "DELETE" });
      } catch (error) {
        if (!(error instanceof Refused) || HOPELESS.has(error.status)) return null;
      }
    }
    return null;
  }

  #storeSoon(one) {
    one.timer ??= setTimeout(() => void this.#store(one), STORE_MS);
  }

  async #store(one) {
    clearTimeout(one.timer);
    one.timer = null;
    try {
      await this.store.putTurn(one.turn);
    } catch {
      dispatchEvent(new Event("notkept"));
    }
  }

  /** Keep what came last: the database is too slow for a page that goes. */
  #left() {
    const turns = [...this.running.values()].map((one) => one.turn);
    try {
      if (turns.length) sessionStorage.setItem(LEAVING, JSON.stringify(turns));
    } catch {
      // storage is off, or full: the server has it all
    }
    this.#storeAll();
  }

  #storeAll() {
    for (const one of this.running.values()) void this.#store(one);
  }
}

/** Wait, but not longer than until the network is back, somebody asks, or the answer is stopped. */
function waited(milliseconds, one) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      one.abort.signal.removeEventListener("abort", done);
      one.hurry = undefined;
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    one.abort.signal.addEventListener("abort", done);
    one.hurry = done;
  });
}

function lostWords({ status, message }) {
  if (status === 404) return "the server does not know this stream any more; this is what came";
  if (status === 410) return "the server does not keep all of this stream any more; this is what came";
  return `the stream could not be read on: ${message}`;
}

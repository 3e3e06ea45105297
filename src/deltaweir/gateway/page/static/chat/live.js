/**
 * The answers that are on their way: asked for, read, read on after a loss, stopped, and stored.
 */

import { HERE, Patience, Refused, ask, askJson, events, eventsToTheLast, hopeless, send } from "../api.js";
import { fail, isOpen, mayReadOn, stopped, stopping, take, unheard } from "./reply.js";
import { alone } from "./store.js";
import { dropUntold, keepUntold, untold } from "./untold.js";

const STORE_MS = 500;
const LEAVING = `${HERE}leaving`;

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
    this.telling = new Set();
    /** Who asks; undefined while that is not known. */
    this.caller = undefined;
    addEventListener("keygiven", () => {
      this.caller = undefined;
    });
    addEventListener("pagehide", () => this.#left());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#storeAll();
      else dispatchEvent(new Event("hurry"));
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

  /** @param {object} reply @returns {boolean} Whether whoever asks now has asked for it. */
  mine({ caller = null }) {
    return caller === this.caller;
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
    reply.caller = this.caller;
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
   * Go on with what another tab or an earlier page has begun to read or to stop.
   *
   * @param {object} turn
   * @param {boolean} anew Whether to try once more what was lost.
   */
  adopt(turn, anew = false) {
    for (const reply of turn.versions) {
      if (isOpen(reply) || reply.stopPending || (anew && mayReadOn(reply))) {
        void this.#adopt(turn, reply, anew);
      }
    }
  }

  async #adopt(stored, { id, caller }, anew) {
    if (this.running.has(id) || !this.mine({ caller })) return;
    await alone(id, async () => {
      // whoever read it before may have come to its end
      const turn = (await this.store.turn(stored.id)) ?? stored;
      const reply = turn.versions.find((version) => version.id === id);
      if (!reply || this.running.has(id)) return;
      if (anew && mayReadOn(reply)) Object.assign(reply, { state: "streaming", error: null });
      if (reply.stopPending && reply.stream !== null) {
        void this.#tell(turn, reply);
        return;
      }
      if (!isOpen(reply) && !reply.stopPending) return;
      const one = this.#enter(turn, reply, true);
      this.changed(turn, reply, "begun");
      if (reply.stream === null) unheard(reply, "the page was closed");
      else await this.#readOn(one);
      await this.#leave(one);
    });
  }

  /**
   * Stop the answers of a turn, here and at the server, whoever reads them.
   *
   * @param {object} stored
   */
  stop(stored) {
    for (const open of stored.versions.filter(isOpen)) {
      const elsewhere = { turn: stored, reply: open, resume: true };
      const one = this.running.get(open.id) ?? elsewhere;
      const { turn, reply, resume } = one;
      one.stopping = true;
      if (resume) stopping(reply);
      else stopped(reply, null);
      this.changed(turn, reply, "text");
      void this.#store(one);
      // who goes before the head came ends nothing at a server that keeps streams, and only with
      // the head comes the id by which it can be told
      if (reply.stream !== null || !resume) void this.#stopNow(one);
    }
  }

  /**
   * Tell the server of answers that were stopped, and whose conversations are gone.
   *
   * @param {object[]} open The turns of those that are not, which `adopt` sees to.
   */
  tellForgotten(open) {
    const kept = new Set(open.flatMap((turn) => turn.versions.map((reply) => reply.id)));
    for (const one of untold()) {
      if (!kept.has(one.id) && this.mine(one)) void this.#tell(null, { ...one, state: "stopped" });
    }
  }

  async #stopNow(one) {
    const { turn, reply, resume, abort } = one;
    if (resume && reply.stream !== null) keepUntold(reply);
    const told = reply.stream === null || (await this.#told(reply));
    if (!told && resume) void this.#tell(turn, reply);
    abort?.abort();
    dispatchEvent(new Event("hurry"));  // it may be waiting
    await this.#store(one);
    this.changed(turn, reply, "ended");
  }

  #enter(turn, reply, resume) {
    const [abort, patience] = [new AbortController(), new Patience()];
    const one = { turn, reply, resume, abort, patience, timer: null, stopping: false };
    this.running.set(reply.id, one);
    return one;
  }

  async #leave(one) {
    this.running.delete(one.reply.id);
    await this.#store(one);
    // that of another caller is still open
    this.changed(one.turn, one.reply, isOpen(one.reply) ? "waiting" : "ended");
  }

  /** Read events to the end of a connection, and on over further ones. */
  async #read(one, answer) {
    const { reply, turn } = one;
    try {
      for await (const event of events(answer)) {
        if (one.stopping) continue;
        const began = reply.first !== null;
        // nothing waited for this connection, so all its gaps count
        if (take(reply, event, Date.now(), reply.began)) {
          this.changed(turn, reply, !began && reply.first !== null ? "begun" : "text");
        }
        this.#storeSoon(one);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;  // a connection that broke is read on below
    }
    if (!isOpen(reply)) return;
    if (one.resume && reply.stream !== null) await this.#readOn(one);
    else fail(reply, "lost", { message: "the connection was lost", code: "gone" });
  }

  /** Read on behind the last event, until it ends or nothing can be read any more. */
  async #readOn(one) {
    const { reply, turn, patience } = one;
    let patient = false;
    while (isOpen(reply)) {
      if (this.caller === undefined) patience.pause ||= STORE_MS;
      if (patience.pause) {
        this.changed(turn, reply, "waiting");
        await patience.wait();
        if (!isOpen(reply)) return;
      }
      if (this.caller === undefined) continue;
      if (!this.mine(reply)) return;
      const seen = reply.event;
      const failure = await this.#readOnce(one, patient);
      if (!isOpen(reply)) return;
      if (reply.event > seen) {
        patience.again();
        patient &&= failure !== null;
        continue;
      }
      // what came in vain may have been lost on its last way
      patient = true;
      patience.failed();
      const words = failure && hopeless(failure);
      if (words) fail(reply, "lost", { message: words, code: "gone" });
      else if (patience.over) {
        fail(reply, "lost", { message: "the connection was lost, and could not be made again" });
      }
      if (failure?.status === 401 && !one.refused) {
        one.refused = true;
        dispatchEvent(new Event("keyrefused"));
      }
    }
  }

  /** One try; returns what failed. */
  async #readOnce(one, patient) {
    const { reply, turn } = one;
    const { signal } = one.abort;
    const path = `v1/streams/${encodeURIComponent(reply.stream)}?starting_after=${reply.event}`;
    const connected = Date.now();
    try {
      const found = patient
        ? eventsToTheLast(path, { signal })
        : events(await ask(path, { signal, cache: "no-store" }));
      for await (const event of found) {
        if (one.stopping) continue;
        if (take(reply, event, Date.now(), connected)) this.changed(turn, reply, "read on");
        this.#storeSoon(one);
      }
      return null;
    } catch (error) {
      if (one.stopping) return null;
      if (!(error instanceof Refused)) throw error;
      return error;
    }
  }

  #refused(one, error) {
    const { reply, stopping: over } = one;
    if (!over && !(error instanceof Refused)) throw error;
    if (!over) fail(reply, "failed", error);
    else if (!reply.stopPending || reply.stream !== null) return;
    // what the server refuses does not go on there
    else if (error.status) stopped(reply, null);
    else unheard(reply, "the connection was lost");
    if (error.status === 401) dispatchEvent(new Event("keyrefused"));
  }

  /** Tell the server that an answer was stopped, until it has heard. */
  async #tell(turn, reply) {
    const { id } = reply;
    if (this.telling.has(id)) return;
    const patience = new Patience();
    this.telling.add(id);
    keepUntold(reply);
    while (!(await this.#told(reply))) {
      patience.failed();
      await patience.wait();
    }
    this.telling.delete(id);
    if (turn === null) return;
    // another version may have begun meanwhile
    const now = this.turn(turn.id) ?? (await this.store.turn(turn.id)) ?? turn;
    now.versions = now.versions.map((one) => (one.id === id ? reply : one));
    await this.store.putTurn(now);
    this.changed(now, reply, "ended");
  }

  /** One try; returns whether there is no more to tell. */
  async #told(reply) {
    if (!this.mine(reply)) return false;
    let told = null;
    try {
      told = await askJson(`v1/streams/${encodeURIComponent(reply.stream)}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof Refused) || !hopeless(error)) return false;
    }
    stopped(reply, told);
    dropUntold(reply.id);
    return true;
  }

  #storeSoon(one) {
    one.timer ??= setTimeout(() => void this.#store(one), STORE_MS);
  }

  #store(one) {
    clearTimeout(one.timer);
    one.timer = null;
    return this.store.putTurn(one.turn);
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

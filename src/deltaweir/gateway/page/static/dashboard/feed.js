/**
 * The server's snapshots, one a second, for as long as somebody looks.
 */

import { Refused, ask, events } from "../api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
/** A server that says nothing for so long is lost, whatever the connection says. */
const SILENCE_MS = 10_000;
/** Answers to which asking again changes nothing. */
const FINAL = [400, 401, 403, 404, 405];

/**
 * @typedef {"connecting" | "live" | "reconnecting" | "paused" | "refused"} State
 */

/** Follows `GET /v1/dashboard`; connects again when the connection is lost. */
export class Feed {
  #show;
  #tell;
  #state = null;
  #wanted = false;
  #paused = false;
  #running = null;

  /**
   * @param {(snapshot: object) => void} show Called with each snapshot.
   * @param {(state: State, error: Refused | null) => void} tell Called when the state changes.
   */
  constructor(show, tell) {
    this.#show = show;
    this.#tell = tell;
  }

  /** Follow from now on, while the tab is seen. */
  start() {
    this.#wanted = true;
    document.addEventListener("visibilitychange", this.#settle);
    this.#settle();
  }

  /** Ask for nothing more. */
  stop() {
    this.#wanted = false;
    document.removeEventListener("visibilitychange", this.#settle);
    this.#settle();
  }

  /** @returns {boolean} Whether the person at the page has paused it. */
  get paused() {
    return this.#paused;
  }

  /** @param {boolean} wanted Whether to pause. */
  set paused(wanted) {
    this.#paused = wanted;
    this.#settle();
  }

  #settle = () => {
    const run = this.#wanted && !this.#paused && !document.hidden;
    if (run && this.#running === null) {
      this.#running = new AbortController();
      this.#follow(this.#running.signal);
    } else if (!run && this.#running !== null) {
      this.#running.abort();
      this.#running = null;
    }
    if (!run && this.#wanted) this.#become("paused");
  };

  #become(state, error = null) {
    if (state === this.#state) return;
    this.#state = state;
    this.#tell(state, error);
  }

  async #follow(signal) {
    let wait = FIRST_WAIT_MS;
    this.#become("connecting");
    while (!signal.aborted) {
      try {
        await this.#connection(signal, () => { wait = FIRST_WAIT_MS; });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
        if (FINAL.includes(error.status)) {
          this.#running = null;
          this.#become("refused", error);
          return;
        }
      }
      if (signal.aborted) return;
      this.#become("reconnecting");
      // not all pages at the same moment
      await sleep(wait * (0.75 + Math.random() / 2), signal);
      wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    }
  }

  /** Read one connection to its end, which may be an error; silence ends it too. */
  async #connection(signal, came) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const options = {
      headers: { accept: "text/event-stream" },
      cache: "no-store",
      signal: AbortSignal.any([signal, silence.signal]),
    };
    try {
      for await (const { event, data } of events(await ask("v1/dashboard", options))) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        if (event !== "snapshot" || signal.aborted) continue;
        came();
        this.#become("live");
        this.#show(JSON.parse(data));
      }
    } catch (error) {
      // an abort by silence is a lost connection
      if (!silence.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

function sleep(time_ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, time_ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/**
 * The server's routes, asked with the key that the person at the browser gave.
 *
 * Addresses are relative to the document, so the page works below any path that it is mounted at.
 */

import { decode } from "./events.js";
import { patientEvents } from "./patient_reading.js";
import { prefer, preference } from "./preferences.js";

/** What all that this page keeps is called: another gateway may be mounted beside it. */
export const HERE = `deltaweir${new URL(".", document.baseURI).pathname}`;

const KEPT = `${HERE}key`;
/** How long events are given out before the page may do something else. */
const TURN_MS = 8;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
/** What of the waiting may be in vain before a person has to say so; sleep does not count. */
const PATIENCE_MS = 5 * 60 * 1000;

/** An answer that refuses: its status, the error's code, and words for the person. */
export class Refused extends Error {
  /**
   * @param {number} status HTTP status; 0 where no answer came at all.
   * @param {string | null} code The error's code, such as `invalid_api_key`.
   * @param {string} message What the server says.
   */
  constructor(status, code, message) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.code = code;
  }
}

let key = ofThisTab() ?? preference(KEPT);

/**
 * Take a key from now on, for as long as the tab is open, or longer; `keygiven` tells of it.
 *
 * @param {string | null} given The key; null forgets it.
 * @param {boolean} keep Whether this browser keeps it after the tab is closed.
 */
export function useKey(given, keep = false) {
  key = given;
  prefer(KEPT, keep ? given : null);
  try {
    sessionStorage.removeItem(KEPT);
    if (given !== null && !keep) sessionStorage.setItem(KEPT, given);
  } catch {
    // storage is off: it holds for this page
  }
  dispatchEvent(new Event("keygiven"));
}

function ofThisTab() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;  // storage is off
  }
}

/** @returns {boolean} Whether a key was given. */
export function hasKey() {
  return key !== null;
}

/**
 * Ask a route.
 *
 * @param {string} path Below the page, such as `v1/models`.
 * @param {RequestInit} options As for `fetch`.
 * @returns {Promise<Response>} An answer with a status below 300.
 * @throws {Refused} The server refuses, has nothing (status 204), or cannot be reached (status 0). An abort is thrown on.
 */
export async function ask(path, options = {}) {
  const headers = withKey(options.headers);
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "The server cannot be reached.");
  }
  if (answer.ok && answer.status !== 204) return answer;
  throw refusedWith(answer.status, await answer.text().catch(() => ""));
}

function withKey(more) {
  const headers = new Headers(more);
  if (key !== null) headers.set("authorization", `Bearer ${key}`);
  return headers;
}

function refusedWith(status, text) {
  if (status === 0) return new Refused(0, "unreachable", "The connection was lost.");
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch {
    // something between us and the server has answered in its own words
  }
  return new Refused(status, error.code ?? null, error.message ?? `The server answered ${status}.`);
}

/**
 * Ask a route for JSON.
 *
 * @param {string} path As for `ask`.
 * @param {RequestInit} options As for `ask`.
 * @returns {Promise<any>} What it answers.
 */
export async function askJson(path, options = {}) {
  return (await ask(path, options)).json();
}

/**
 * Send JSON to a route.
 *
 * @param {string} path As for `ask`.
 * @param {any} body What is sent.
 * @param {RequestInit} options As for `ask`.
 * @returns {Promise<Response>} As from `ask`.
 */
export function send(path, body, options = {}) {
  const headers = { "content-type": "application/json", ...options.headers };
  return ask(path, { method: "POST", ...options, headers, body: JSON.stringify(body) });
}

/**
 * Read the server-sent events of an answer.
 *
 * @param {Response} answer From `ask` or `send`.
 * @returns {AsyncGenerator<import("./events.js").ServerEvent>} The events until the answer ends.
 * @throws {Refused} The connection breaks (status 0).
 */
export async function* events(answer) {
  // not through a TextDecoderStream: when a connection breaks, what is queued in it is lost
  const reader = answer.body.getReader();
  const text = new TextDecoder();
  const feed = decode();
  let since = performance.now();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of feed(text.decode(value, { stream: true }))) {
        yield event;
        // what waits already is read without a pause, and nothing would be drawn
        if (performance.now() - since > TURN_MS) {
          await new Promise((resolve) => setTimeout(resolve));
          since = performance.now();
        }
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "The connection was lost.");
  } finally {
    reader.cancel().catch(() => {});  // it may be broken already
  }
}

/**
 * Read the server-sent events of a route, to the last byte before a connection breaks; slower.
 *
 * @param {string} path As for `ask`.
 * @param {{signal?: AbortSignal}} options
 * @returns {AsyncGenerator<import("./events.js").ServerEvent>} The events until the answer ends.
 * @throws {Refused} The server refuses or has nothing (status 204), or the connection breaks.
 */
export function eventsToTheLast(path, { signal } = {}) {
  const address = new URL(path, document.baseURI).href;
  return patientEvents(address, { headers: withKey(), signal }, refusedWith);
}

/** Waits between tries, longer each time. */
export class Patience {
  pause = 0;
  spent = 0;

  /** A try has brought something: begin anew. */
  again() {
    this.pause = this.spent = 0;
  }

  /** @returns {boolean} Whether it was in vain for too long. */
  get over() {
    return this.spent > PATIENCE_MS;
  }

  /** A try was in vain. */
  failed() {
    this.pause = Math.min(LONGEST_PAUSE_MS, this.pause * 2 || FIRST_PAUSE_MS);
    if (navigator.onLine) this.spent += this.pause;
  }

  /** @returns {Promise<void>} Until it is time, the network is back, or `hurry` is dispatched. */
  wait() {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener("online", done);
        removeEventListener("hurry", done);
        resolve();
      };
      const timer = setTimeout(done, this.pause);
      addEventListener("online", done);
      addEventListener("hurry", done);
    });
  }
}

/**
 * Say why an answer can never be read on.
 *
 * @param {Refused} failure
 * @returns {string | null} Null where a later try may do: only the gateway itself knows better.
 */
export function hopeless({ status, code }) {
  if (status === 204) return "the stream has ended, and its end was not kept";
  const what = { stream_not_found: "know", stream_gone: "keep all of" }[code];
  return what ? `the server does not ${what} this stream any more; this is what came` : null;
}

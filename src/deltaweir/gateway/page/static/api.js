/**
 * The server's routes, asked with the key that the person at the browser gave.
 *
 * Addresses are relative to the document, so the page works below any path that it is mounted at.
 */

import { decode } from "./events.js";
import { patientEvents } from "./patient_reading.js";
import { prefer, preference } from "./preferences.js";

const KEPT = "deltaweir.key";
/** How long events are given out before the page may do something else. */
const TURN_MS = 8;

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
 * Take a key from now on, for as long as the tab is open, or longer.
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
 * @throws {Refused} The server refuses, or cannot be reached (status 0). An abort is thrown on.
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
  if (answer.ok) return answer;
  throw await refusal(answer);
}

function withKey(more) {
  const headers = new Headers(more);
  if (key !== null) headers.set("authorization", `Bearer ${key}`);
  return headers;
}

async function refusal(answer) {
  return refusedWith(answer.status, await answer.text().catch(() => ""));
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

/**
 * The server's routes, asked with the key that the person at the browser gave.
 *
 * Addresses are relative to the document, so the page works below any path that it is mounted at.
 */

import { decode } from "./events.js";

const KEPT = "deltaweir.key";

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

let key = sessionStorage.getItem(KEPT) ?? localStorage.getItem(KEPT);

/**
 * Take a key from now on, for as long as the tab is open, or longer.
 *
 * @param {string | null} given The key; null forgets it.
 * @param {boolean} keep Whether this browser keeps it after the tab is closed.
 */
export function useKey(given, keep = false) {
  key = given;
  sessionStorage.removeItem(KEPT);
  localStorage.removeItem(KEPT);
  if (given !== null) (keep ? localStorage : sessionStorage).setItem(KEPT, given);
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
  const headers = new Headers(options.headers);
  if (key !== null) headers.set("authorization", `Bearer ${key}`);
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

async function refusal(answer) {
  const said = await answer.json().catch(() => null);
  const error = said?.error ?? {};
  const message = error.message ?? `The server answered ${answer.status}.`;
  return new Refused(answer.status, error.code ?? null, message);
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
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const feed = decode();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* feed(value);
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "The connection was lost.");
  } finally {
    reader.cancel().catch(() => {});  // it may be broken already
  }
}

/**
 * Reading an answer to the last byte before its connection breaks.
 *
 * `fetch` drops what has come but was not taken yet when a connection breaks; behind a proxy that
 * breaks each one soon, that may be all of it. XMLHttpRequest gives every piece first. It keeps all
 * of the text besides, so it is for the tries after one that brought nothing.
 */

import { decode } from "./events.js";

/** Characters of one request: each piece costs a copy of all before it. */
const MOST = 256 * 1024;

/**
 * Read the server-sent events at an address.
 *
 * @param {string} address
 * @param {{headers: Headers, signal?: AbortSignal}} options
 * @param {(status: number, text: string) => Error} refused Makes the error of an answer that
 *   refuses, and with status 0 that of a connection that breaks.
 * @returns {AsyncGenerator<import("./events.js").ServerEvent>} The events, to the end or some way on.
 * @throws {Error} From `refused`; AbortError where it was aborted.
 */
export async function* patientEvents(address, { headers, signal }, refused) {
  const request = new XMLHttpRequest();
  const feed = decode();
  let waiting = [];
  let read = 0;
  let end = null;
  let wake = () => {};
  request.open("GET", address);
  for (const [name, value] of headers) request.setRequestHeader(name, value);
  request.addEventListener("readystatechange", () => {
    if (request.readyState >= XMLHttpRequest.LOADING && request.status === 200) {
      const text = request.responseText;
      if (text.length > read) waiting.push(...feed(text.slice(read)));
      read = Math.max(read, text.length);
    }
    wake();
  });
  request.addEventListener("load", () => {
    const { status } = request;
    end = status === 200 ? "whole" : status === 204 ? refused(204, "") : refused(status, request.responseText);
    wake();
  });
  request.addEventListener("error", () => {
    end = refused(0, "");
    wake();
  });
  const abort = () => request.abort();
  request.addEventListener("abort", () => {
    end = new DOMException("aborted", "AbortError");
    wake();
  });
  signal?.addEventListener("abort", abort);
  request.send();
  try {
    for (;;) {
      const now = waiting;
      waiting = [];
      yield* now;
      if (waiting.length) continue;
      if (read > MOST) return;
      if (end === "whole") return;
      if (end !== null) throw end;
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    request.abort();
  }
}

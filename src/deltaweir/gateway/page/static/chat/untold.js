/**
 * Answers that somebody stopped, and of which the server is still to be told. They outlive the page,
 * and the conversation in which they stood.
 */

import { HERE } from "../api.js";

const NAME = `${HERE}untold`;
/** More than a person stops while there is no network; the server keeps none for long. */
const MOST = 100;

/** @returns {{id: string, stream: string, caller: string | null}[]} Those that are kept. */
export function untold() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];  // storage is off
  }
}

/** @param {import("./reply.js").Reply} reply One more. */
export function keepUntold({ id, stream, caller = null }) {
  put([...others(id), { id, stream, caller }].slice(-MOST));
}

/** @param {string} id Of an answer: there is no more to tell of it. */
export function dropUntold(id) {
  if (others(id).length < untold().length) put(others(id));
}

function others(id) {
  return untold().filter((one) => one.id !== id);
}

function put(all) {
  try {
    if (all.length) localStorage.setItem(NAME, JSON.stringify(all));
    else localStorage.removeItem(NAME);
  } catch {
    // storage is off, or full: they last as long as the page
  }
}

/** What the tests of the page's pure modules share: its files, and cuts. */

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const STATIC = new URL("../../../src/deltaweir/gateway/page/static/", import.meta.url);

/** Return a module of the page. */
export function ours(path) {
  return import(new URL(path, STATIC));
}

/** Return markdown-it, as it lies there. */
export function markdownIt() {
  const path = fileURLToPath(new URL("vendor/markdown-it.umd.min.js", STATIC));
  return createRequire(import.meta.url)(path);
}

/** Return numbers that are the same in each run: `below(n)` is less than n. */
export function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

/** Cut a text at random places. */
export function cutUp(text, below) {
  const pieces = [];
  for (let at = 0; at < text.length; ) {
    const end = at + 1 + below(below(4) === 0 ? 12 : 3);
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

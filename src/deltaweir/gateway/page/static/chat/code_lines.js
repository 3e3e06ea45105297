/**
 * Code that grows, laid out in parts: a browser lays out a whole paragraph anew for each letter.
 */

import { element } from "./markdown.js";

/** Lines that are laid out together. */
const LINES = 50;

/**
 * Add to code; what is there already stays untouched.
 *
 * @param {HTMLElement} code
 * @param {string} text
 */
export function addCode(code, text) {
  let rest = text;
  while (rest !== "") {
    let last = code.lastElementChild;
    if (!last || last.lines >= LINES) {
      last = code.appendChild(element("span", "lines"));
      last.lines = 0;
      last.append("");
    }
    let end = 0;
    while (last.lines < LINES && end < rest.length) {
      const newline = rest.indexOf("\n", end);
      end = newline < 0 ? rest.length : newline + 1;
      if (newline >= 0) last.lines += 1;
    }
    last.lastChild.appendData(rest.slice(0, end));
    rest = rest.slice(end);
  }
}

/**
 * Code that grows, laid out in parts: a browser lays out a whole paragraph anew for each letter.
 *
 * A line gets its colours when it ends, and is not touched any more.
 */

import { colouredLine, languageNamed } from "./colours.js";
import { element } from "./markdown.js";
import { hasMarks } from "./marks.js";

/** Lines that are laid out together. */
const LINES = 50;

/**
 * @param {string} name Of its language, as the model calls it.
 * @returns {HTMLElement} Code that is empty, for `addCode`.
 */
export function emptyCode(name) {
  const code = element("code");
  code.language = languageNamed(name);
  code.open = null;
  return code;
}

/**
 * Add to code; what is there already stays untouched.
 *
 * @param {HTMLElement} code From `emptyCode`.
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
    // with colours each line is dealt with by itself
    const most = code.language ? last.lines + 1 : LINES;
    let end = 0;
    while (last.lines < most && end < rest.length) {
      const newline = rest.indexOf("\n", end);
      end = newline < 0 ? rest.length : newline + 1;
      if (newline >= 0) last.lines += 1;
    }
    last.lastChild.appendData(rest.slice(0, end));
    rest = rest.slice(end);
    if (code.language && last.lines === most) colour(code, last);
  }
}

/** Colour the line that has ended, and begin another one. */
function colour(code, last) {
  const whole = last.lastChild;
  const line = whole.data.slice(0, -1);
  const { parts, open } = colouredLine(code.language, line, code.open);
  code.open = open;
  // a mark of a guard is found in one piece of text
  if (!hasMarks(line) && parts.some(({ kind }) => kind)) {
    whole.replaceWith(...parts.map(({ kind, text }) => {
      if (!kind) return text;
      const span = element("span", `code-${kind}`);
      span.textContent = text;
      return span;
    }), "\n");
  }
  last.append("");
}

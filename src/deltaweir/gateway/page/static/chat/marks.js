/**
 * Where a guard has put something in the place of what it took out. No DOM.
 *
 * The verdicts at the end say where in the generated text each match was, so what the model itself
 * wrote in this form is told apart. While a text arrives they are not known yet; until then
 * whatever has the form counts, if a guard watches at all.
 *
 * On the way through Markdown a mark is a number between two noncharacters, which no syntax knows
 * and no text has: theirs are taken out of what a model writes.
 */

const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";
const FORM = /\[REDACTED(?::([^\]\n]{1,80}))?\]/g;
const FULL_FORM = /^(?:\[REDACTED(?::([^\]\n]{1,80}))?\]|███)/;
const MARK = new RegExp(`${OPEN}(\\d+)${CLOSE}`, "g");
const LONGEST = 96;

/**
 * @typedef {object} Mark
 * @property {string} text What stands there, such as `[REDACTED:email]`.
 * @property {string} rule The rule that found it, or the label while only that is known.
 */

/**
 * @typedef {object} Marked
 * @property {string} text With numbers in the places of marks.
 * @property {Mark[]} marks By their numbers.
 */

/**
 * Mark what has the form.
 *
 * @param {string} text What came.
 * @param {number} first The number of the first mark.
 * @returns {Marked}
 */
export function markedByForm(text, first = 0) {
  const marks = [];
  const shown = plain(text).replace(FORM, (found, label) => {
    marks.push({ text: found, rule: label ?? "" });
    return OPEN + (first + marks.length - 1) + CLOSE;
  });
  return { text: shown, marks };
}

/**
 * Mark what the verdicts tell of.
 *
 * @param {string} text The whole text as it was shown.
 * @param {object[]} verdicts Of one field of one choice: `rule`, `action`, `offset` and `length`,
 *   in characters of what was generated.
 * @returns {Marked} Without marks where text and verdicts do not fit, as after a cut.
 */
export function markedByVerdicts(text, verdicts) {
  const runs = runsOf(verdicts);
  const parts = [];
  const marks = [];
  let from = 0;  // in the text, code units
  let generated = 0;  // characters of what was generated, up to there
  for (const run of runs) {
    const at = behind(text, from, run.offset - generated);
    const found = at < 0 ? null : FULL_FORM.exec(text.slice(at, at + LONGEST));
    if (found === null) break;  // what came last was never shown
    parts.push(plain(text.slice(from, at)), OPEN + marks.length + CLOSE);
    marks.push({ text: found[0], rule: run.rules.join(", ") });
    from = at + found[0].length;
    generated = run.offset + run.length;
  }
  parts.push(plain(text.slice(from)));
  return { text: parts.join(""), marks };
}

/**
 * Return how much of the end of a text may be the beginning of a mark.
 *
 * @param {string} text What came so far.
 * @returns {number} Code units.
 */
export function mayBecomeMark(text) {
  const at = text.lastIndexOf("[", text.length);
  const rest = at < 0 ? "" : text.slice(at);
  const possible = "[REDACTED:".startsWith(rest) || rest.startsWith("[REDACTED:");
  return possible && rest.length <= LONGEST && !/[\]\n]/.test(rest) ? rest.length : 0;
}

/**
 * Cut a text at its marks.
 *
 * @param {string} text Marked.
 * @returns {(string | number)[]} Texts, and the numbers of marks.
 */
export function atMarks(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(MARK)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    parts.push(Number(found[1]));
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/**
 * Tell whether a text has marks, also where they were escaped for an address.
 *
 * @param {string} text
 * @returns {boolean}
 */
export function hasMarks(text) {
  return text.includes(OPEN) || /%EF%B7%90/i.test(text);
}

/**
 * Return a text with the words of its marks.
 *
 * @param {string} text Marked.
 * @param {Mark[]} marks
 * @returns {string}
 */
export function unmarked(text, marks) {
  return text.replace(MARK, (_, number) => marks[number]?.text ?? "");
}

function plain(text) {
  return text.replace(/[\uFDD0\uFDD1]/g, "\uFFFD");
}

/** Verdicts that touch are one run, for which one word stands. */
function runsOf(verdicts) {
  const hiding = verdicts.filter((one) => one.action === "redact" && one.length > 0);
  const runs = [];
  for (const one of hiding.sort((a, b) => a.offset - b.offset)) {
    const last = runs.at(-1);
    if (last && one.offset <= last.offset + last.length) {
      last.length = Math.max(last.length, one.offset + one.length - last.offset);
      if (!last.rules.includes(one.rule)) last.rules.push(one.rule);
    } else {
      runs.push({ offset: one.offset, length: one.length, rules: [one.rule] });
    }
  }
  return runs;
}

/** The index so many characters behind another; -1 where the text is shorter. */
function behind(text, from, characters) {
  let at = from;
  for (let left = characters; left > 0; left -= 1) {
    if (at >= text.length) return -1;
    at += text.codePointAt(at) > 0xffff ? 2 : 1;
  }
  return characters < 0 ? -1 : at;
}

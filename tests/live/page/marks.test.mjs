/** Marks stand where a guard took something out, and nowhere else. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { cutUp, numbers, ours } from "./reading.mjs";

const { atMarks, markedByForm, markedByVerdicts, mayBecomeMark, unmarked } = await ours("chat/marks.js");

const redact = (rule, offset, length) => ({ rule, action: "redact", choice: 0, field: "content", offset, length });

test("verdicts tell the model's own words apart", () => {
  const shown = "😀 I say [REDACTED:email] and [REDACTED:email]!";
  const found = markedByVerdicts(shown, [redact("email", 29, 8)]);
  assert.equal(found.marks.length, 1);
  const [before, number, after] = atMarks(found.text);
  assert.equal(before, "😀 I say [REDACTED:email] and ");
  assert.deepEqual([number, after], [0, "!"]);
  assert.equal(unmarked(found.text, found.marks), shown);
});

test("verdicts that touch or overlap are one mark, with the names of all rules", () => {
  const shown = "a [REDACTED:card] b ███ c";
  const verdicts = [redact("x", 12, 2), redact("card", 2, 6), redact("iban", 5, 4)];
  const found = markedByVerdicts(shown, verdicts);
  assert.deepEqual(found.marks.map((mark) => mark.rule), ["card, iban", "x"]);
});

test("a verdict on what was never shown ends it", () => {
  assert.deepEqual(markedByVerdicts("cut off", [redact("email", 20, 5)]).marks, []);
  assert.deepEqual(markedByVerdicts("no mark here", [redact("email", 3, 5)]).marks, []);
});

test("rules that only flag or block leave no mark", () => {
  const flag = { ...redact("rude", 0, 3), action: "flag" };
  assert.deepEqual(markedByVerdicts("say", [flag]).marks, []);
});

test("what looks like a mark inside of Markdown cannot forge one", () => {
  const found = markedByForm("\uFDD00\uFDD1 [REDACTED:a]");
  assert.equal(found.marks.length, 1);
  assert.equal(atMarks(found.text)[0], "\uFFFD0\uFFFD ");
});

test("by form, however the text is cut", () => {
  const text = "one [REDACTED:email], [REDACTED] [RED] [x](y) [REDACTED:broken\n] end [REDACTED:z]";
  const wanted = markedByForm(text).text;
  const below = numbers(3);
  for (let round = 0; round < 300; round += 1) {
    let held = "";
    let shown = "";
    let count = 0;
    const feed = (piece, done) => {
      const all = held + piece;
      const keep = done ? 0 : mayBecomeMark(all);
      held = keep ? all.slice(-keep) : "";
      const found = markedByForm(keep ? all.slice(0, -keep) : all, count);
      count += found.marks.length;
      shown += found.text;
    };
    for (const piece of cutUp(text, below)) feed(piece, false);
    feed("", true);
    assert.equal(shown, wanted);
  }
});

/** However a text is cut, its blocks are the same, and render to what the whole does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { cutUp, markdownIt, numbers, ours } from "./reading.mjs";

const { GrowingText, blocksOf, piecewise, rendered } = await ours("chat/blocks.js");
const OPTIONS = { html: false, linkify: true };
const whole = markdownIt()(OPTIONS);
const parser = piecewise(markdownIt()(OPTIONS));
const PARTS = [
  "# h\n", "para ", "*b* ", "\n", "\n\n", "- a", "\n- ", "\n  - ", "1. x", "\n2. y", "```\n",
  "~~~\n", "    code\n", "> q\n", ">", " ", "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "===\n",
  "---\n", "[l]: http://x\n", "[l]", "'t", "'\n", "\t", "<div>\n", "* * *\n", "\\", "`c`", "**",
  "x\r\n", "\r", "&amp;", "![i](http://y)", "http://z.zz ", "+ ", "[l]: <http://q>\n'tit\nle'\n",
  "# ", "1) ", "0", "``", "\0", "é", "😀",
];

function fed(pieces) {
  const text = new GrowingText(parser);
  const sources = pieces.flatMap((piece) => text.feed(piece));
  return { sources: [...sources, text.rest()], references: text.definitions };
}

function html({ sources, references }) {
  return sources.map((source) => whole.render(source, { references })).join("");
}

/** The same by blocks and pieces, as the page does it; without the tags that it makes itself. */
function pieced({ sources, references }) {
  const env = { references: { ...references } };
  return sources
    .flatMap((source) => blocksOf(parser, source, env))
    .flatMap(({ pieces }) => pieces.map(({ tokens }) => rendered(parser, tokens, env)))
    .join("");
}

function bare(text) {
  return text.replace(/<\/?(ul|ol|table|tbody)( [^>]*)?>\n?/g, "");
}

function random(below) {
  const count = 1 + below(14);
  return Array.from({ length: count }, () => PARTS[below(PARTS.length)]).join("");
}

test("random Markdown, cut at random places and character by character", () => {
  const below = numbers(8);
  for (let round = 0; round < 1500; round += 1) {
    const text = random(below);
    const once = fed([text]);
    for (const pieces of [cutUp(text, below), [...text]]) {
      assert.deepEqual(fed(pieces).sources, once.sources, JSON.stringify(text));
    }
    const wanted = whole.render(text);
    assert.equal(html(once), wanted, JSON.stringify(text));
    assert.equal(bare(pieced(once)), bare(wanted), JSON.stringify(text));
  }
});

test("what is finished is not read again", () => {
  const text = new GrowingText(parser);
  for (let number = 0; number < 500; number += 1) {
    text.feed(`Paragraph ${number}.\n\n`);
    assert.ok(text.tail.length < 60);
  }
});

test("of a long list only what changes has another key", () => {
  const items = Array.from({ length: 200 }, (_, number) => `- item ${number}\n`).join("");
  const keys = (source) => blocksOf(parser, source, {})[0].pieces.map(({ key }) => key);
  const before = keys(items);
  const after = keys(`${items}- one more`);
  assert.equal(after.length, 201);
  assert.deepEqual(after.slice(0, 200), before);
});

test("of a long table only what changes has another key", () => {
  const rows = Array.from({ length: 200 }, (_, number) => `| ${number} | x |\n`).join("");
  const keys = (source) => blocksOf(parser, source, {})[0].pieces.map(({ key, part }) => [key, part]);
  const before = keys(`| a | b |\n|---|---|\n${rows}`);
  const after = keys(`| a | b |\n|---|---|\n${rows}| new | y |\n`);
  assert.equal(after[0][1], "head");
  assert.deepEqual(after.slice(0, 201), before);
});

test("definitions are counted once each, the first of a name holds", () => {
  const text = new GrowingText(parser);
  for (let number = 0; number < 300; number += 1) {
    text.feed(`[d${number % 100}]: http://x/${number}\n\nSee [d${number % 100}].\n\n`);
  }
  text.rest();
  assert.equal(text.count, 100);
  const [{ pieces: [{ tokens }] }] = blocksOf(parser, "[d7]", text.env());
  assert.match(rendered(parser, tokens, text.env()), /href="http:\/\/x\/7"/);
});

test("prose too long to be read is plain, wherever it stands", () => {
  for (const before of ["> ", "- ", "# ", "| a |\n|-|\n| "]) {
    const [{ pieces }] = blocksOf(parser, `${before}${"[a](".repeat(6000)}<b>`, {});
    const found = pieces.map(({ tokens }) => rendered(parser, tokens, { references: {} })).join("");
    assert.match(found, /\[a\]\(\[a\]\(.*&lt;b&gt;/s);
  }
});

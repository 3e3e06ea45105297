/** Colours of code: nothing of a line is lost, and a line knows what the one before left open. */

import assert from "node:assert/strict";
import test from "node:test";

import { numbers, ours } from "./reading.mjs";

const { colouredLine, languageNamed } = await ours("chat/colours.js");

function coloured(name, text) {
  const language = languageNamed(name);
  let open = null;
  return text.split("\n").flatMap((line) => {
    const found = colouredLine(language, line, open);
    open = found.open;
    assert.equal(found.parts.map((part) => part.text).join(""), line);
    return found.parts.filter(({ kind }) => kind).map(({ kind, text: said }) => `${kind} ${said}`);
  });
}

test("words, texts, figures and comments", () => {
  const cases = [
    ["python", "def f(x): return 'it\\'s' + 0x1F  # why", ["word def", "word return", "text 'it\\'s'", "figure 0x1F", "comment # why"]],
    ["py", '"""One\ntwo def\n"""\ndef', ['text """One', "text two def", 'text """', "word def"]],
    ["js", "const a = `x\n${y}` // no", ["word const", "text `x", "text ${y}`", "comment // no"]],
    ["c", "int a; /* one\n two */ char b = 'c';", ["word int", "comment /* one", "comment  two */", "word char", "text 'c'"]],
    ["bash", 'echo "$#" ${a#b} # so\nif', ['text "$#"', "comment # so", "word if"]],
    ["SQL", "SELECT a FROM b -- all", ["word SELECT", "word FROM", "comment -- all"]],
    ["html", '<p class="x">if</p><!-- no\nno -->', ["word p", 'text "x"', "word p", "comment <!-- no", "comment no -->"]],
    ["json", '{"a": [1.5e3, true]}', ['text "a"', "figure 1.5e3", "word true"]],
    ["rust", "fn f<'a>(x: &'a str) {}", ["word fn"]],
    ["rust", "let q = '\"'; let z = '\\''; // 'a", ["word let", "text '\"'", "word let", "text '\\''", "comment // 'a"]],
    ["python", "x = 'open", ["text 'open"]],
    ["html", "<p title='a b'>Don't if it's / so</p>", ["word p", "text 'a b'", "word p"]],
    ["bash", "echo don't # why\necho 'it'", ["comment # why", "text 'it'"]],
    ["yaml", "note: it's here # why", ["comment # why"]],
    ["cpp", "int a = 1'000'000; char b = 'c';", ["word int", "figure 1", "figure 000", "figure 000", "word char", "text 'c'"]],
    ["python", "r'a' + f'b'", ["text 'a'", "text 'b'"]],
  ];
  for (const [name, text, wanted] of cases) assert.deepEqual(coloured(name, text), wanted, name);
});

test("browsers without lookbehind can read the patterns", () => {
  for (const name of ["python", "html", "js", "rust", "sql"]) {
    assert.doesNotMatch(languageNamed(name).pattern.source, /\(\?<[=!]/, name);
  }
});

test("what is no language stays plain", () => {
  for (const name of ["", "text", "constructor", "__proto__", "no such"]) assert.equal(languageNamed(name), null);
});

test("no text is lost, whatever it is", () => {
  const below = numbers(5);
  const signs = ["'", '"', "`", "/*", "*/", "//", "#", "--", "<!--", "-->", "\\", "def", " ", "7", "é", "\uFDD0", '"""', "<p"];
  for (const name of ["python", "ts", "sql", "html", "css", "bash", "yaml", "lua"]) {
    for (let round = 0; round < 300; round += 1) {
      const text = Array.from({ length: 12 }, () => signs[below(signs.length)]).join("");
      coloured(name, `${text}\n${text}`);
    }
  }
});

test("a line without end stays plain", () => {
  const line = "if 'a' ".repeat(200);
  const found = colouredLine(languageNamed("js"), line, null);
  assert.deepEqual(found, { parts: [{ kind: "", text: line }], open: null });
});

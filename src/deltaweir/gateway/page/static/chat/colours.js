/**
 * Lines of code taken apart into what has a colour: words of the language, texts, figures and
 * comments. No DOM.
 *
 * It knows no grammar, only what begins and ends these in a language; what it cannot tell stays
 * plain. Line by line, with what the line before left open, so that code may grow.
 */

/** Lines longer than any that is meant to be read stay plain. */
const LONGEST_LINE = 1000;
const FIGURE = "\\b(?:0[xXbBoO][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)[a-zA-Z]{0,3}\\b";
const WORD = "[A-Za-z_$@][\\w$]*";

/** What stands before an apostrophe that begins a text: no letter (don't), and no figure (1'000). */
const NO_WORD = /(?:^|[^\w\\])$/;
const BLANK = /(?:^|\s)$/;

const C_BLOCK = { "/*": { kind: "comment", end: "*/" } };
const C_LIKE = { line: "\\/\\/.*", opens: C_BLOCK, quotes: "\"'" };
const HASH = { line: "#.*", opens: {}, quotes: "\"'", behind: { comment: BLANK, text: NO_WORD } };
const long = (...marks) =>
  Object.fromEntries(marks.map((mark) => [mark, { kind: "text", end: mark }]));
const SCRIPT = "async await break case catch class const continue default delete do else export extends "
  + "false finally for from function if import in instanceof let new null of return static super switch "
  + "this throw true try typeof undefined var void while yield";
const TYPED = "abstract any as boolean declare enum implements interface keyof namespace never number private "
  + "protected public readonly string type unknown";
const C_WORDS = "auto bool break case char const continue default do double else enum extern float for goto if "
  + "inline int long return short signed sizeof static struct switch typedef union unsigned void volatile while "
  + "true false NULL";

/** Names of languages, what they look like, and their words. */
const KNOWN = [
  ["python py python3", { ...HASH, opens: long('"""', "'''"), behind: { comment: BLANK } },
    "and as assert async await break case class continue def del elif else except False finally for from global "
    + "if import in is lambda match None nonlocal not or pass raise return self True try while with yield"],
  ["javascript js jsx mjs node", { ...C_LIKE, opens: { ...C_BLOCK, ...long("`") } }, SCRIPT],
  ["typescript ts tsx", { ...C_LIKE, opens: { ...C_BLOCK, ...long("`") } }, `${SCRIPT} ${TYPED}`],
  ["c h", C_LIKE, C_WORDS],
  ["cpp c++ cc cxx hpp", C_LIKE, `${C_WORDS} catch class constexpr delete explicit friend namespace new noexcept `
    + "nullptr operator override private protected public template this throw try typename using virtual"],
  ["java kotlin kt csharp cs c# scala swift dart", C_LIKE, `${C_WORDS} abstract async await boolean byte catch `
    + "class data extends final finally fun func guard implements import in init instanceof interface internal is let "
    + "namespace new nil null object override package private protected public record sealed self string String "
    + "super this throw throws try using val var when where yield"],
  ["go golang", { ...C_LIKE, opens: { ...C_BLOCK, ...long("`") } },
    "any bool break byte case chan const continue default defer else error fallthrough false float64 for func go if "
    + "import int int64 interface iota map nil package range return rune select string struct switch true type var"],
  ["rust rs", { ...C_LIKE, quotes: '"', letter: "'(?:\\\\.|[^'\\\\])'", behind: {} },
    "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move "
    + "mut pub ref return self Self static struct super trait true type unsafe use where while"],
  ["php", C_LIKE, `${SCRIPT} abstract array as echo fn foreach implements interface namespace private protected `
    + "public require use"],
  ["bash sh shell zsh console", HASH,
    "case do done elif else esac export fi for function if in local return select set then until while"],
  ["ruby rb", HASH, "and begin break class def do else elsif end ensure false for if in module next nil not or "
    + "require rescue return self super then true unless until when while yield"],
  ["yaml yml toml ini dockerfile makefile make r", HASH, "true false null yes no on off TRUE FALSE NULL function if "
    + "else for in while return FROM RUN COPY CMD ENV WORKDIR ENTRYPOINT EXPOSE ARG ADD USER"],
  ["json jsonc json5", C_LIKE, "true false null"],
  ["sql postgresql sqlite mysql", { line: "--.*", opens: C_BLOCK, quotes: "'\"", folds: true },
    "add all alter and as asc begin between by case check column commit constraint create cross default delete desc "
    + "distinct drop else end exists foreign from full group having if in index inner insert into is join key left "
    + "like limit not null on or order outer primary references returning right rollback select set table then "
    + "union unique update using values view when where with"],
  ["css scss less", { line: null, opens: C_BLOCK, quotes: "\"'" }, "@media @import @supports @keyframes important"],
  ["html xml svg vue", { line: null, opens: { "<!--": { kind: "comment", end: "-->" } }, quotes: "\"'",
    word: "[A-Za-z][\\w-]*", behind: { text: NO_WORD, word: /<\/?$/ } }, null],
  ["lua", { line: "--.*", opens: {}, quotes: "\"'" },
    "and break do else elseif end false for function if in local nil not or repeat return then true until while"],
];

const languages = new Map();
for (const [names, look, words] of KNOWN) {
  for (const name of names.split(" ")) languages.set(name, { look, words });
}

/**
 * @param {string} name As a model calls it.
 * @returns {object | null} What `colouredLine` knows of the language; null where that is nothing.
 */
export function languageNamed(name) {
  const found = languages.get(name.toLowerCase());
  if (!found) return null;
  found.made ??= made(found);
  return found.made;
}

/**
 * Take a line apart.
 *
 * @param {object} language From `languageNamed`.
 * @param {string} line Without its end.
 * @param {object | null} open What the line before left open.
 * @returns {{parts: {kind: string, text: string}[], open: object | null}} The parts make up the
 *   line; `kind` is `word`, `text`, `figure`, `comment`, or empty for what is plain.
 */
export function colouredLine(language, line, open) {
  const parts = [];
  if (line.length > LONGEST_LINE) return { parts: [{ kind: "", text: line }], open };
  const put = (kind, text) => {
    if (text === "") return;
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else parts.push({ kind, text });
  };
  for (let at = 0; at < line.length; ) {
    if (open !== null) {
      const end = line.indexOf(open.end, at);
      const behind = end < 0 ? line.length : end + open.end.length;
      put(open.kind, line.slice(at, behind));
      if (end >= 0) open = null;
      at = behind;
      continue;
    }
    language.pattern.lastIndex = at;
    const found = language.pattern.exec(line);
    put("", line.slice(at, found?.index));
    if (found === null) break;
    const { opening } = found.groups;
    if (opening !== undefined) open = language.opens[opening];
    const kind = opening === undefined ? kindOf(language, found, line) : open.kind;
    const text = kind === null ? found[0][0] : found[0];
    put(kind ?? "", text);
    at = found.index + text.length;
  }
  return { parts, open };
}

/** What was found; null where it cannot begin there, and only looks like it. */
function kindOf({ words, folds, behind }, { 0: text, index, groups }, line) {
  const kind = ["comment", "text", "figure", "word"].find((one) => groups[one] !== undefined);
  // not by lookbehind, which browsers of 2022 cannot read
  const placed = behind[kind]?.test(line.slice(Math.max(0, index - 2), index)) ?? true;
  if (kind === "word") {
    return placed && (words?.has(folds ? text.toLowerCase() : text) ?? true) ? kind : "";
  }
  return placed || (kind === "text" && text[0] !== "'") ? kind : null;
}

function made({ look, words }) {
  const { line, opens, quotes, letter, folds = false, word = WORD, behind = { text: NO_WORD } } = look;
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  const texts = [...quotes].map((quote) => `${quote}(?:\\\\.|[^${quote}\\\\])*${quote}?`);
  if (letter) texts.push(letter);
  const starts = Object.keys(opens).map(escaped);
  const groups = [
    starts.length ? `(?<opening>${starts.join("|")})` : "(?<opening>(?!))",
    `(?<comment>${line ?? "(?!)"})`, `(?<text>${texts.join("|")})`, `(?<figure>${FIGURE})`, `(?<word>${word})`,
  ];
  const known = words === null ? null : new Set(words.split(" "));
  return { pattern: new RegExp(groups.join("|"), "g"), opens, words: known, folds, behind };
}

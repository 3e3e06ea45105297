/**
 * Where a growing Markdown text may be cut, and what of it must be rendered anew. No DOM.
 *
 * A block of the outermost level is finished once another one begins behind it on a whole line:
 * Markdown is read line by line, so nothing that follows can change where it ended. Only the text
 * behind the last finished block is read again when more arrives. What is open may be long by
 * itself, such as a list of a thousand items; so it is taken apart into pieces (items of a list,
 * rows of a table), each with a key that is another one whenever its rendering would be.
 *
 * However a text is cut into deltas, the finished blocks come out the same, and all of them
 * together render to what the whole text does. One thing reaches backwards: the definition of a
 * link, `[1]: https://...`. It holds for the blocks behind it at once, and for those before it when
 * the text has ended (`rest`).
 */

/**
 * @typedef {object} Piece
 * @property {string} key Equal keys render equally.
 * @property {object[]} tokens The parser's tokens; their text is not taken apart yet.
 * @property {string} part What it is: `block`, or within its block `item`, `head` or `row`.
 */

/**
 * @typedef {object} Block
 * @property {string} kind `list`, `table`, `fence` or `block`.
 * @property {object} open The first token, for its tag.
 * @property {Piece[]} pieces
 */

/** Prose longer than any that is meant to be read is shown as it is written. */
export const LONGEST_PROSE = 20_000;

/** A text that grows; gives each finished block once. */
export class GrowingText {
  /**
   * @param {object} markdown A parser of markdown-it.
   */
  constructor(markdown) {
    this.markdown = markdown;
    /** What is not finished yet. */
    this.tail = "";
    /** Definitions of links, of finished blocks and, after each `open`, of what is open. */
    this.definitions = Object.create(null);
    /** How many of them finished blocks have. */
    this.count = 0;
    this.heldReturn = false;
  }

  /**
   * Take what came.
   *
   * @param {string} text A delta, cut anywhere.
   * @returns {string[]} The sources of the blocks that are finished by it.
   */
  feed(text) {
    let more = (this.heldReturn ? "\r" : "") + text;
    // half of a pair, perhaps
    this.heldReturn = more.endsWith("\r");
    if (this.heldReturn) more = more.slice(0, -1);
    const before = this.tail.length;
    this.tail += normal(more);
    // nothing can be finished by half a line
    if (!this.tail.includes("\n", before)) return [];
    return this.#finished();
  }

  /** @returns {Block[]} What is open, as it stands; each call reads it anew. */
  open() {
    return blocksOf(this.markdown, this.tail, this.env());
  }

  /** @returns {object} The parser's environment for what comes behind the finished blocks. */
  env() {
    const { definitions } = this;
    // not a prototype: each that is added to one is dear
    const get = (own, label) => own[label] ?? definitions[label];
    return { references: new Proxy(Object.create(null), { get }) };
  }

  /**
   * End the text.
   *
   * @returns {string} The source of what was open.
   */
  rest() {
    const last = this.tail + (this.heldReturn ? "\n" : "");
    this.tail = "";
    this.heldReturn = false;
    if (last.trim() !== "") this.#define(last);
    return last;
  }

  #define(source) {
    if (!source.includes("]:")) return;
    const found = Object.create(null);
    read(this.markdown, source, { references: found });
    for (const label in found) {
      if (this.definitions[label]) continue;
      this.definitions[label] = found[label];
      this.count += 1;
    }
  }

  #finished() {
    const whole = this.tail.slice(0, this.tail.lastIndexOf("\n") + 1);
    const tokens = read(this.markdown, whole, {});
    const starts = tokens.filter((token) => token.level === 0 && token.nesting >= 0);
    if (starts.length < 2) return [];
    const ends = starts.slice(0, -1).map((token) => token.map[1]);
    const sources = cut(whole, ends);
    if (mayGoOn(sources.at(-1), whole, starts.at(-1))) sources.pop();
    for (const source of sources) this.#define(source);
    this.tail = this.tail.slice(sources.reduce((sum, source) => sum + source.length, 0));
    return sources;
  }
}

/**
 * Take a text apart into blocks and pieces.
 *
 * @param {object} markdown A parser of markdown-it.
 * @param {string} source Markdown, with plain newlines.
 * @param {object} env The parser's environment: `references` are the links that are defined.
 * @returns {Block[]}
 */
export function blocksOf(markdown, source, env) {
  const blocks = [];
  const lines = source.split("\n");
  let group = [];
  for (const token of read(markdown, source, env)) {
    group.push(token);
    if (token.level === 0 && token.nesting <= 0) {
      blocks.push(block(group, lines));
      group = [];
    }
  }
  return blocks;
}

/**
 * Render a piece.
 *
 * @param {object} markdown A parser of markdown-it.
 * @param {object[]} tokens From `blocksOf`; they are used up.
 * @param {object} env As for `blocksOf`, the same.
 * @returns {string} HTML that is not sanitised.
 */
export function rendered(markdown, tokens, env) {
  for (const token of tokens) {
    if (token.type === "inline" && token.content.length > LONGEST_PROSE) token.type = "text";
  }
  const state = new markdown.core.State("", markdown, env);
  state.tokens = tokens;
  for (const rule of markdown.core.ruler.getRules("")) rule(state);
  return markdown.renderer.render(state.tokens, markdown.options, env);
}

/**
 * Make a parser ready for `rendered`, which runs all of its rules but those that read blocks.
 *
 * @param {object} markdown A parser of markdown-it.
 * @returns {object} The same.
 */
export function piecewise(markdown) {
  const { block: readBlocks } = markdown;
  markdown.core.ruler.at("normalize", () => {});
  markdown.core.ruler.at("block", (state) => {
    if (state.src !== "") readBlocks.parse(state.src, state.md, state.env, state.tokens);
  });
  return markdown;
}

/**
 * Whether the line behind a definition may be the beginning of its title, which may have several:
 * until that ends it looks like a paragraph.
 */
function mayGoOn(source, whole, last) {
  const line = whole.split("\n", last.map[0] + 1).at(-1);
  return source.includes("]:") && !source.endsWith("\n\n") && /^\s*["'(]/.test(line);
}

function normal(text) {
  return text.replace(/\r\n?/g, "\n").replace(/\0/g, "\uFFFD");
}

function read(markdown, source, env) {
  const tokens = [];
  markdown.block.parse(source, markdown, env, tokens);
  return tokens;
}

/** Cut a text behind some of its lines, given by their numbers. */
function cut(text, ends) {
  const parts = [];
  let from = 0;
  let at = 0;
  let line = 0;
  for (const end of ends) {
    while (line < end) {
      at = text.indexOf("\n", at) + 1;
      line += 1;
    }
    parts.push(text.slice(from, at));
    from = at;
  }
  return parts;
}

function block(tokens, lines) {
  const [open] = tokens;
  if (open.type === "bullet_list_open" || open.type === "ordered_list_open") {
    const items = grouped(tokens.slice(1, -1), 1).map((item) => piece(item, "item", lines));
    return { kind: "list", open, pieces: items };
  }
  if (open.type === "table_open") return { kind: "table", open, pieces: tableParts(tokens, lines) };
  return {
    kind: open.type === "fence" ? "fence" : "block",
    open,
    pieces: [piece(tokens, "block", lines)],
  };
}

function tableParts(tokens, lines) {
  // table > thead > tr, table > tbody > tr
  const inner = tokens.slice(1, -1);
  const body = inner.findIndex((token) => token.type === "tbody_open");
  const head = piece(body < 0 ? inner : inner.slice(0, body), "head", lines);
  // how its columns are aligned stands in the second line
  head.key += `\n${lines[tokens[0].map[0] + 1]}`;
  const rows = body < 0 ? [] : inner.slice(body + 1, -1);
  return [head, ...grouped(rows, 2).map((row) => piece(row, "row", lines))];
}

function grouped(tokens, level) {
  const groups = [];
  let group = [];
  for (const token of tokens) {
    group.push(token);
    if (token.level === level && token.nesting <= 0) {
      groups.push(group);
      group = [];
    }
  }
  return groups;
}

/** A piece is what its lines say, but that paragraphs of a list are told or hidden by its others. */
function piece(tokens, part, lines) {
  const [from, to] = tokens[0].map;
  const told = tokens.some((token) => token.type === "paragraph_open" && !token.hidden);
  return { key: `${tokens[0].type} ${told}\n${lines.slice(from, to).join("\n")}`, tokens, part };
}

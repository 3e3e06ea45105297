/**
 * The text of one answer on the page, which grows.
 *
 * Finished blocks are rendered once. What is open is read again once a frame at most, and of it
 * only the pieces that have changed are rendered; code is only added to. What takes long is done a
 * slice a frame, and what takes long each time is done less often.
 */

import { GrowingText, LONGEST_PROSE, blocksOf, rendered } from "./blocks.js";
import { addCode, emptyCode } from "./code_lines.js";
import { clean, codeBox, element, languageOf, markdownParser, showMarks, tableBox } from "./markdown.js";
import { hasMarks, markedByForm, markedByVerdicts, mayBecomeMark } from "./marks.js";

/** How long is rendered before a frame is drawn; longer where drawing itself takes long. */
const SLICE_MS = 8;
const LONGEST_SLICE_MS = 40;
/** Of the time, at most a third goes into rendering what is open. */
const REST = 2;
const MANY_ROWS = 300;
/** So many items or rows go through the sanitiser together. */
const BATCH = 48;
/** Behind many, rows come onto the page once they are this part of those that are there. */
const PART = 4;

/** A block of which nothing is shown yet; `there` of its nodes are on the page, others apart. */
const emptyView = () => ({
  kind: "", keys: [], nodes: [], head: null, into: null, apart: document.createDocumentFragment(), there: 0,
});

let parser = null;

/** Shows one answer's text in an element. */
export class AnswerView {
  /**
   * @param {HTMLElement} root Where it is shown.
   * @param {() => void} more Called when another call of `show` is wanted, with the same text or
   *   a longer one.
   */
  constructor(root, more) {
    this.root = root;
    this.more = more;
    parser ??= markdownParser();
    this.#reset();
  }

  /**
   * Show a text, of which the former one was the beginning.
   *
   * @param {string} text
   * @param {{guarded: boolean, verdicts: object[] | null, done: boolean}} how `verdicts` once they
   *   are known; `done` once nothing more comes.
   */
  show(text, { guarded, verdicts, done }) {
    if (!text.startsWith(this.seen) || (this.ended && text !== this.seen)) this.#reset();
    if (this.settled) return;
    const now = performance.now();
    if (!done && now < this.next) {
      this.more();
      return;
    }
    if (done && !this.ended) this.#end(text, guarded ? verdicts : null, guarded);
    else if (!done) this.#feed(text, guarded);
    this.#work(now);
  }

  #reset() {
    this.text = new GrowingText(parser);
    this.seen = "";
    this.fed = "";
    this.held = "";
    this.marks = [];
    this.waiting = [];
    this.rest = null;
    this.last = null;
    this.ended = false;
    this.settled = false;
    this.finished = [];
    this.redefined = 0;
    this.open = [];
    this.next = 0;
    this.worked = performance.now();
    this.root.replaceChildren();
  }

  #feed(text, guarded) {
    const fresh = text.slice(this.seen.length);
    if (fresh === "") return;
    this.seen = text;
    this.#take(guarded ? this.#marked(fresh, false) : fresh);
  }

  #end(text, verdicts, guarded) {
    if (verdicts !== null) {
      const { text: marked, marks } = markedByVerdicts(text, verdicts);
      if (!marked.startsWith(this.fed)) this.#reset();
      this.marks = marks;
      this.#take(marked.slice(this.fed.length));
      this.#nameMarks();
    } else {
      const fresh = text.slice(this.seen.length);
      this.#take(guarded ? this.#marked(fresh, true) : fresh);
    }
    this.seen = text;
    this.rest = this.text.rest();
    this.ended = true;
  }

  #take(fresh) {
    this.fed += fresh;
    this.waiting.push(...this.text.feed(fresh));
  }

  /** What the rules are called is only known at the end. */
  #nameMarks() {
    for (const node of this.root.querySelectorAll("mark")) {
      const mark = this.marks[node.number];
      if (mark) node.title = `Taken out by the guard's rule ${mark.rule}`;
    }
  }

  #marked(fresh, done) {
    const text = this.held + fresh;
    const held = done ? 0 : mayBecomeMark(text);
    this.held = held ? text.slice(-held) : "";
    const found = markedByForm(held ? text.slice(0, -held) : text, this.marks.length);
    this.marks.push(...found.marks);
    return found.text;
  }

  /** Render a slice; ask for more where that was not all. */
  #work(now) {
    this.slice = Math.min(LONGEST_SLICE_MS, Math.max(SLICE_MS, (now - this.worked) / 4));
    this.until = performance.now() + this.slice;
    const all = this.#finishWaiting() && this.#patch(this.#openBlocks()) && this.#redefine();
    this.worked = performance.now();
    const took = this.worked - now;
    this.next = took > SLICE_MS ? this.worked + took * REST : 0;
    if (!all) this.more();
    else this.settled = this.ended;
  }

  #late() {
    return performance.now() > this.until;
  }

  #openBlocks() {
    if (!this.ended) return this.text.open();
    this.last ??= blocksOf(parser, this.rest, this.#env());
    return this.last;
  }

  #finishWaiting() {
    while (this.waiting.length) {
      const [source] = this.waiting;
      const [found] = blocksOf(parser, source, this.#env());
      this.open[0] ??= this.#newView();
      if (found && !this.#update(this.open[0], found)) return false;
      this.finished.push({ source, view: this.open.shift() });
      this.waiting.shift();
      if (this.#late()) return false;
    }
    return true;
  }

  #env() {
    return this.text.env();
  }

  #patch(blocks) {
    // to read them has taken its own time
    this.until = performance.now() + this.slice;
    for (const [index, found] of blocks.entries()) {
      this.open[index] ??= this.#newView();
      if (!this.#update(this.open[index], found)) return false;
    }
    for (const view of this.open.splice(blocks.length)) view.root.remove();
    return true;
  }

  /** Definitions at the end hold for what stands before them. */
  #redefine() {
    if (!this.ended || !this.text.count) return true;
    for (; this.redefined < this.finished.length; this.redefined += 1) {
      if (this.#late()) return false;
      const { source, view } = this.finished[this.redefined];
      if (!source.includes("]")) continue;
      const [found] = blocksOf(parser, source, this.#env());
      if (found && !this.#update(view, found)) return false;
    }
    return true;
  }

  #newView() {
    const view = { root: element("div", "block"), ...emptyView() };
    // Arabic and Hebrew begin at the right, and so do their lists and tables
    view.root.dir = "auto";
    this.root.append(view.root);
    return view;
  }

  /** Returns whether it is all there; otherwise the time was over. */
  #update(view, found) {
    const kind = `${found.kind} ${found.open.tag} ${found.open.attrGet("start") ?? ""}`;
    if (view.kind !== kind) {
      Object.assign(view, emptyView(), { kind });
      view.root.replaceChildren();
    }
    if (found.kind === "list") return this.#updateList(view, found);
    if (found.kind === "table") return this.#updateTable(view, found);
    if (found.kind === "fence") this.#updateCode(view, found.open);
    else this.#updateBlock(view, found.pieces[0]);
    return true;
  }

  #updateCode(view, token) {
    const language = languageOf(token);
    const { content } = token;
    const [formerLanguage, former] = view.keys;
    if (formerLanguage === language && former === content) return;
    view.keys = [language, content];
    if (formerLanguage === language && content.startsWith(former) && !hasMarks(content)) {
      addCode(view.into, content.slice(former.length));
      return;
    }
    view.into = emptyCode(language);
    addCode(view.into, content);
    showMarks(view.into, this.marks);
    view.root.replaceChildren(codeBox(language, view.into));
  }

  #updateBlock(view, piece) {
    const key = this.#key(piece);
    if (view.keys[0] === key) return;
    view.keys = [key];
    const [, inline] = piece.tokens;
    if (inline?.type === "inline" && inline.content.length > LONGEST_PROSE) {
      const prose = element("p", "raw");
      prose.textContent = inline.content;
      showMarks(prose, this.marks);
      view.root.replaceChildren(prose);
      return;
    }
    view.root.replaceChildren(this.#nodes(piece));
  }

  #updateList(view, { open, pieces }) {
    if (view.into === null) {
      view.into = element(open.tag);
      const start = open.attrGet("start");
      if (start !== null) view.into.setAttribute("start", start);
      view.root.append(view.into);
    }
    return this.#updatePieces(view, pieces, (html) => `<ul>${html}</ul>`, "ul");
  }

  #updateTable(view, { pieces }) {
    const [head, ...rows] = pieces;
    // to fit columns to what they hold takes all rows, each time
    if (view.into && rows.length > MANY_ROWS) view.into.closest(".table-box").classList.add("long");
    if (view.into === null) {
      const box = tableBox();
      const table = element("table");
      view.into = element("tbody");
      table.append(view.into);
      box.append(table);
      view.root.append(box);
    }
    const key = this.#key(head);
    if (view.head !== key) {
      view.head = key;
      const table = view.into.parentNode;
      table.tHead?.remove();
      const html = `<table>${rendered(parser, head.tokens, this.#env())}</table>`;
      const made = clean(html, this.marks).querySelector("thead");
      if (made) table.prepend(made);
    }
    return this.#updatePieces(view, rows, (html) => `<table><tbody>${html}</tbody></table>`, "tbody");
  }

  #updatePieces(view, pieces, wrapped, tag) {
    // not `into.children`: to find one of a thousand there takes a thousand steps
    const { into, keys, nodes } = view;
    for (let at = 0; at < pieces.length; at += 1) {
      if (keys[at] === this.#key(pieces[at])) continue;
      const changed = pieces.slice(at, at + BATCH);
      for (const [index, made] of this.#made(changed, wrapped, tag).entries()) {
        if (nodes[at + index]) nodes[at + index].replaceWith(made);
        else view.apart.append(made);
        nodes[at + index] = made;
        keys[at + index] = this.#key(changed[index]);
      }
      at += changed.length - 1;
      // the browser lays out all rows anew whenever some are added
      const more = nodes.length - view.there;
      if (nodes.length <= MANY_ROWS || more * PART >= view.there) this.#place(view);
      if (this.#late()) return false;
    }
    this.#place(view);
    keys.length = pieces.length;
    for (const node of nodes.splice(pieces.length)) node.remove();
    view.there = nodes.length;
    return true;
  }

  /** Bring onto the page what was made apart from it. */
  #place(view) {
    if (view.there < view.nodes.length) view.into.append(view.apart);
    view.there = view.nodes.length;
  }

  /** Pieces as nodes, each one for itself where together they come out as more or fewer. */
  #made(pieces, wrapped, tag) {
    const html = pieces.map(({ tokens }) => rendered(parser, tokens, this.#env()));
    const all = [...(clean(wrapped(html.join("")), this.marks).querySelector(tag)?.children ?? [])];
    if (all.length === pieces.length) return all;
    return html.map((one) => {
      const [node] = clean(wrapped(one), this.marks).querySelector(tag)?.children ?? [];
      return node ?? element(tag === "ul" ? "li" : "tr");
    });
  }

  #key(piece) {
    if (!piece.key.includes("]")) return piece.key;
    return `${this.text.count} ${piece.key}`;
  }

  #nodes(piece) {
    return clean(rendered(parser, piece.tokens, this.#env()), this.marks);
  }
}

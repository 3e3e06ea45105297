/**
 * The streams that are alive, in a table whose rows change where they are.
 */

import { make, mark, panel, scroller, write } from "./dom.js";
import { age, count, money, rate } from "./format.js";
import { fits, held, moves, sorted, who } from "./rows.js";
import { stopper } from "./stopping.js";

const COLUMNS = {
  model: "Model", who: "Key or user", upstream: "Upstream", age: "Age", tokens: "Tokens",
  speed: "Tok/s", cost: "Cost", state: "State",
};
const FIGURES = ["age", "tokens", "speed", "cost"];
const STATES = {
  waiting: ["waiting", "Nothing has come from the model yet"],
  streaming: ["streaming", "Text is arriving"],
  held_up: ["held up", "Whoever reads it takes what comes slower than it is made"],
  unread: ["unread", "Nobody reads it now; it can be resumed"],
  ended: ["ended", "It has ended"],
};
/** The order is kept for so long after the pointer or a key was used inside. */
const HOLD_MS = 6000;
/** Rows out of sight are written in one snapshot of so many, and when they come into sight. */
const SELDOM = 10;

/** Shows, sorts, filters and stops streams. */
export class Streams {
  #announce;
  #rows = new Map();
  #sort = { by: "age", down: false };
  #snapshot = null;
  #heldUntil = 0;
  #marked = null;
  #heads = {};
  #snapshots = 0;
  #sight;

  /**
   * @param {(words: string) => void} announce Says something to those who do not see it.
   * @param {Node} nothing What is shown while no stream is alive.
   */
  constructor(announce, nothing) {
    this.#announce = announce;
    this.filter = make("input", {
      type: "search", placeholder: "Filter", "aria-label": "Filter streams", autocomplete: "off",
      spellcheck: "false", oninput: () => this.#arrange(true),
    });
    this.sortBy = make("select", {
      "aria-label": "Sort streams by", class: "narrow-only",
      onchange: () => this.#sortBy(this.sortBy.value, this.sortBy.value !== "model"),
    }, ...Object.entries(COLUMNS).map(([by, words]) => make("option", { value: by }, words)));
    this.sortBy.value = "age";
    this.number = make("span", { class: "quiet", id: "streams-number" });
    this.body = make("tbody", { role: "rowgroup" });
    this.nothing = make("div", { class: "nothing" }, nothing);
    this.unmatched = make("p", { class: "nothing", hidden: true }, "No stream fits this filter.");
    this.table = scroller("Streams alive", this.#table());
    this.root = panel("streams", "Streams alive", this.number,
      make("div", { class: "tools" }, this.filter, this.sortBy));
    this.root.append(this.table, this.unmatched, this.nothing);
    this.#sight = new IntersectionObserver((entries) => this.#seen(entries),
      { root: this.table, rootMargin: "80px" });
    this.#holdWhileUsed();
  }

  /** @param {object} snapshot */
  show(snapshot) {
    this.#snapshot = snapshot;
    this.#snapshots += 1;
    this.#arrange(false);
  }

  /**
   * Mark a stream's row, and bring it into view.
   *
   * @param {string | null} id Null marks none.
   */
  highlight(id) {
    this.#marked = id;
    for (const [one, row] of this.#rows) {
      mark(row.root, "aria-current", one === id ? "true" : null);
    }
    this.#rows.get(id)?.root.scrollIntoView({ block: "nearest" });
  }

  #table() {
    const heads = Object.entries(COLUMNS).map(([by, words]) => {
      const button = make("button", { type: "button", class: "sort", onclick: () => {
        // figures are most wanted with the largest first
        const first = FIGURES.includes(by) && by !== "age";
        this.#sortBy(by, this.#sort.by === by ? !this.#sort.down : first);
      } }, words);
      this.#heads[by] = make("th", { scope: "col", role: "columnheader",
        class: FIGURES.includes(by) ? "number" : `of-${by}` }, button);
      return this.#heads[by];
    });
    const last = make("th", { scope: "col", role: "columnheader", class: "of-action" },
      make("span", { class: "unseen" }, "Stop"));
    this.#showSort();
    // the roles stay where a phone's layout makes cards of the rows
    return make("table", { role: "table", class: "cards", "aria-describedby": "streams-number" },
      make("caption", { class: "unseen" }, "Streams alive now"),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads, last)), this.body);
  }

  #sortBy(by, down) {
    this.#sort = { by, down };
    this.sortBy.value = by;
    this.#showSort();
    this.#arrange(true);
  }

  #showSort() {
    for (const [by, head] of Object.entries(this.#heads)) {
      const order = this.#sort.down ? "descending" : "ascending";
      mark(head, "aria-sort", by === this.#sort.by ? order : null);
    }
  }

  #holdWhileUsed() {
    const hold = () => { this.#heldUntil = performance.now() + HOLD_MS; };
    for (const kind of ["pointermove", "keydown", "focusin"]) {
      this.body.addEventListener(kind, hold);
    }
    this.body.addEventListener("pointerleave", () => { this.#heldUntil = 0; });
  }

  /** Bring rows into their order; the held one too where somebody has asked for another. */
  #arrange(asked) {
    if (this.#snapshot === null) return;
    const { streams, streams_total: total, now } = this.#snapshot;
    const text = this.filter.value.trim();
    const fitting = sorted(text ? streams.filter((one) => fits(one, text)) : streams, this.#sort);
    const shown = [...this.body.children].map((row) => row.dataset.id);
    const wanted = fitting.map(({ id }) => id);
    const holding = !asked && this.#isHeld();
    this.#update(streams, now);
    this.#place(holding ? held(shown, wanted) : this.#withBusy(wanted), streams);
    write(this.number, words(fitting.length, streams.length, total));
    this.#hide(total, fitting.length);
  }

  /** Say whether somebody is at work in the rows. */
  #isHeld() {
    return performance.now() < this.#heldUntil
      || [...this.#rows.values()].some(({ stop }) => stop.busy);
  }

  #hide(total, fitting) {
    const rows = this.body.childElementCount;
    this.table.hidden = rows === 0;
    this.nothing.hidden = total > 0 || rows > 0;
    this.unmatched.hidden = total === 0 || fitting > 0 || rows > 0;
  }

  /** Add the rows in which somebody is at work, or has the focus, though their streams ended. */
  #withBusy(wanted) {
    const there = new Set(wanted);
    const used = [...this.#rows].filter(([id, row]) =>
      !there.has(id) && (row.stop.busy || row.root.contains(document.activeElement)));
    return [...wanted, ...used.map(([id]) => id)];
  }

  #update(streams, now) {
    const alive = new Set();
    for (const stream of streams) {
      alive.add(stream.id);
      const row = this.#rows.get(stream.id);
      if (row?.seen || (alive.size + this.#snapshots) % SELDOM === 0) row?.update(stream, now);
    }
    for (const [id, row] of this.#rows) if (!alive.has(id)) row.end();
  }

  #place(wanted, streams) {
    const keep = new Set(wanted);
    for (const [id, row] of this.#rows) {
      if (keep.has(id)) continue;
      this.#sight.unobserve(row.root);
      row.root.remove();
      this.#rows.delete(id);
    }
    const by = new Map(streams.map((one) => [one.id, one]));
    const fresh = document.createDocumentFragment();
    for (const id of wanted) {
      if (!this.#rows.has(id)) fresh.append(this.#made(by.get(id)).root);
    }
    this.body.append(fresh);
    const order = [...this.body.children].map((row) => row.dataset.id);
    const pinned = document.activeElement?.closest?.("#streams tbody tr")?.dataset.id ?? null;
    for (const [id, before] of moves(order, wanted, pinned)) {
      this.body.insertBefore(this.#rows.get(id).root, this.#rows.get(before)?.root ?? null);
    }
  }

  #seen(entries) {
    const { streams, now } = this.#snapshot;
    const by = new Map(streams.map((one) => [one.id, one]));
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.id);
      if (row === undefined) continue;
      row.seen = isIntersecting;
      const stream = by.get(target.dataset.id);
      if (isIntersecting && stream !== undefined) row.update(stream, now);
    }
  }

  #made(stream) {
    const row = new Row(stream, this.#announce);
    row.update(stream, this.#snapshot.now);
    this.#rows.set(stream.id, row);
    this.#sight.observe(row.root);
    if (stream.id === this.#marked) {
      mark(row.root, "aria-current", "true");
      requestAnimationFrame(() => row.root.scrollIntoView({ block: "nearest" }));
    }
    return row;
  }
}

/** One stream's row. */
class Row {
  constructor(stream, announce) {
    this.seen = true;
    this.stop = stopper(stream, announce);
    this.model = make("span", {}, stream.model);
    this.who = make("span", {});
    this.upstream = make("span", {});
    this.age = make("span", {});
    this.prompt = make("span", { class: "quiet" });
    this.tokens = make("span", {});
    this.speed = make("span", {});
    this.cost = make("span", {});
    this.state = make("span", { class: "state" });
    const id = make("span", { class: "quiet id" }, stream.id);
    const name = make("th",
      { scope: "row", role: "rowheader", title: stream.id, class: "of-model" }, this.model, " ", id);
    this.root = make("tr", { role: "row", "data-id": stream.id }, name,
      cell("who", this.who), cell("upstream", this.upstream), cell("age", this.age),
      cell("tokens", this.prompt, this.tokens), cell("speed", this.speed), cell("cost", this.cost),
      cell("state", this.state), make("td", { role: "cell", class: "of-action" }, this.stop));
  }

  update(stream, now) {
    write(this.who, who(stream) || "\u2013");
    write(this.upstream, stream.upstream ?? "\u2013");
    write(this.age, age(now - stream.started));
    write(this.prompt, `${count(stream.prompt_tokens)} + `);
    write(this.tokens, count(stream.completion_tokens));
    write(this.speed, stream.tokens_per_s === null ? "\u2013" : rate(stream.tokens_per_s));
    write(this.cost, money(stream.cost_usd));
    this.#state(stream.state, stream.here ? "" : "; in another process");
  }

  end() {
    this.#state("ended", "");
  }

  #state(state, more) {
    const [words, why] = STATES[state] ?? [state, ""];
    write(this.state, words);
    mark(this.state, "data-state", state);
    mark(this.state, "title", why + more);
    mark(this.root, "data-state", state);
  }
}

function cell(by, ...children) {
  const kind = FIGURES.includes(by) ? "number" : `of-${by}`;
  return make("td", { role: "cell", class: kind, "data-label": COLUMNS[by] }, ...children);
}

function words(fitting, shown, total) {
  if (total === 0) return "";
  if (fitting < shown) return `${count(fitting)} of ${count(total)} fit`;
  return shown < total ? `the newest ${count(shown)} of ${count(total)}` : count(total);
}

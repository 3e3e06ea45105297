/**
 * How the upstreams fare.
 */

import { make, mark, panel, scroller, write } from "./dom.js";
import { age, count, share } from "./format.js";

const STATES = {
  up: "up", trying: "trying again", down: "down",
};

/** Shows the upstreams of the snapshots, a row each. */
export class Upstreams {
  #rows = new Map();

  constructor() {
    this.body = make("tbody", { role: "rowgroup" });
    const heads = ["Upstream", "State", "Active", "Requests", "Failures", "Last failure", "Retry"];
    const head = heads.map((text, place) => make("th", {
      scope: "col", role: "columnheader", class: place > 1 && place < 5 ? "number" : null,
    }, text));
    this.table = scroller("Upstreams", make("table", { role: "table", class: "cards" },
      make("caption", { class: "unseen" }, "How upstreams fare"),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)), this.body));
    this.nothing = make("p", { class: "nothing" },
      "No upstreams: the embedded model answers, on this machine.");
    this.root = panel("upstreams", "Upstreams");
    this.root.append(this.table, this.nothing);
  }

  /** @param {object} snapshot */
  show({ upstreams, now }) {
    this.table.hidden = upstreams.length === 0;
    this.nothing.hidden = upstreams.length > 0;
    const names = new Set(upstreams.map(({ name }) => name));
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.root.remove();
      this.#rows.delete(name);
    }
    for (const one of upstreams) {
      if (!this.#rows.has(one.name)) {
        this.#rows.set(one.name, new Row(one.name));
        this.body.append(this.#rows.get(one.name).root);
      }
      this.#rows.get(one.name).update(one, now);
    }
  }
}

/**
 * @param {object[]} upstreams Of a snapshot.
 * @returns {string} Which of them are down, in words; empty where none is.
 */
export function whichAreDown(upstreams) {
  const down = upstreams.filter(({ state }) => state === "down").map(({ name }) => name);
  if (down.length === 0) return "";
  const named = down.length > 3 ? `${down.length} upstreams are` : `${down.join(", ")} ${
    down.length === 1 ? "is" : "are"}`;
  return `${named} down`;
}

class Row {
  constructor(name) {
    this.cells = {
      state: make("span", { class: "state" }), active: make("span", {}),
      requests: make("span", {}), failures: make("span", {}), last: make("span", {}),
      retry: make("span", {}),
    };
    const cell = (label, child, kind) =>
      make("td", { role: "cell", "data-label": label, class: kind }, child);
    this.root = make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader" }, name),
      cell("State", this.cells.state, "of-state"), cell("Active", this.cells.active, "number"),
      cell("Requests", this.cells.requests, "number"),
      cell("Failures", this.cells.failures, "number"),
      cell("Last failure", this.cells.last, "of-last"),
      cell("Retry", this.cells.retry, "of-retry"));
  }

  update(one, now) {
    const { state, active, requests, failures, last, retry } = this.cells;
    write(state, STATES[one.state] ?? one.state);
    mark(state, "data-state", one.state);
    write(active, count(one.active));
    write(requests, count(one.requests));
    write(failures, one.failures > 0 && one.requests > 0
      ? `${count(one.failures)} (${share(one.failures, one.requests)})` : count(one.failures));
    write(last, one.last_failure?.replaceAll("_", " ") ?? "\u2013");
    write(retry, one.retry_at === null ? "\u2013" : wait(one.retry_at - now));
  }
}

function wait(seconds) {
  return seconds <= 0 ? "now" : `in ${age(Math.ceil(seconds))}`;
}

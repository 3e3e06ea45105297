/**
 * How streams ended, what cut them, and what guards found.
 */

import { make, panel } from "./dom.js";
import { count, share } from "./format.js";
import { sum } from "./percentiles.js";

// in this order, by who ended it
const ENDINGS = {
  complete: ["Complete", "good"],
  blocked: ["Blocked by a guard", "guard"],
  truncated_by_guard: ["Cut by a guard", "guard"],
  budget: ["Cut by a budget", "guard"],
  stopped: ["Stopped", "person"],
  revoked: ["Key revoked", "person"],
  abandoned: ["Reader left", "person"],
  truncated: ["Upstream broke off", "bad"],
  stalled: ["Upstream stalled", "bad"],
  failed: ["Failed", "bad"],
};

/** Shows the sums of the snapshots. */
export class Endings {
  #shown = "";

  constructor() {
    this.endings = make("div", {});
    this.rules = make("div", {});
    this.root = panel("endings", "Endings and guards");
    this.root.append(this.endings, make("h3", {}, "What guards found"), this.rules);
  }

  /** @param {object} snapshot */
  show({ endings, guard_rules: rules }) {
    const text = JSON.stringify([endings, rules]);
    if (text === this.#shown) return;
    this.#shown = text;
    const names = [...Object.keys(ENDINGS), ...Object.keys(endings).sort()];
    const ended = [...new Set(names)].filter((name) => endings[name] > 0)
      .map((name) => [...(ENDINGS[name] ?? [name.replaceAll("_", " "), "person"]), endings[name]]);
    const found = Object.entries(rules).sort(([, one], [, other]) => other - one)
      .map(([name, number]) => [name, "guard", number]);
    this.endings.replaceChildren(shares("How streams ended", "Ending", ended,
      "No stream has ended yet."));
    this.rules.replaceChildren(shares("What guards found, by rule", "Rule", found,
      "No guard has found anything."));
  }
}

function shares(caption, head, rows, nothing) {
  if (rows.length === 0) return make("p", { class: "nothing" }, nothing);
  const all = sum(rows.map(([, , number]) => number));
  const most = Math.max(...rows.map(([, , number]) => number));
  const lines = rows.map(([name, tone, number]) => {
    const fill = make("div", { class: "share-fill", "data-tone": tone });
    fill.style.width = `${(100 * number) / most}%`;
    return make("tr", {}, make("th", { scope: "row" }, name),
      make("td", { class: "share-cell" },
        make("div", { class: "share-room", "aria-hidden": "true" }, fill)),
      make("td", {}, count(number)), make("td", { class: "quiet" }, share(number, all)));
  });
  const heads = [head, "", "Count", "Share"].map((text) => (text === ""
    ? make("td", {}) : make("th", { scope: "col" }, text)));
  return make("table", { class: "shares" }, make("caption", { class: "unseen" }, caption),
    make("thead", { class: "unseen" }, make("tr", {}, ...heads)), make("tbody", {}, ...lines));
}

/**
 * How a time is distributed: a bar for each bucket, and percentiles, which are estimates.
 */

import { make, mark, panel, scroller, table, write } from "./dom.js";
import { count, duration, share } from "./format.js";
import { percentile, sum, worthShowing } from "./percentiles.js";

const PERCENTILES = { p50: 0.5, p90: 0.9, p99: 0.99 };

/** Shows one histogram of the snapshots. */
export class Buckets {
  #shown = "";
  #what;
  #of;

  /**
   * @param {string} id
   * @param {string} title
   * @param {string} what What was counted, such as `first tokens`.
   * @param {"first_token" | "gaps"} of Which histogram of a snapshot it is.
   */
  constructor(id, title, what, of) {
    this.#what = what;
    this.#of = of;
    this.number = make("span", { class: "quiet" });
    this.estimates = make("dl", {});
    this.plot = make("div", { class: "bars", role: "img" });
    this.details = make("details", {}, make("summary", {}, "The same as a table"));
    this.nothing = make("p", { class: "nothing" }, `No ${what} were measured yet.`);
    this.whole = make("div", {}, make("div", { class: "estimates" }, this.estimates,
      make("span", { class: "quiet" }, "estimated from buckets")), this.plot, this.details);
    this.root = panel(id, title, this.number);
    this.root.append(this.whole, this.nothing);
    this.title = title;
  }

  /** @param {object} snapshot */
  show(snapshot) {
    const histogram = snapshot[this.#of];
    const text = JSON.stringify(histogram);
    if (text === this.#shown) return;
    this.#shown = text;
    const all = sum(histogram.counts);
    this.whole.hidden = all === 0;
    this.nothing.hidden = all > 0;
    write(this.number, all === 0 ? "" : `${count(all)} ${this.#what}`);
    if (all === 0) return;
    const found = Object.entries(PERCENTILES).map(([name, wanted]) =>
      [name, percentile(histogram, wanted)]);
    this.estimates.replaceChildren(...found.map(([name, one]) => make("div", {},
      make("dt", {}, name), make("dd", {}, `\u2248 ${estimate(one)}`))));
    this.#bars(histogram, found, all);
    this.#table(histogram, all);
  }

  #bars({ le, counts }, found, all) {
    const [first, end] = worthShowing({ counts });
    const most = Math.max(...counts);
    const bars = counts.slice(first, end).map((number, place) => {
      const fill = make("div", { class: "bar-fill" });
      fill.style.height = `${(100 * number) / most}%`;
      const label = bound(le, first + place);
      const title = `${label}: ${count(number)} (${share(number, all)})`;
      return make("div", { class: "bar-slot", title },
        make("div", { class: "bar-room" }, fill), le[first + place] === null ? null
          : make("span", { class: "bar-label" }, duration(le[first + place])));
    });
    const marks = found.map(([name, one]) => {
      const line = make("div", { class: "bar-mark", "data-name": name });
      line.style.left = `${(100 * (one.at - first)) / (end - first)}%`;
      return line;
    });
    const box = make("div", { class: "bar-marks" }, ...marks);
    this.plot.replaceChildren(box, ...bars);
    this.plot.classList.toggle("many", bars.length > 9);
    const told = found.map(([name, one]) => `${name} about ${estimate(one)}`).join(", ");
    mark(this.plot, "aria-label", `${this.title}: ${count(all)} ${this.#what}; ${told}`);
  }

  #table({ le, counts }, all) {
    const rows = counts.map((number, place) =>
      [bound(le, place), count(number), share(number, all)]);
    const caption = `${this.title}, by bucket`;
    const shown = table(caption, ["Time", "Count", "Share"], rows);
    const there = this.details.querySelector("table");
    if (there === null) this.details.append(scroller(caption, shown));
    else there.replaceWith(shown);
  }
}

function bound(le, place) {
  if (le[place] === null) return `above ${duration(le[place - 1])}`;
  return `up to ${duration(le[place])}`;
}

function estimate({ value, above }) {
  return above ? `above ${duration(value)}` : duration(value);
}

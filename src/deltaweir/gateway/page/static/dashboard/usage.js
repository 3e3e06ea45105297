/**
 * Usage over time: what is asked for, its plot, its legend, its table, and its CSV.
 */

import { Refused, askJson } from "../api.js";
import { csv } from "./csv.js";
import { make, mark, panel, radios, scroller, table, write } from "./dom.js";
import { count, money, short } from "./format.js";
import { Plot, colourName } from "./plot.js";
import { MEASURES, RANGES, added, rowName, series, slotName, slotPartly, slotTotal, slots } from "./series.js";

const GROUPS = { model: "Model", key: "Key", upstream: "Upstream" };
const STYLES = { bars: "Stacked", lines: "Lines" };
const FIGURES = ["streams", "prompt_tokens", "completion_tokens", "cost_usd", "failed"];

/** Asks for usage when told to, and shows it. */
export class Usage {
  #choice = { range: "24h", by: "model", measure: null, style: "bars" };
  #asking = null;
  #report = null;
  #shown = [];
  #plot;

  constructor() {
    const again = (name) => (value) => { this.#choice[name] = value; this.load(); };
    const anew = (name) => (value) => { this.#choice[name] = value; this.#show(); };
    const named = (of) =>
      Object.fromEntries(Object.entries(of).map(([id, { name }]) => [id, name]));
    this.measures = radios("Measure", named(MEASURES), "money", anew("measure"));
    this.root = panel("usage", "Usage", make("div", { class: "tools" },
      this.measures, radios("Group by", GROUPS, "model", again("by")),
      radios("Range", named(RANGES), "24h", again("range")),
      radios("Drawn as", STYLES, "bars", anew("style"))));
    this.room = make("div", { class: "plot-room" });
    this.image = make("div", { role: "img", class: "plot" }, this.room);
    this.legend = make("ul", { class: "legend" });
    this.when = make("p", { class: "when" }, "");
    this.details = make("details", {}, make("summary", {}, "The same as a table"));
    this.nothing = make("p", { class: "nothing" }, "Asking what was used\u2026");
    this.error = make("p", { class: "bad", role: "alert" }, "");
    this.download = make("button", { type: "button", class: "small", onclick: () => this.#save() },
      "Download CSV");
    this.refresh = make("button", { type: "button", class: "small", onclick: () => this.load() },
      "Refresh");
    this.taken = make("span", { class: "quiet" }, "");
    this.drawn = make("div", { class: "drawn" }, this.image,
      make("div", { class: "told" }, this.when, this.legend));
    this.root.append(this.error, this.drawn, this.nothing, this.details,
      make("div", { class: "panel-foot" }, this.taken, this.refresh, this.download));
    // until the first answer
    for (const part of [this.drawn, this.details]) part.hidden = true;
    this.download.disabled = true;
    this.#plot = new Plot(this.room, (slot) => this.#tell(slot));
  }

  /** Ask anew, and show the answer; what is asked already is forgotten. */
  async load() {
    this.#asking?.abort();
    const asking = this.#asking = new AbortController();
    mark(this.drawn, "aria-busy", "true");
    try {
      this.#report = await asked(this.#choice, asking.signal);
      write(this.error, "");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      write(this.error, error.message);
      if (this.#report === null) this.nothing.hidden = true;
    }
    if (asking.signal.aborted) return;
    mark(this.drawn, "aria-busy", null);
    this.#show();
  }

  /** Take away what draws, and what is asked. */
  leave() {
    this.#asking?.abort();
    this.#plot.remove();
  }

  #measure() {
    const { measure } = this.#choice;
    if (measure !== null) return measure;
    // until somebody chooses, what tells something: where all is free, that is tokens
    return this.#report.rows.some((row) => row.cost_usd > 0) ? "money" : "tokens";
  }

  #show() {
    if (this.#report === null) return;
    const { rows, starts, range, by, now } = this.#report;
    const measure = this.#measure();
    this.measures.choose(measure);
    this.#shown = series(rows, { by, unit: range.unit, measure, starts });
    const none = this.#shown.length === 0;
    for (const part of [this.drawn, this.details]) part.hidden = none;
    this.nothing.hidden = !none;
    this.download.disabled = none;
    write(this.nothing, `Nothing was used in ${range.words}.`);
    const clock = new Date(now * 1000).toISOString().slice(11, 16);
    write(this.taken, `as of ${clock} UTC, every minute anew`);
    this.#legend();
    this.#table(measure);
    this.#tell(null);
    mark(this.image, "aria-label", this.#summary(measure));
    const format = measure === "money" ? (value) => money(value, 3) : short;
    this.#plot.show({ starts, slot_s: range.slot_s, shown: this.#shown,
      style: this.#choice.style, format });
  }

  #legend() {
    this.legend.replaceChildren(...this.#shown.map(({ name, others }, place) => {
      const swatch = make("span", { class: "swatch", "data-colour": colourName(place, others),
        "aria-hidden": "true" });
      return make("li", {}, swatch, make("span", { class: "name", title: name }, name),
        make("span", { class: "value" }, ""));
    }));
  }

  /** Say in the legend what stands over one slot, or in all. */
  #tell(slot) {
    const { range } = this.#report;
    const when = slot === null ? `In ${range.words}` : this.#words(slot);
    write(this.when, `${when}: ${this.#all(slot)}`);
    this.#shown.forEach((one, place) => {
      write(this.legend.children[place].querySelector(".value"), this.#one(one, slot));
    });
  }

  /** A slot in words; the last one is not over. */
  #words(slot) {
    const { starts, range } = this.#report;
    return slotWords(starts[slot], range) + (slot === starts.length - 1 ? ", so far" : "");
  }

  /** A value in words; with a plus where something of unknown cost is in it. */
  #worded(value, partly) {
    const format = this.#measure() === "money" ? money : count;
    return format(value) + (partly && value !== null ? "+" : "");
  }

  /** What one series comes to in a slot, or in all where that is null. */
  #one({ values, gaps, total, partly }, slot) {
    return slot === null ? this.#worded(total, partly) : this.#worded(values[slot], gaps[slot]);
  }

  #all(slot) {
    const shown = this.#shown;
    if (slot !== null) return this.#worded(slotTotal(shown, slot), slotPartly(shown, slot));
    return this.#worded(added(shown.map(({ total }) => total)), shown.some(({ partly }) => partly));
  }

  #summary(measure) {
    const { range, by } = this.#report;
    const what = `${MEASURES[measure].name} by ${GROUPS[by].toLowerCase()} in ${range.words}`;
    if (this.#shown.length === 0) return `${what}: nothing`;
    const [most] = this.#shown;
    return `${what}: ${this.#all(null)} in all, most of it ${most.name} with ${this.#one(most, null)}`;
  }

  #table(measure) {
    const { starts, range } = this.#report;
    const row = (name, slot) => [name, ...this.#shown.map((one) => this.#one(one, slot)),
      this.#all(slot)];
    const rows = starts.map((_, slot) => row(this.#words(slot), slot)).reverse();
    rows.push(row("In all", null));
    const caption = `${MEASURES[measure].name} in ${range.words}, in UTC`;
    const shown = table(caption, ["Time", ...this.#shown.map(({ name }) => name), "All"], rows);
    const there = this.details.querySelector("table");
    if (there === null) this.details.append(scroller("Usage as a table", shown));
    else there.replaceWith(shown);
  }

  #save() {
    const { rows, range, by, name } = this.#report;
    const heads = [range.unit, by, ...FIGURES, ...(by === "key" ? ["key_name"] : [])];
    const text = csv([heads, ...rows.map((row) => heads.map((head) => row[head]))]);
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href: address, download: `deltaweir-usage-${name}-by-${by}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}

/** Ask for the rows of a choice. */
async function asked({ range: name, by }, signal) {
  const range = RANGES[name];
  const now = Date.now() / 1000;
  const starts = slots(now, range);
  const query = new URLSearchParams({ group_by: `${range.unit},${by}`,
    since: new Date(starts[0] * 1000).toISOString() });
  const { data } = await askJson(`v1/usage?${query}`, { signal, cache: "no-store" });
  const order = (row) => `${row[range.unit]}\n${rowName(row, by)}`;
  const rows = data.sort((one, other) => (order(one) < order(other) ? -1 : 1));
  return { rows, starts, range, by, name, now };
}

function slotWords(start, { unit, slot_s }) {
  const name = slotName(start, unit);
  if (unit === "day") return name;
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
  return `${name.slice(5, 10)} ${clock(start)}\u2013${clock(start + slot_s)}`;
}

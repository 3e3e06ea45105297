/**
 * The figures at the top, each with its last minutes.
 */

import { draw, make, mark, write } from "./dom.js";
import { count, money, rate, short } from "./format.js";
import { History, line } from "./history.js";

const NOT_YET = "\u2013";
const SIZE = { width: 120, height: 28 };
/** Below so many seconds a line does not fill its tile: it begins at the right. */
const LEAST_POINTS = 30;
// for as long as the page is open, also while the other view is shown
const history = new History();

/** Streams alive, speed, money, and what today came to. */
export class Figures {
  #tiles = {
    alive: tile("Streams alive"),
    speed: tile("Tokens per second"),
    spending: tile("Dollars per hour"),
    tokens: tile("Tokens today"),
    cost: tile("Cost today"),
  };

  constructor() {
    const tiles = Object.values(this.#tiles).map(({ root }) => root);
    this.root = make("dl", { class: "figures", "aria-label": "Now and today" }, ...tiles);
  }

  /** @param {object} snapshot */
  show({ streams_total: alive, now_rates: rates }) {
    const { tokens_per_s: speed, streams_per_s: ended, usd_per_hour: spending } = rates;
    this.#live("alive", alive, count(alive));
    this.#live("speed", speed, speed === null ? NOT_YET : rate(speed));
    this.#live("spending", spending, spending === null ? NOT_YET : money(spending));
    write(this.#tiles.alive.more, ended === null ? "" : `${rate(ended)} ended/s`);
  }

  /**
   * @param {object} total Of today's usage, by `GET /v1/usage`.
   * @param {object[]} hours Its rows, one for each hour.
   */
  today({ streams, prompt_tokens: prompt, completion_tokens: completion, cost_usd: cost,
    unpriced = 0 }, hours) {
    const { tokens, cost: costs } = this.#tiles;
    write(tokens.value, short(prompt + completion));
    write(tokens.more, `${short(prompt)} read, ${short(completion)} written`);
    // the sum of no streams is nothing, not unknown
    const known = streams === 0 ? 0 : cost;
    write(costs.value, money(known) + (known !== null && unpriced > 0 ? "+" : ""));
    write(costs.more, `${count(streams)} ${streams === 1 ? "stream" : "streams"}, UTC day`);
    spark(tokens, hourly(hours, (row) => row.prompt_tokens + row.completion_tokens), 2);
    spark(costs, hourly(hours, (row) => row.cost_usd), 2);
  }

  #live(name, value, text) {
    const one = this.#tiles[name];
    history.take(name, value);
    write(one.value, text);
    spark(one, history.of(name));
  }
}

function tile(title) {
  const value = make("span", { class: "figure" }, NOT_YET);
  const more = make("span", { class: "quiet more" }, "");
  const path = draw("path", { class: "spark-line" });
  const sparkline = draw("svg", {
    class: "spark", viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, preserveAspectRatio: "none",
    "aria-hidden": "true", focusable: "false",
  }, path);
  const root = make("div", { class: "tile" }, make("dt", {}, title),
    make("dd", {}, value, more, sparkline));
  return { root, value, more, path };
}

function spark({ path }, values, least = LEAST_POINTS) {
  mark(path, "d", line(values, { ...SIZE, points: Math.max(least, values.length) }));
}

/** Return the hours of today so far, the hours of nothing too. */
function hourly(rows, value) {
  const by = new Map(rows.map((row) => [Number(row.hour.slice(11, 13)), value(row)]));
  const hours = new Date().getUTCHours() + 1;
  return Array.from({ length: hours }, (_, hour) => (by.has(hour) ? by.get(hour) : 0));
}

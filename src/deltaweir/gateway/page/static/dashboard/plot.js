/**
 * Usage over time, drawn by uPlot in the theme's colours.
 */

import { MOST_SERIES, parted, stacked } from "./series.js";

const HEIGHT = 260;
// lines differ by more than their colour
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 4], [14, 4], [6, 2, 1, 2, 1, 2]];

/** How a line goes on to a slot that is not over. */
const SO_FAR = [1, 3];

/**
 * @typedef {object} Drawn
 * @property {number[]} starts When slots begin, in seconds since 1970.
 * @property {number} slot_s How long each is.
 * @property {import("./series.js").Series[]} shown The largest first.
 * @property {"bars" | "lines"} style
 * @property {(value: number) => string} format Of the axis.
 */

/** One plot in one element. */
export class Plot {
  #room;
  #hover;
  #plot = null;
  #drawn = null;
  #width;

  /**
   * @param {HTMLElement} room Where it is drawn, as wide as that is.
   * @param {(slot: number | null) => void} hover Told over which slot the pointer is.
   */
  constructor(room, hover) {
    this.#room = room;
    this.#hover = hover;
    this.#width = new ResizeObserver(([{ contentRect }]) => this.#fit(contentRect.width));
    this.#width.observe(room);
    addEventListener("themechange", this.redraw);
  }

  /** @param {Drawn} drawn */
  show(drawn) {
    this.#drawn = drawn;
    this.redraw();
  }

  /** Draw again, such as in other colours. */
  redraw = () => {
    this.#plot?.destroy();
    this.#plot = null;
    const width = this.#room.clientWidth;
    if (this.#drawn === null || width === 0 || window.uPlot === undefined) return;
    this.#plot = new window.uPlot(this.#options(width), this.#data(), this.#room);
  };

  /** Take it away. */
  remove() {
    this.#width.disconnect();
    removeEventListener("themechange", this.redraw);
    this.#plot?.destroy();
    this.#plot = null;
  }

  #fit(width) {
    if (this.#plot === null) this.redraw();
    else if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #data() {
    const { starts, slot_s, shown, style } = this.#drawn;
    // a value belongs to its whole slot: it stands in the middle
    const middles = starts.map((start) => start + slot_s / 2);
    if (style === "lines") {
      const parts = shown.map(({ values }) => parted(values));
      return [middles, ...parts.map(({ over }) => over), ...parts.map(({ sofar }) => sofar)];
    }
    // the highest first, so that lower ones are drawn over it; nothing is no bar of no height
    const tops = stacked(shown).map((values) => values.map((value) => value || null));
    return [middles, ...tops.reverse()];
  }

  #options(width) {
    const { starts, slot_s, shown, style, format } = this.#drawn;
    const colour = colours(this.#room);
    const range = [starts[0], starts.at(-1) + slot_s];
    const one = (name, place, others) => (style === "lines"
      ? lineOf(name, colour.series(place, others), DASHES[place % DASHES.length])
      : barOf(name, colour.series(place, others), colour.ground));
    const series = shown.map(({ name, others }, place) => one(name, place, others));
    if (style === "bars") series.reverse();
    else series.push(...series.map((line) => ({ ...line, dash: SO_FAR, width: 1 })));
    const axis = { stroke: colour.quiet, font: colour.font, ticks: { show: false } };
    return {
      width,
      height: HEIGHT,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { x: false, y: false }, y: false, points: { show: style === "lines" } },
      scales: { x: { range }, y: { range: (_, _low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28,
          values: (_, splits) => splits.map(times(slot_s)) },
        { ...axis, grid: { stroke: colour.line, width: 1 }, size: 64,
          values: (_, splits) => splits.map(format) },
      ],
      series: [{}, ...series],
      hooks: { setCursor: [(plot) => this.#hover(plot.cursor.idx ?? null)] },
    };
  }
}

/**
 * @param {number} place Of a series, from 0.
 * @param {boolean} others Whether it is the sum of those not shown.
 * @returns {string} The name of its colour, as CSS and `data-colour` have it.
 */
export function colourName(place, others) {
  return others ? "others" : String(1 + (place % MOST_SERIES));
}

function colours(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    series: (place, others) => read(`--series-${colourName(place, others)}`),
    ground: read("--raised"), quiet: read("--quiet"), line: read("--line"),
    font: `12px ${read("--sans")}`,
  };
}

function barOf(label, fill, ground) {
  const paths = window.uPlot.paths.bars({ size: [0.78, 56], radius: 0 });
  return { label, fill, stroke: ground, width: 1, paths, points: { show: false } };
}

function lineOf(label, stroke, dash) {
  return { label, stroke, dash, width: 2, points: { size: 4, fill: stroke } };
}

function times(slot_s) {
  return (seconds) => {
    const text = new Date(seconds * 1000).toISOString();
    const day = text.slice(5, 10);
    if (slot_s >= 86400) return day;
    return text.slice(11, 16) === "00:00" ? day : text.slice(11, 16);
  };
}

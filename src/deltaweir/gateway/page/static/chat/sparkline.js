/**
 * A line of the gaps between the words of an answer.
 */

import { duration, gapsOf } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 96;
const HEIGHT = 18;

/** Draws gaps. */
export class Sparkline {
  constructor() {
    this.root = document.createElementNS(SVG, "svg");
    this.root.setAttribute("class", "spark");
    this.root.setAttribute("role", "img");
    this.root.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.root.setAttribute("width", String(WIDTH));
    this.root.setAttribute("height", String(HEIGHT));
    this.line = document.createElementNS(SVG, "path");
    this.title = document.createElementNS(SVG, "title");
    this.root.append(this.title, this.line);
  }

  /**
   * @param {number[]} gaps Milliseconds, the latest last.
   */
  show(gaps) {
    const found = gapsOf(gaps);
    const words = found === null
      ? "Gaps between words: none yet"
      : `Gaps between words: median ${duration(found.median)}, longest ${duration(found.longest)}`;
    this.root.setAttribute("aria-label", words);
    this.title.textContent = words;
    this.line.setAttribute("d", pathOf(gaps));
  }
}

/**
 * @param {number[]} gaps
 * @returns {string} A path: each column is the longest gap of its share, on a scale of roots, so
 *   that one long wait does not flatten all others.
 */
export function pathOf(gaps) {
  if (gaps.length < 2) return "";
  const columns = Math.min(gaps.length, WIDTH / 2);
  const tops = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * gaps.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * gaps.length) / columns));
    let most = 0;
    for (let at = from; at < to; at += 1) most = Math.max(most, gaps[at]);
    return Math.sqrt(most);
  });
  const highest = Math.max(...tops, 1);
  return tops
    .map((top, column) => {
      const x = (column * WIDTH) / (columns - 1 || 1);
      const y = HEIGHT - 1 - (top / highest) * (HEIGHT - 2);
      return `${column ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}

/**
 * The last minutes of some figures, and their line. No DOM.
 */

/** Snapshots that are remembered: five minutes of one a second. */
export const REMEMBERED = 300;

/** Figures over time, for as long as the page is open. */
export class History {
  #samples = new Map();

  /**
   * @param {string} name Of a figure.
   * @param {number | null} value What it is now; null leaves a gap.
   */
  take(name, value) {
    const samples = this.of(name);
    samples.push(value);
    if (samples.length > REMEMBERED) samples.shift();
    this.#samples.set(name, samples);
  }

  /**
   * @param {string} name
   * @returns {(number | null)[]} The oldest first.
   */
  of(name) {
    return this.#samples.get(name) ?? [];
  }
}

/**
 * Return a line for an SVG path; the newest value is at the right, and time that is not known yet
 * leaves the left free.
 *
 * @param {(number | null)[]} values
 * @param {{width: number, height: number, points: number}} size Points fit into the width.
 * @returns {string} The path's `d`; empty where there are no two values beside each other.
 */
export function line(values, { width, height, points }) {
  const most = Math.max(...values.filter((one) => one !== null), 0) || 1;
  const step = width / Math.max(1, points - 1);
  const left = width - (values.length - 1) * step;
  let pen = "M";
  let path = "";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const x = left + index * step;
    const y = height - 1 - (value / most) * (height - 2);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return path.includes("L") ? path : "";
}

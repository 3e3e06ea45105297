/**
 * What a histogram's buckets tell of percentiles: an estimate, as wide as a bucket. No DOM.
 */

/**
 * @typedef {object} Histogram
 * @property {(number | null)[]} le Upper bounds of the buckets in seconds; null has none.
 * @property {number[]} counts How often, bucket by bucket.
 */

/**
 * @typedef {object} Estimate
 * @property {number} value Seconds; where it lies above the last bound, that bound.
 * @property {boolean} above Whether it lies above the last bound.
 * @property {number} at Where it lies, in buckets from the left: 2.5 is the third's middle.
 */

/**
 * Estimate a percentile, as if times lay evenly within their bucket.
 *
 * @param {Histogram} histogram
 * @param {number} wanted The share below it, such as 0.9.
 * @returns {Estimate | null} Null where nothing was counted.
 */
export function percentile({ le, counts }, wanted) {
  const rank = wanted * sum(counts);
  if (rank === 0) return null;
  let below = 0;
  for (let index = 0; index < counts.length; index += 1) {
    if (counts[index] > 0 && below + counts[index] >= rank) {
      const low = index === 0 ? 0 : le[index - 1];
      const part = (rank - below) / counts[index];
      if (le[index] === null) return { value: low, above: true, at: index + 0.5 };
      return { value: low + part * (le[index] - low), above: false, at: index + part };
    }
    below += counts[index];
  }
  return null;
}

/**
 * @param {Histogram} histogram
 * @returns {[number, number]} The first bucket worth showing, and the one behind the last: those
 *   that counted something, and one more at either side.
 */
export function worthShowing({ counts }) {
  const first = counts.findIndex((one) => one > 0);
  if (first < 0) return [0, 0];
  const last = counts.findLastIndex((one) => one > 0);
  return [Math.max(0, first - 1), Math.min(counts.length, last + 2)];
}

/**
 * @param {number[]} values
 * @returns {number} Their sum.
 */
export function sum(values) {
  return values.reduce((all, one) => all + one, 0);
}

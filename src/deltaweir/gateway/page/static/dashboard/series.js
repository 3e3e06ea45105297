/**
 * From the rows of `GET /v1/usage` to what a plot draws. No DOM.
 */

const HOUR_S = 3600;
const DAY_S = 86400;

/** How far back usage is shown, and in which slots. */
export const RANGES = {
  "1h": { name: "1 h", words: "the last hour", unit: "minute", slot_s: 60, slots: 60 },
  "24h": { name: "24 h", words: "the last 24 hours", unit: "hour", slot_s: HOUR_S, slots: 24 },
  "7d": { name: "7 d", words: "the last 7 days", unit: "day", slot_s: DAY_S, slots: 7 },
  "30d": { name: "30 d", words: "the last 30 days", unit: "day", slot_s: DAY_S, slots: 30 },
};

/** What can be shown of usage: its name, and its value in a row. */
export const MEASURES = {
  money: { name: "Money", value: (row) => row.cost_usd },
  tokens: { name: "Tokens", value: (row) => row.prompt_tokens + row.completion_tokens },
  streams: { name: "Streams", value: (row) => row.streams },
};

/** Series of one plot; what is less is added up as others. */
export const MOST_SERIES = 8;

/**
 * @typedef {object} Series
 * @property {string} name What people call it.
 * @property {(number | null)[]} values One for each slot: 0 where nothing was used, null where
 *   something was, but nobody knows what it cost.
 * @property {number | null} total Their sum, as far as known.
 * @property {boolean} partly Whether something in it has no known cost.
 * @property {boolean[]} gaps The same for each slot.
 * @property {boolean} others Whether it adds up what is not shown by itself.
 */

/**
 * @param {number} now Seconds since 1970.
 * @param {{slot_s: number, slots: number}} range One of `RANGES`.
 * @returns {number[]} When the slots begin, in whole slots of UTC; the last is the one of now.
 */
export function slots(now, { slot_s, slots: number }) {
  const last = Math.floor(now / slot_s) * slot_s;
  return Array.from({ length: number }, (_, index) => last - (number - 1 - index) * slot_s);
}

/**
 * @param {number} start Seconds since 1970.
 * @param {"minute" | "hour" | "day"} unit
 * @returns {string} What rows call a slot, such as `2026-11-30T13`.
 */
export function slotName(start, unit) {
  const length = { minute: 16, hour: 13, day: 10 }[unit];
  return new Date(start * 1000).toISOString().slice(0, length);
}

/**
 * @param {object} row
 * @param {"model" | "key" | "upstream"} by
 * @returns {string} What people call what a row is about.
 */
export function rowName(row, by) {
  if (by === "key") return row.key_name ?? row.key ?? "no key";
  return row[by] ?? (by === "upstream" ? "no upstream" : "no model");
}

/**
 * Add rows up: a series for each of the largest groups, with a value for each slot.
 *
 * @param {object[]} rows Of `GET /v1/usage`, grouped by a unit of time and one other.
 * @param {{by: string, unit: string, measure: keyof MEASURES, starts: number[]}} asked
 * @returns {Series[]} The largest first, others last.
 */
export function series(rows, { by, unit, measure, starts }) {
  const places = new Map(starts.map((start, index) => [slotName(start, unit), index]));
  const found = new Map();
  for (const row of rows) {
    const place = places.get(row[unit]);
    if (place === undefined) continue;
    const id = row[by] ?? null;
    if (!found.has(id)) found.set(id, empty(rowName(row, by), starts.length));
    add(found.get(id), place, MEASURES[measure].value(row), measure === "money" && !!row.unpriced);
  }
  const ordered = [...found.values()].sort((one, other) =>
    (other.total ?? -1) - (one.total ?? -1) || (one.name < other.name ? -1 : 1));
  if (ordered.length <= MOST_SERIES) return ordered;
  return [...ordered.slice(0, MOST_SERIES), merged(ordered.slice(MOST_SERIES), starts.length)];
}

/**
 * Put series upon each other.
 *
 * @param {Series[]} shown The lowest first.
 * @returns {number[][]} Where each ends above the ground, slot by slot; unknown adds nothing.
 */
export function stacked(shown) {
  let ground = null;
  return shown.map(({ values }) => {
    ground = values.map((value, index) => (value ?? 0) + (ground === null ? 0 : ground[index]));
    return ground;
  });
}

/**
 * Part a line where its last slot begins: that is not over, and would look like a fall.
 *
 * @param {(number | null)[]} values
 * @returns {{over: (number | null)[], sofar: (number | null)[]}} What is over, and what leads from
 *   there to the last value so far.
 */
export function parted(values) {
  const last = values.length - 1;
  return {
    over: values.map((value, slot) => (slot < last ? value : null)),
    sofar: values.map((value, slot) => (slot < last - 1 ? null : value)),
  };
}

/**
 * @param {Series[]} shown
 * @param {number} slot
 * @returns {number | null} What all come to in one slot; null where nothing of it is known.
 */
export function slotTotal(shown, slot) {
  return added(shown.map(({ values }) => values[slot]));
}

/**
 * @param {Series[]} shown
 * @param {number} slot
 * @returns {boolean} Whether something in the slot has no known cost.
 */
export function slotPartly(shown, slot) {
  return shown.some(({ gaps }) => gaps[slot]);
}

/**
 * @param {(number | null)[]} values
 * @returns {number | null} The sum of those that are known; null where that is nothing, but
 *   something is not known.
 */
export function added(values) {
  const sum = values.reduce((all, one) => all + (one ?? 0), 0);
  return sum === 0 && values.includes(null) ? null : sum;
}

function empty(name, length, others = false) {
  const [values, gaps] = [0, false].map((one) => new Array(length).fill(one));
  return { name, values, gaps, total: null, partly: false, others };
}

function add(one, place, value, partly) {
  // a slot has one row; before it, the slot's 0 is no more than a gap filled
  one.values[place] = value;
  if (value !== null) one.total = (one.total ?? 0) + value;
  if (value === null || partly) one.partly = one.gaps[place] = true;
}

function merged(small, length) {
  const all = empty(`${small.length} others`, length, true);
  all.values = all.values.map((_, slot) => slotTotal(small, slot));
  all.gaps = all.gaps.map((_, slot) => slotPartly(small, slot));
  all.total = added(small.map(({ total }) => total));
  all.partly = small.some(({ partly }) => partly);
  return all;
}

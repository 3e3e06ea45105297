/**
 * Which streams are shown, and in which order, with as few rows moved as can be. No DOM.
 */

/** What streams can be sorted by, and what is compared. */
export const SORTS = {
  model: (one) => one.model,
  who: (one) => who(one),
  upstream: (one) => one.upstream,
  age: (one) => -one.started,
  tokens: (one) => one.completion_tokens,
  speed: (one) => one.tokens_per_s,
  cost: (one) => one.cost_usd,
  state: (one) => one.state,
};

/**
 * @param {object} stream Of a snapshot.
 * @returns {string} Whose it is: the key's name or id, and the request's user.
 */
export function who(stream) {
  return [stream.key_name ?? stream.key, stream.user].filter(Boolean).join(" · ");
}

/**
 * @param {object} stream
 * @param {string} text Words, all of which have to be found somewhere.
 * @returns {boolean} Whether a stream fits a filter.
 */
export function fits(stream, text) {
  const there = [
    stream.id, stream.model, stream.upstream, stream.key, stream.key_name, stream.user,
    stream.tag, stream.state.replace("_", " "),
  ].filter(Boolean).join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => there.includes(word));
}

/**
 * @param {object[]} streams
 * @param {{by: keyof SORTS, down: boolean}} sort
 * @returns {object[]} Sorted; unknown values last, equals with the newest first.
 */
export function sorted(streams, { by, down }) {
  const value = SORTS[by];
  return [...streams].sort((left, right) => {
    const one = value(left) ?? "";
    const other = value(right) ?? "";
    if (one === other) return right.started - left.started || compare(left.id, right.id);
    if (one === "") return 1;
    if (other === "") return -1;
    return down ? compare(other, one) : compare(one, other);
  });
}

/**
 * Keep the order in which rows are shown, for somebody is about to press one of their buttons.
 *
 * @param {string[]} shown Ids, in the order in which they are shown.
 * @param {string[]} wanted Ids, in the order in which they would be.
 * @returns {string[]} The shown ones where they were, also those that have ended; new ones behind.
 */
export function held(shown, wanted) {
  const there = new Set(shown);
  return [...shown, ...wanted.filter((id) => !there.has(id))];
}

/**
 * Find the fewest rows to move.
 *
 * @param {string[]} shown Ids, in the order in which they are; all of them are wanted.
 * @param {string[]} wanted Ids, in the order in which they should be.
 * @param {string | null} pinned One that must not move, for it has the focus.
 * @returns {[string, string | null][]} Pairs of what is put before which; null is the end. To be
 *   done in this order.
 */
export function moves(shown, wanted, pinned = null) {
  const places = new Map(wanted.map((id, index) => [id, index]));
  const order = shown.map((id) => places.get(id));
  const staying = new Set(longestRising(order, places.get(pinned) ?? null));
  const found = [];
  let behind = null;
  for (let index = wanted.length - 1; index >= 0; index -= 1) {
    if (!staying.has(index)) found.push([wanted[index], behind]);
    behind = wanted[index];
  }
  return found;
}

/** Return the longest rising part of a list, among those that have one value in them. */
function longestRising(values, through) {
  const at = through === null ? -1 : values.indexOf(through);
  const fitting = at < 0 ? values : values.filter((value, index) =>
    index === at || (index < at ? value < through : value > through));
  const ends = [];      // ends[n]: where the lowest end of a rising part of n + 1 values stands
  const before = [];
  fitting.forEach((value, index) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (fitting[ends[middle]] < value) low = middle + 1;
      else high = middle;
    }
    before[index] = low > 0 ? ends[low - 1] : -1;
    ends[low] = index;
  });
  const rising = [];
  let last = ends.at(-1) ?? -1;
  while (last >= 0) {
    rising.push(fitting[last]);
    last = before[last];
  }
  return rising;
}

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

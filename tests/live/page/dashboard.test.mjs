// What the dashboard's modules without a DOM promise.
import assert from "node:assert/strict";
import test from "node:test";

const SHOWN = new URL("../../../src/deltaweir/gateway/page/static/dashboard/", import.meta.url);
const load = (name) => import(new URL(name, SHOWN));
const { age, count, duration, money, rate, share, short } = await load("format.js");
const { percentile, sum, worthShowing } = await load("percentiles.js");
const { csv } = await load("csv.js");
const { fits, held, moves, sorted, who } = await load("rows.js");
const { MOST_SERIES, RANGES, added, parted, series, slotName, slotPartly, slotTotal, slots, stacked } =
  await load("series.js");
const { History, REMEMBERED, line } = await load("history.js");

/** A small generator of numbers, the same in each run. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function shuffled(values, random) {
  const all = [...values];
  for (let index = all.length - 1; index > 0; index -= 1) {
    const other = random(index + 1);
    [all[index], all[other]] = [all[other], all[index]];
  }
  return all;
}

test("what is not known is a question mark, and nothing is 0", () => {
  for (const format of [count, short, money, rate, duration]) assert.equal(format(null), "?");
  assert.deepEqual([count(0), short(0), money(0), rate(0)], ["0", "0", "$0", "0"]);
});

test("money has as many digits as it needs", () => {
  const shown = [[0.0012, "$0.0012"], [7e-5, "$0.00007"], [0.3, "$0.30"], [0.0996, "$0.10"], [1, "$1.00"],
    [1234.5, "$1,234.50"], [2.4e-9, "$0.0000000024"]];
  for (const [value, text] of shown) assert.equal(money(value), text);
});

test("marks of an axis that are 2.5 cents apart say so", () => {
  const marks = [0.075, 0.1, 0.125, 0.15, 1, 1.25].map((value) => money(value, 3));
  assert.deepEqual(marks, ["$0.075", "$0.10", "$0.125", "$0.15", "$1.00", "$1.25"]);
});

test("large counts are short", () => {
  const shown = [[999, "999"], [1000, "1k"], [12345, "12.3k"], [999_999, "1M"], [4.56e9, "4.56G"]];
  for (const [value, text] of shown) assert.equal(short(value), text);
});

test("times are in the units that suit them", () => {
  const short_times = [[0, "0 s"], [0.00085, "850 µs"], [0.08, "80 ms"], [0.9996, "1 s"],
    [2.44, "2.44 s"], [65.536, "65.5 s"]];
  for (const [value, text] of short_times) assert.equal(duration(value), text);
  const ages = [[-1, "0 s"], [59.9, "59 s"], [125, "2 min 05 s"], [7500, "2 h 05 min"],
    [180_000, "2 d 2 h"]];
  for (const [value, text] of ages) assert.equal(age(value), text);
});

test("a share is 100% only of all, and never 0% of something", () => {
  assert.deepEqual([share(1, 1000), share(999, 1000), share(5, 5), share(0, 5), share(0, 0)],
    ["<1%", "99%", "100%", "0%", "0%"]);
});

test("a percentile is interpolated within its bucket", () => {
  const histogram = { le: [1, 2, 4, null], counts: [0, 10, 10, 0] };
  assert.deepEqual(percentile(histogram, 0.25), { value: 1.5, above: false, at: 1.5 });
  assert.deepEqual(percentile(histogram, 0.75), { value: 3, above: false, at: 2.5 });
});

test("above the last bound a percentile is that bound, and said to be above", () => {
  const found = percentile({ le: [1, null], counts: [1, 99] }, 0.5);
  assert.deepEqual(found, { value: 1, above: true, at: 1.5 });
  assert.equal(percentile({ le: [1, null], counts: [0, 0] }, 0.5), null);
});

test("percentiles rise with what is wanted, and lie in a bucket that counted", () => {
  const random = numbers(5);
  for (let round = 0; round < 200; round += 1) {
    const le = [0.1, 0.2, 0.5, 1, null];
    const counts = le.map(() => random(3) * random(50));
    if (sum(counts) === 0) continue;
    let last = 0;
    for (const wanted of [0.01, 0.1, 0.5, 0.9, 0.99, 1]) {
      const { value, at } = percentile({ le, counts }, wanted);
      assert.ok(value >= last);
      assert.ok(counts[Math.ceil(at) - 1] > 0);
      last = value;
    }
  }
});

test("empty buckets at the edges are left out, but for one at either side", () => {
  assert.deepEqual(worthShowing({ counts: [0, 0, 3, 0, 1, 0, 0] }), [1, 6]);
  assert.deepEqual(worthShowing({ counts: [3, 1] }), [0, 2]);
  assert.deepEqual(worthShowing({ counts: [0, 0] }), [0, 0]);
});

test("CSV quotes what it has to, and text never becomes a formula", () => {
  const rows = [["a", "b"], ["=1+1", null], ['say "hi", you', 0.5], ["@x", -1], ["\tq", "two\nlines"]];
  assert.equal(csv(rows),
    'a,b\n\'=1+1,\n"say ""hi"", you",0.5\n\'@x,-1\n\'\tq,"two\nlines"\n');
});

const STREAMS = [
  { id: "stm_1", model: "gpt", upstream: "one", key: "key_1", key_name: "alice", user: "u1",
    tag: "night", started: 10, completion_tokens: 5, cost_usd: 0.1, tokens_per_s: null,
    state: "held_up" },
  { id: "stm_2", model: "claude", upstream: null, key: "key_2", key_name: null, user: null,
    tag: null, started: 30, completion_tokens: 50, cost_usd: null, tokens_per_s: 9,
    state: "streaming" },
  { id: "stm_3", model: "gpt", upstream: "two", key: null, key_name: null, user: "u3", tag: null,
    started: 20, completion_tokens: 0, cost_usd: 0, tokens_per_s: 20, state: "waiting" },
];
const ids = (streams) => streams.map(({ id }) => id);

test("streams are sorted by anything, the unknown last, equals by their age", () => {
  const by = (name, down = false) => ids(sorted(STREAMS, { by: name, down })).join(" ");
  assert.equal(by("age"), "stm_2 stm_3 stm_1");
  assert.equal(by("age", true), "stm_1 stm_3 stm_2");
  assert.equal(by("model"), "stm_2 stm_3 stm_1");
  assert.equal(by("cost", true), "stm_1 stm_3 stm_2");
  assert.equal(by("cost"), "stm_3 stm_1 stm_2");
  assert.equal(by("speed", true), "stm_3 stm_2 stm_1");
  assert.equal(by("upstream"), "stm_1 stm_3 stm_2");
});

test("a filter finds all its words anywhere", () => {
  const found = (text) => ids(STREAMS.filter((one) => fits(one, text)));
  assert.deepEqual(found("GPT"), ["stm_1", "stm_3"]);
  assert.deepEqual(found("gpt alice"), ["stm_1"]);
  assert.deepEqual(found("held up"), ["stm_1"]);
  assert.deepEqual(found("stm_2"), ["stm_2"]);
  assert.deepEqual(found("nobody"), []);
  assert.deepEqual(STREAMS.map(who), ["alice · u1", "key_2", "u3"]);
});

/** Do moves as a list of children would. */
function moved(shown, done) {
  const order = [...shown];
  for (const [id, before] of done) {
    order.splice(order.indexOf(id), 1);
    order.splice(before === null ? order.length : order.indexOf(before), 0, id);
  }
  return order;
}

test("moves lead to what is wanted, never move what is pinned, and are few", () => {
  const random = numbers(11);
  for (let round = 0; round < 500; round += 1) {
    const wanted = Array.from({ length: random(12) }, (_, index) => `s${index}`);
    const shown = shuffled(wanted, random);
    const pinned = random(2) && wanted.length ? wanted[random(wanted.length)] : null;
    const done = moves(shown, wanted, pinned);
    assert.deepEqual(moved(shown, done), wanted);
    assert.ok(done.every(([id]) => id !== pinned));
    assert.ok(done.length < Math.max(1, wanted.length));
  }
  assert.deepEqual(moves(["a", "b", "c"], ["a", "b", "c"]), []);
  assert.deepEqual(moves(["a", "b", "c", "d"], ["d", "a", "b", "c"]), [["d", "a"]]);
});

test("an order that is held keeps what has ended, and puts what is new behind", () => {
  assert.deepEqual(held(["b", "gone", "a"], ["new", "a", "b"]), ["b", "gone", "a", "new"]);
});

const NOW = Date.UTC(2026, 10, 30, 13, 41) / 1000;
const ROW = { streams: 1, prompt_tokens: 1, completion_tokens: 2, cost_usd: 0.5 };

test("slots are whole hours and days of UTC, and the last is the one of now", () => {
  const hours = slots(NOW, RANGES["24h"]).map((start) => slotName(start, "hour"));
  assert.equal(hours.length, 24);
  assert.deepEqual([hours[0], hours[23]], ["2026-11-29T14", "2026-11-30T13"]);
  const days = slots(NOW, RANGES["7d"]).map((start) => slotName(start, "day"));
  assert.deepEqual([days[0], days[6]], ["2026-11-24", "2026-11-30"]);
});

test("gaps are filled with 0, and a cost that is not known is none", () => {
  const starts = slots(NOW, { slot_s: 3600, slots: 3 });
  const rows = [
    { ...ROW, hour: "2026-11-30T11", model: "a" },
    { ...ROW, hour: "2026-11-30T13", model: "a", cost_usd: null },
    { ...ROW, hour: "2026-11-30T13", model: "b" },
    { ...ROW, hour: "2026-11-30T10", model: "too old" },
  ];
  const asked = { by: "model", unit: "hour", measure: "money", starts };
  const [one, other] = series(rows, asked);
  assert.deepEqual([one.name, one.values, one.total, one.partly], ["a", [0.5, 0, null], 0.5, true]);
  assert.deepEqual([other.name, other.values, other.partly], ["b", [0, 0, 0.5], false]);
  assert.equal(slotTotal([one], 2), null);
  assert.equal(slotTotal([one, other], 2), 0.5);
  const [tokens] = series(rows, { ...asked, measure: "tokens" });
  assert.deepEqual(tokens.values, [3, 0, 3]);
});

test("what is not known adds nothing, and is not 0 by itself", () => {
  assert.deepEqual([added([null, 1]), added([null, 0]), added([]), added([0])], [1, null, 0, 0]);
});

test("the largest are shown by themselves, and the rest added up", () => {
  const starts = slots(NOW, { slot_s: 3600, slots: 2 });
  const rows = Array.from({ length: 12 }, (_, index) =>
    ({ ...ROW, hour: "2026-11-30T13", model: `m${index}`, streams: index + 1 }));
  const found = series(rows, { by: "model", unit: "hour", measure: "streams", starts });
  assert.equal(found.length, MOST_SERIES + 1);
  assert.deepEqual([found[0].name, found[0].total], ["m11", 12]);
  assert.deepEqual([found.at(-1).name, found.at(-1).values, found.at(-1).others],
    ["4 others", [0, 10], true]);
  assert.equal(added(found.map(({ total }) => total)), 78);
});

test("keys go by their names, and what has none is said to have none", () => {
  const starts = slots(NOW, { slot_s: 3600, slots: 1 });
  const rows = [{ ...ROW, hour: "2026-11-30T13", key: "key_1", key_name: "alice", streams: 3 },
    { ...ROW, hour: "2026-11-30T13", key: "key_2", key_name: null, streams: 2 },
    { ...ROW, hour: "2026-11-30T13", key: null, key_name: null }];
  const found = series(rows, { by: "key", unit: "hour", measure: "streams", starts });
  assert.deepEqual(found.map(({ name }) => name), ["alice", "key_2", "no key"]);
});

test("stacked series end where those below them do, and their own on top", () => {
  assert.deepEqual(stacked([{ values: [1, null] }, { values: [2, 3] }]), [[1, 0], [3, 3]]);
});

test("a history forgets what is old, and its line has gaps where nothing was known", () => {
  const history = new History();
  for (let value = 0; value < REMEMBERED + 5; value += 1) history.take("speed", value);
  assert.equal(history.of("speed").length, REMEMBERED);
  assert.equal(history.of("speed")[0], 5);
  assert.deepEqual(history.of("other"), []);
  const size = { width: 10, height: 12, points: 3 };
  assert.equal(line([0, 5, 10], size), "M0.0 11.0L5.0 6.0L10.0 1.0");
  assert.equal(line([null, 10, 10], size), "M5.0 1.0L10.0 1.0");
  assert.equal(line([10, null, 10], size), "");
});

test("a slot in which something has no known cost says so, also among others", () => {
  const starts = slots(7200, RANGES["24h"]);
  const hour = slotName(starts.at(-1), "hour");
  const row = (model, cost_usd, unpriced = 0) => ({ hour, model, cost_usd, unpriced });
  const of = (rows) => series(rows, { by: "model", unit: "hour", measure: "money", starts });
  const two = of([row("priced", 1), row("unpriced", null, 1)]);
  assert.equal(slotTotal(two, 23), 1);
  assert.ok(slotPartly(two, 23));
  assert.ok(!slotPartly(two, 22));
  assert.ok(slotPartly(of([row("partly", 1, 5)]), 23));
  const names = Array.from({ length: MOST_SERIES + 2 }, (_, number) => row(`m${number}`, number));
  const many = of([...names, row("z", null, 1)]);
  assert.deepEqual(many.map(({ gaps }) => gaps[23]), [...new Array(MOST_SERIES).fill(false), true]);
});

test("a line is parted where its last slot begins, and both parts meet", () => {
  assert.deepEqual(parted([1, 2, null, 4]), { over: [1, 2, null, null], sofar: [null, null, null, 4] });
  assert.deepEqual(parted([1, 2, 3]), { over: [1, 2, null], sofar: [null, 2, 3] });
  assert.deepEqual(parted([7]), { over: [null], sofar: [7] });
});

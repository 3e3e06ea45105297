/** Events become an answer, each once, however often they are read. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { cutUp, numbers, ours } from "./reading.mjs";

const { decode } = await ours("events.js");
const { fail, isOpen, mayReadOn, newReply, stopped, stopping, take, unheard } = await ours("chat/reply.js");

const ASKED = { question: "q", model: "m", asked: {}, guarded: false };

function chunk(delta, more = {}) {
  return JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }], ...more });
}

const EVENTS = [
  chunk({ role: "assistant", content: "" }),
  chunk({ reasoning_content: "hm" }, { usage: { prompt_tokens: 3, completion_tokens: 1 } }),
  chunk({ content: "Hello" }, { deltaweir: { cost_usd: 0.5 } }),
  chunk({ content: ", 😀" }),
  JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
  JSON.stringify({
    choices: [],
    usage: { prompt_tokens: 3, completion_tokens: 4 },
    deltaweir: { cost_usd: 0.75, source: "provider", guard: [{ rule: "r" }], withheld_chars: 2 },
  }),
  "[DONE]",
];
const event = (data, number) => ({ event: "message", data, id: number ? `stm_1:${number}` : "" });

test("a whole stream", () => {
  const reply = newReply("a", ASKED, 1000);
  for (const [at, data] of EVENTS.entries()) take(reply, event(data, at + 1), 1100 + 10 * at, 1000);
  assert.equal(reply.text, "Hello, 😀");
  assert.equal(reply.reasoning, "hm");
  assert.deepEqual([reply.state, reply.finish, reply.cost, reply.source], ["done", "stop", 0.75, "provider"]);
  assert.deepEqual([reply.first, reply.last, reply.gaps], [110, 130, [10, 10]]);
  assert.ok(reply.judged && !isOpen(reply));
});

test("read on from anywhere, with any overlap, nothing is lost or doubled", () => {
  const below = numbers(5);
  for (let round = 0; round < 300; round += 1) {
    let reply = newReply("a", ASKED, 0);
    let stored = structuredClone(reply);
    while (isOpen(reply)) {
      const from = below(reply.event + 1);
      const until = Math.min(EVENTS.length, from + 1 + below(4));
      for (let at = from; at < until; at += 1) take(reply, event(EVENTS[at], at + 1), at, 0);
      if (below(3) === 0) reply = structuredClone(stored);  // a reload
      else stored = structuredClone(reply);
    }
    assert.equal(reply.text, "Hello, 😀");
    assert.equal(reply.state, "done");
  }
});

test("without numbers every event counts", () => {
  const reply = newReply("a", ASKED, 0);
  for (const data of EVENTS) take(reply, event(data, 0), 0, 0);
  assert.deepEqual([reply.text, reply.event], ["Hello, 😀", 0]);
});

test("an error keeps what came", () => {
  const reply = newReply("a", ASKED, 0);
  take(reply, event(EVENTS[2], 1), 0, 0);
  take(reply, event(JSON.stringify({ error: { message: "boom", code: "x" } }), 2), 0, 0);
  assert.deepEqual([reply.text, reply.state, reply.error.message], ["Hello", "failed", "boom"]);
  take(reply, event(EVENTS[3], 3), 0, 0);
  assert.equal(reply.text, "Hello");
});

test("an end without a reason is no end", () => {
  const reply = newReply("a", ASKED, 0);
  take(reply, event(EVENTS[2], 1), 0, 0);
  take(reply, event("[DONE]", 2), 0, 0);
  assert.equal(reply.state, "failed");
});

test("what is no JSON is an error", () => {
  const reply = newReply("a", ASKED, 0);
  take(reply, event("<html>", 1), 0, 0);
  assert.equal(reply.state, "failed");
});

test("stopped takes what the server says, and nothing after", () => {
  const reply = newReply("a", ASKED, 0);
  stopped(reply, null);
  stopped(reply, { usage: { prompt_tokens: 1, completion_tokens: 2 }, cost_usd: 0.1, source: "counted" });
  fail(reply, "failed", { message: "no" });
  assert.deepEqual([reply.state, reply.cost, reply.usage.completion_tokens], ["stopped", 0.1, 2]);
});

test("server-sent events, however they are cut", () => {
  const text = "\uFEFF: hello\r\nid: a:1\ndata: x\ndata:y\n\nid: a:2\revent: e\rdata: 😀\r\r: end\n\ndata: z\r\n\r\n";
  const wanted = decode()(text);
  assert.deepEqual(wanted.map(({ event: kind, data, id }) => [kind, data, id]), [
    ["message", "x\ny", "a:1"], ["e", "😀", "a:2"], ["message", "z", "a:2"],
  ]);
  const below = numbers(9);
  for (let round = 0; round < 300; round += 1) {
    const feed = decode();
    assert.deepEqual(cutUp(text, below).flatMap((piece) => feed(piece)), wanted);
  }
});

test("until the server has heard of a stop, what it costs is open", () => {
  const reply = { ...newReply("a", ASKED, 0), state: "streaming", stream: "stm_1", cost: 0.1 };
  stopping(reply);
  assert.deepEqual([reply.state, reply.stopPending, reply.cost], ["stopped", true, null]);
  stopped(reply, { usage: { completion_tokens: 9 }, cost_usd: 0.2, source: "engine" });
  assert.deepEqual([reply.state, reply.stopPending, reply.cost], ["stopped", false, 0.2]);
});

test("only what has a name at a server that may still know it can be read on", () => {
  const lost = (stream, error) => {
    const reply = { ...newReply("a", ASKED, 0), stream };
    fail(reply, "lost", error);
    return reply;
  };
  assert.ok(mayReadOn(lost("stm_1", { message: "away" })));
  assert.ok(!mayReadOn(lost("stm_1", { message: "gone", code: "gone" })));
  assert.ok(!mayReadOn(newReply("a", ASKED, 0)));
  const early = newReply("a", ASKED, 0);
  stopping(early);
  unheard(early, "the page was closed");
  assert.deepEqual([early.state, early.stopPending, early.cost], ["lost", false, null]);
  assert.match(early.error.message, /^the page was closed before .* at a cost$/);
  assert.ok(!mayReadOn(early));
});

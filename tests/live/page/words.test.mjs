/** Figures, endings and records, as people read them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ours } from "./reading.mjs";

const { dollars, duration, ending, gapsOf, rate, redactions, speed, tokens, totals, totalsText } =
  await ours("chat/words.js");
const { asMarkdown, merged, messages, noOptions, requestBody, titleOf } = await ours("chat/conversation.js");
const { newReply } = await ours("chat/reply.js");

function reply(more = {}) {
  return { ...newReply("a", { question: "q", model: "m", asked: {}, guarded: false }, 0), ...more };
}

test("amounts", () => {
  assert.equal(tokens(48), "48 tok");
  const wanted = [
    [0, "$0"], [0.0012, "$0.0012"], [0.000372, "$0.000372"], [6.75e-6, "$0.00000675"], [0.5, "$0.50"],
    [12, "$12.00"], [0.1 + 0.2, "$0.30"], [1.255, "$1.255"], [null, "cost unknown"], [undefined, ""],
  ];
  for (const [cost, text] of wanted) assert.equal(dollars(cost), text);
});

test("times", () => {
  assert.deepEqual([3.2, 80, 420, 12_345].map(duration), ["3 ms", "80 ms", "0.42 s", "12.3 s"]);
  assert.equal(rate(27.4), "27 tok/s");
  assert.equal(rate(3.14), "3.1 tok/s");
  assert.equal(gapsOf([]), null);
  assert.deepEqual(gapsOf([5, 1, 100]), { median: 5, longest: 100 });
  assert.equal(speed(reply({ usage: { completion_tokens: 11 }, first: 100, last: 600 })), 20);
  assert.equal(speed(reply({ usage: { completion_tokens: 1 }, first: 1, last: 1 })), null);
});

test("how an answer ended", () => {
  const cases = [
    [{ state: "done", finish: "stop", text: "Hello." }, undefined],
    [{ state: "done", finish: "stop", refusal: "No." }, undefined],
    [{ state: "done", finish: "stop" }, "the answer is empty"],
    [{ state: "streaming" }, undefined],
    [{ state: "done", finish: "error" }, "ended: error"],
    [{ state: "stopped", stoppedBy: "stop", stopPending: true }, "stopping: the server was not told yet"],
    [{ state: "stopped", stoppedBy: "stop" }, "stopped"],
    [{ state: "done", finish: "length", stoppedBy: "budget", asked: { budget: { tokens: 50 } } }, "cut by the budget of 50 tok"],
    [{ state: "done", finish: "length", stoppedBy: "budget", asked: { budget: { usd: 0.02 } } }, "cut by the budget of $0.02"],
    [{ state: "done", finish: "length", stoppedBy: "budget" }, "cut by a budget of this server"],
    [{ state: "done", finish: "content_filter", stoppedBy: "guard", verdicts: [{ rule: "code", action: "block" }] }, "withheld by the guard (code)"],
    [{ state: "done", finish: "length", asked: { max_tokens: 9 } }, "cut at 9 tok, as asked"],
    [{ state: "failed", error: { code: "upstream_failed", message: "the stream broke off: boom", status: null } }, "the provider broke off: boom"],
    [{ state: "failed", error: { code: "failed", message: "gone", status: null } }, "the server broke off: gone"],
    [{ state: "failed", error: { code: "x", message: "no", status: 400 } }, "not answered: no"],
    [{ state: "lost", error: { message: "away" } }, "away"],
  ];
  for (const [more, text] of cases) assert.equal(ending(reply(more))?.text, text);
  const verdicts = [{ rule: "a", action: "redact" }, { rule: "a", action: "redact" }, { rule: "b", action: "flag" }];
  assert.equal(redactions(reply({ verdicts })), "2 redacted: a; 1 flagged: b");
});

test("sums never hide what is unknown", () => {
  const known = reply({ state: "done", usage: { prompt_tokens: 2, completion_tokens: 3 }, cost: 0.1 });
  const unknown = { ...known, cost: null };
  assert.equal(totalsText(totals([known, known])), "4 + 6 tok · $0.20");
  const failed = { ...known, state: "failed", usage: null, cost: undefined };
  const refused = { ...failed, error: { code: null, message: "slow down", status: 429 } };
  const away = { ...failed, error: { code: null, message: "away", status: 0 } };
  assert.equal(totalsText(totals([known, refused])), "2 + 3 tok · $0.10");
  assert.equal(totalsText(totals([known, away])), "2 + 3 tok · $0.10 and more, not all known");
  assert.equal(totalsText(totals([known, unknown])), "4 + 6 tok · $0.10 and more, not all known");
  assert.equal(totalsText(totals([unknown])), "2 + 3 tok · cost unknown");
  assert.equal(totalsText(totals([reply({ state: "failed" })])), "0 + 0 tok · cost unknown");
  assert.equal(totalsText(totals([{ ...unknown, state: "streaming" }])), "2 + 3 tok · cost unknown");
  assert.equal(totalsText(totals([reply({ state: "asking" })])), "0 + 0 tok");
  assert.equal(totalsText(totals([{ ...known, cost: 0 }])), "2 + 3 tok · $0");
});

test("titles", () => {
  assert.equal(titleOf("  Hello \n world"), "Hello");
  assert.equal(titleOf("word ".repeat(40)).length <= 61, true);
  assert.equal(titleOf("\n"), "Conversation");
});

test("what is sent", () => {
  const turn = (question, text) => ({ versions: [reply({ question, text })], shown: 0 });
  const said = messages("Be brief.", [turn("one", "1"), turn("lost", "")], "two");
  assert.deepEqual(said.map((one) => one.content), ["Be brief.", "one", "1", "two"]);
  const options = { ...noOptions(), temperature: 0, guard: "pii", budget: { tokens: 5 } };
  const body = requestBody("m", options, said, true);
  assert.equal(body.temperature, 0);
  assert.equal("seed" in body, false);
  assert.deepEqual(body.deltaweir, { resume: true, on_disconnect: "finish", guard: "pii", budget: { tokens: 5 } });
  assert.deepEqual(requestBody("m", noOptions(), said, false).deltaweir, {});
});

test("two tabs' copies of a turn lose nothing", () => {
  const one = reply({ id: "1", event: 4, text: "long", state: "streaming" });
  const older = { ...one, event: 2, text: "lo" };
  const two = reply({ id: "2", state: "done" });
  const ended = { ...one, state: "done", event: 9 };
  const turn = (versions, shown = 0) => ({ id: "t", versions, shown });
  assert.deepEqual(merged(turn([one]), turn([older, two], 1)).versions, [one, two]);
  assert.equal(merged(turn([one]), turn([older, two], 1)).shown, 1);
  assert.equal(merged(turn([ended]), turn([one])).versions[0].state, "done");
  assert.equal(merged(turn([ended]), turn([one])).open, undefined);
  assert.equal(merged(undefined, turn([one])).open, 1);
  const stopped = { ...one, state: "stopped", stopPending: false };
  const untold = { ...stopped, stopPending: true };
  assert.equal(merged(undefined, turn([untold])).open, 1);
  assert.equal(merged(turn([untold]), turn([stopped])).open, undefined);
  assert.equal(merged(turn([stopped]), turn([untold])).open, undefined);
});

test("an export to be read", () => {
  const conversation = { title: "T", options: { ...noOptions(), system: "S" } };
  const done = reply({ state: "done", text: "A", usage: { completion_tokens: 2 }, cost: 0 });
  const text = asMarkdown(conversation, [{ versions: [done], shown: 0 }]);
  assert.equal(text, "# T\n\n> System: S\n\n## You\n\nq\n\n## m\n\nA\n\n_2 tok · $0_\n");
});

/**
 * Figures and endings in words. No DOM.
 */

import { isOpen } from "./reply.js";

/** @param {number} tokens @returns {string} Such as `48 tok`. */
export function tokens(tokens) {
  return `${tokens} tok`;
}

/**
 * @param {number | null | undefined} cost US dollars; null where nobody knows.
 * @returns {string} Such as `$0.0012`, with all the digits that count; empty where not told yet.
 */
export function dollars(cost) {
  if (cost === undefined) return "";
  if (cost === null) return "cost unknown";
  if (cost === 0) return "$0";
  // rid of what binary fractions add, and of exponents
  const digits = Math.min(18, Math.max(2, 5 - Math.floor(Math.log10(cost))));
  const text = cost.toFixed(digits).replace(/0+$/, "");
  const missing = 2 - (text.length - text.indexOf(".") - 1);
  return `$${text}${"0".repeat(Math.max(0, missing))}`;
}

/** @param {number} milliseconds @returns {string} Such as `0.08 s` or `12 ms`. */
export function duration(milliseconds) {
  if (milliseconds < 100) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

/**
 * Say how fast words come.
 *
 * @param {import("./reply.js").Reply} reply
 * @returns {number | null} Tokens per second, from the first word to the last; null for too few.
 */
export function speed(reply) {
  const count = reply.usage?.completion_tokens ?? 0;
  const span = reply.first === null ? 0 : reply.last - reply.first;
  return count > 2 && span > 20 ? ((count - 1) / span) * 1000 : null;
}

/** @param {number} perSecond @returns {string} Such as `27 tok/s`. */
export function rate(perSecond) {
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} tok/s`;
}

/**
 * @param {number[]} gaps Milliseconds.
 * @returns {{median: number, longest: number} | null} Null for none.
 */
export function gapsOf(gaps) {
  if (!gaps.length) return null;
  const sorted = Float64Array.from(gaps).sort();
  return { median: sorted[sorted.length >> 1], longest: sorted[sorted.length - 1] };
}

/**
 * Say how an answer ended, where that is worth a word.
 *
 * @param {import("./reply.js").Reply} reply
 * @returns {{kind: "note" | "cut" | "bad", text: string} | null} Null for one that is complete or
 *   goes on.
 */
export function ending(reply) {
  if (reply.state === "failed" || reply.state === "lost") return failure(reply);
  if (reply.stopPending) return cut("stopping: the server was not told yet");
  if (reply.state === "stopped" || reply.stoppedBy === "stop") return cut("stopped");
  if (reply.state !== "done") return null;
  if (reply.stoppedBy === "budget") return cut(`cut by ${budget(reply.asked.budget)}`);
  if (reply.stoppedBy === "revoked") return cut("stopped: the key was revoked");
  if (reply.stoppedBy === "guard") return cut(`withheld by the guard${rules(reply)}`);
  if (reply.stoppedBy) return cut(`cut: ${reply.stoppedBy}`);
  return finished(reply);
}

/**
 * Say what a guard took out.
 *
 * @param {import("./reply.js").Reply} reply
 * @returns {string} Such as `2 redacted: email, phone`; empty for nothing.
 */
export function redactions(reply) {
  const found = reply.verdicts.filter((one) => one.action === "redact");
  const flagged = reply.verdicts.filter((one) => one.action === "flag");
  const parts = [];
  if (found.length) parts.push(`${found.length} redacted: ${names(found)}`);
  if (flagged.length) parts.push(`${flagged.length} flagged: ${names(flagged)}`);
  return parts.join("; ");
}

/**
 * Add up what a conversation has used, every version of every answer.
 *
 * @param {import("./reply.js").Reply[]} replies
 * @returns {{prompt: number, completion: number, cost: number, unknown: boolean, open: boolean}}
 *   `unknown` where nobody knows what some of it cost; `open` where that is still to be told.
 */
export function totals(replies) {
  const sum = { prompt: 0, completion: 0, cost: 0, unknown: false, open: false };
  for (const reply of replies) {
    const { usage, cost } = reply;
    if (wasRefused(reply)) continue;
    sum.prompt += usage?.prompt_tokens ?? 0;
    sum.completion += usage?.completion_tokens ?? 0;
    sum.cost += cost ?? 0;
    if (cost === undefined && isOpen(reply)) sum.open = true;
    else if (cost == null) sum.unknown = true;
  }
  return sum;
}

/** @param {ReturnType<typeof totals>} sum @returns {string} Such as `1 + 2 tok · $0.0012`. */
export function totalsText({ prompt, completion, cost, unknown, open }) {
  let told = dollars(cost);
  if (unknown) told = cost > 0 ? `${told} and more, not all known` : dollars(null);
  else if (open && cost === 0) return `${prompt} + ${completion} tok`;
  return `${prompt} + ${completion} tok · ${told}`;
}

/** Whether the server took no request, so that there is no cost to know. */
function wasRefused({ state, usage, error }) {
  return state === "failed" && usage === null && error?.status >= 400;
}

function finished(reply) {
  if (reply.finish === "length") {
    const most = reply.asked.max_tokens;
    return cut(most ? `cut at ${tokens(most)}, as asked` : "cut: the longest answer is reached");
  }
  if (reply.finish === "content_filter") return cut("withheld by the provider's filter");
  if (!reply.finish || reply.finish === "stop") {
    const empty = !reply.text && !reply.refusal && !reply.withheld;
    return empty ? { kind: "note", text: "the answer is empty" } : null;
  }
  const tool = reply.finish === "tool_calls" || reply.finish === "function_call";
  const text = tool ? "the model wants to call a tool; this page has none" : `ended: ${reply.finish}`;
  return { kind: "note", text };
}

function failure(reply) {
  const { code, message, status } = reply.error ?? { message: "unknown" };
  if (reply.state === "lost") return { kind: "bad", text: message };
  if (status !== null && status !== undefined) return { kind: "bad", text: `not answered: ${message}` };
  const said = message.replace(/^the stream broke off: /, "");
  const who = code === "failed" || code === "abandoned" ? "the server" : "the provider";
  return { kind: "bad", text: `${who} broke off: ${said}` };
}

function budget(asked) {
  if (asked?.tokens) return `the budget of ${tokens(asked.tokens)}`;
  if (asked?.usd) return `the budget of ${dollars(asked.usd)}`;
  return "a budget of this server";
}

function rules(reply) {
  const found = reply.verdicts.filter((one) => one.action === "block" || one.action === "truncate");
  return found.length ? ` (${names(found)})` : "";
}

function names(verdicts) {
  return [...new Set(verdicts.map((one) => one.rule))].join(", ");
}

function cut(text) {
  return { kind: "cut", text };
}

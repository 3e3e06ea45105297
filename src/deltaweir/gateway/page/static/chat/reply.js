/**
 * One answer as the browser knows it, and what each event of its stream makes of it. No I/O.
 *
 * Text and the number of the last event are one record, so what is stored of it is always
 * consistent: reading goes on behind that event, and nothing is lost or doubled.
 */

const MOST_GAPS = 2000;
/** Events that come so soon behind a new connection were waiting there: their gaps say nothing. */
const BURST_MS = 150;

/**
 * @typedef {object} Reply
 * @property {string} id
 * @property {string} question What was asked.
 * @property {string} model Who was asked.
 * @property {object} asked What was asked for beside: `guard`, `budget`, `max_tokens`.
 * @property {boolean} guarded Whether some guard watches it.
 * @property {"asking" | "streaming" | "done" | "stopped" | "failed" | "lost"} state
 * @property {string | null} [caller] Who asked; null where nobody is told apart.
 * @property {string | null} stream Its id at the server.
 * @property {boolean} [stopPending] It was stopped, and the server was not told yet.
 * @property {number} event The number of the last event that is in it.
 * @property {string} text
 * @property {string} reasoning
 * @property {string} refusal
 * @property {{prompt_tokens: number, completion_tokens: number} | null} usage
 * @property {number | null | undefined} cost US dollars; null is unknown, undefined not told yet.
 * @property {string | null} source Who counted.
 * @property {string | null} finish
 * @property {string | null} stoppedBy
 * @property {object[]} verdicts
 * @property {boolean} judged Whether the verdicts are all there are.
 * @property {number} withheld Characters that a guard kept back.
 * @property {{code: string | null, message: string, status: number | null} | null} error
 * @property {number} began When it was asked for, in milliseconds since 1970.
 * @property {number | null} first When its first word came, after that.
 * @property {number | null} last When its last one came.
 * @property {number[]} gaps Milliseconds between its words, the latest ones.
 */

/**
 * Begin an answer.
 *
 * @param {string} id
 * @param {{question: string, model: string, asked: object, guarded: boolean}} what
 * @param {number} now Milliseconds since 1970.
 * @returns {Reply}
 */
export function newReply(id, what, now) {
  return {
    id,
    ...what,
    state: "asking",
    stream: null,
    event: 0,
    text: "",
    reasoning: "",
    refusal: "",
    usage: null,
    cost: undefined,
    source: null,
    finish: null,
    stoppedBy: null,
    verdicts: [],
    judged: false,
    withheld: 0,
    error: null,
    began: now,
    first: null,
    last: null,
    gaps: [],
  };
}

/**
 * @param {Reply} reply
 * @returns {boolean} Whether more of it may come.
 */
export function isOpen(reply) {
  return reply.state === "asking" || reply.state === "streaming";
}

/**
 * Take an event into an answer.
 *
 * @param {Reply} reply
 * @param {import("../events.js").ServerEvent} event
 * @param {number} now Milliseconds since 1970.
 * @param {number} connected When this connection began, likewise.
 * @returns {boolean} Whether it was new; an event that came before changes nothing.
 */
export function take(reply, event, now, connected) {
  const number = numberOf(event.id);
  if (number !== null) {
    if (number <= reply.event) return false;
    reply.event = number;
  }
  if (!isOpen(reply)) return false;
  if (event.data === "[DONE]") {
    reply.state = reply.finish === null ? "failed" : "done";
    if (reply.finish === null) reply.error = broken("the stream ended before the answer did");
    return true;
  }
  takeChunk(reply, parsed(event.data), now, connected);
  return true;
}

/**
 * End an answer with an error; what came of it stays.
 *
 * @param {Reply} reply
 * @param {"failed" | "lost"} state
 * @param {{code?: string | null, message: string, status?: number}} error
 */
export function fail(reply, state, error) {
  if (!isOpen(reply)) return;
  reply.state = state;
  reply.error = { code: error.code ?? null, message: error.message, status: error.status ?? null };
}

/**
 * End an answer that somebody stopped.
 *
 * @param {Reply} reply
 * @param {{usage?: object, cost_usd?: number | null, source?: string} | null} told What the server
 *   says it has used; null where it said nothing.
 */
export function stopped(reply, told) {
  reply.stopPending = false;
  if (told?.usage) reply.usage = told.usage;
  if (told && "cost_usd" in told) reply.cost = told.cost_usd;
  if (told?.source) reply.source = told.source;
  if (!isOpen(reply)) return;
  reply.state = "stopped";
  reply.stoppedBy = "stop";
}

/**
 * End an answer that somebody stopped, of which the server is still to be told.
 *
 * @param {Reply} reply
 */
export function stopping(reply) {
  stopped(reply, null);
  Object.assign(reply, { stopPending: true, cost: null });
}

/**
 * End an answer that has no name yet by which the server could be asked for it.
 *
 * @param {Reply} reply
 * @param {string} why Such as `the page was closed`.
 */
export function unheard(reply, why) {
  const words = `${why} before the answer began; the server may have gone on with it, at a cost`;
  Object.assign(reply, { state: "lost", stopPending: false, cost: null, error: broken(words) });
}

/**
 * @param {Reply} reply
 * @returns {boolean} Whether it was lost, and the server may still have the rest.
 */
export function mayReadOn({ state, stream, error }) {
  return state === "lost" && stream !== null && !error.code;
}

function takeChunk(reply, chunk, now, connected) {
  if (chunk === null || typeof chunk !== "object") {
    fail(reply, "failed", { code: "not_understood", message: "what came is no JSON" });
    return;
  }
  reply.state = "streaming";
  if (chunk.usage) reply.usage = chunk.usage;
  if (chunk.deltaweir) takeAccount(reply, chunk.deltaweir);
  if (chunk.error) {
    reply.state = "failed";
    reply.error = { ...broken(String(chunk.error.message ?? "")), code: chunk.error.code ?? null };
    return;
  }
  const choice = chunk.choices?.find((one) => one.index === 0);
  if (!choice) return;
  takeDelta(reply, choice.delta ?? {}, now, connected);
  if (choice.finish_reason) reply.finish = choice.finish_reason;
}

function takeDelta(reply, delta, now, connected) {
  const reasoning = delta.reasoning_content ?? delta.reasoning;
  const came = [delta.content, reasoning, delta.refusal].some((one) => one);
  if (typeof delta.content === "string") reply.text += delta.content;
  if (typeof reasoning === "string") reply.reasoning += reasoning;
  if (typeof delta.refusal === "string") reply.refusal += delta.refusal;
  if (!came) return;
  const at = now - reply.began;
  if (reply.first === null) {
    reply.first = at;
  } else if (now - connected > BURST_MS || connected <= reply.began) {
    reply.gaps.push(Math.max(0, Math.round((at - reply.last) * 10) / 10));
    if (reply.gaps.length > MOST_GAPS) reply.gaps.shift();
  }
  reply.last = at;
}

function takeAccount(reply, account) {
  if (account.usage) reply.usage = account.usage;
  if ("cost_usd" in account) reply.cost = account.cost_usd;
  if (account.source) reply.source = account.source;
  if (account.stopped_by) reply.stoppedBy = account.stopped_by;
  if (account.withheld_chars) reply.withheld = account.withheld_chars;
  if (account.guard) reply.verdicts = account.guard;
  // only the last account has a source, and then all verdicts
  if (account.source) reply.judged = true;
}

function broken(message) {
  return { code: null, message, status: null };
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;  // told as an error of the answer
  }
}

function numberOf(id) {
  const number = Number(id.slice(id.lastIndexOf(":") + 1));
  return id.includes(":") && Number.isInteger(number) ? number : null;
}

/**
 * Conversations and their turns as they are kept, sent and exported. No DOM, no I/O.
 */

import { isOpen } from "./reply.js";
import { dollars, ending, tokens } from "./words.js";

const LONGEST_TITLE = 60;

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {boolean} named Whether a person chose the title.
 * @property {number} created Milliseconds since 1970.
 * @property {number} changed Likewise.
 * @property {string} model
 * @property {Options} options
 */

/**
 * @typedef {object} Options
 * @property {string} system
 * @property {number | null} temperature
 * @property {number | null} top_p
 * @property {number | null} max_tokens
 * @property {number | null} seed
 * @property {string[]} stop
 * @property {string} guard Empty for none beside the model's.
 * @property {{tokens?: number, usd?: number} | null} budget
 */

/**
 * @typedef {object} Turn
 * @property {string} id
 * @property {string} conversation
 * @property {number} at When it began; turns are in this order.
 * @property {import("./reply.js").Reply[]} versions
 * @property {number} shown Which version is shown, and sent when the conversation goes on.
 * @property {1} [open] There while one of its answers is on its way, or still to be stopped.
 */

/** @returns {Options} What holds where nothing was chosen. */
export function noOptions() {
  return {
    system: "", temperature: null, top_p: null, max_tokens: null, seed: null, stop: [],
    guard: "", budget: null,
  };
}

/** @returns {string} A random name for a record. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {string} text The first question.
 * @returns {string} A title: its first line, cut at a word.
 */
export function titleOf(text) {
  const line = text.trim().split("\n", 1)[0].replace(/\s+/g, " ").trim();
  if (line.length <= LONGEST_TITLE) return line || "Conversation";
  const cut = line.slice(0, LONGEST_TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), LONGEST_TITLE / 2)).trimEnd()}…`;
}

/**
 * Return the messages of a conversation so far. A question that got no word in answer is left out:
 * two questions in a row are refused by many models.
 *
 * @param {string} system
 * @param {Turn[]} turns Those that were answered.
 * @param {string} question The next one.
 * @returns {{role: string, content: string}[]}
 */
export function messages(system, turns, question) {
  const found = system.trim() ? [{ role: "system", content: system }] : [];
  for (const turn of turns) {
    const { question: asked, text, refusal } = turn.versions[turn.shown];
    if (!text && !refusal) continue;
    found.push({ role: "user", content: asked }, { role: "assistant", content: text || refusal });
  }
  found.push({ role: "user", content: question });
  return found;
}

/**
 * Return the body of a request.
 *
 * @param {string} model
 * @param {Options} options
 * @param {{role: string, content: string}[]} said From `messages`.
 * @param {boolean} resume Whether the server keeps streams.
 * @returns {object}
 */
export function requestBody(model, options, said, resume) {
  const body = {
    model,
    messages: said,
    stream: true,
    stream_options: { include_usage: true, continuous_usage_stats: true },
    deltaweir: resume ? { resume: true, on_disconnect: "finish" } : {},
  };
  for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
    if (options[name] !== null) body[name] = options[name];
  }
  if (options.stop.length) body.stop = options.stop;
  if (options.guard) body.deltaweir.guard = options.guard;
  if (options.budget) body.deltaweir.budget = options.budget;
  return body;
}

/**
 * Put two copies of a turn together, as two tabs may have written them: no version is lost, and of
 * each the one that knows more stays.
 *
 * @param {Turn | undefined} stored
 * @param {Turn} given
 * @returns {Turn}
 */
export function merged(stored, given) {
  if (!stored) return marked(given);
  const versions = stored.versions.map((one) => {
    const other = given.versions.find((version) => version.id === one.id);
    return other && !knowsMore(one, other) ? other : one;
  });
  const known = new Set(versions.map((one) => one.id));
  versions.push(...given.versions.filter((one) => !known.has(one.id)));
  const chosen = given.versions[given.shown].id;
  return marked({ ...given, versions, shown: versions.findIndex((one) => one.id === chosen) });
}

/** Mark a turn for the index of those that are open. */
function marked(turn) {
  const { open: _, ...rest } = turn;
  return rest.versions.some((one) => isOpen(one) || one.stopPending) ? { ...rest, open: 1 } : rest;
}

function knowsMore(one, other) {
  if (isOpen(one) !== isOpen(other)) return isOpen(other);
  if (one.event !== other.event) return one.event > other.event;
  return Boolean(other.stopPending) && !one.stopPending;
}

/**
 * Export a conversation to be read.
 *
 * @param {Conversation} conversation
 * @param {Turn[]} turns
 * @returns {string} Markdown.
 */
export function asMarkdown(conversation, turns) {
  const parts = [`# ${conversation.title}\n`];
  if (conversation.options.system.trim()) {
    parts.push(`> System: ${conversation.options.system.trim().replace(/\n/g, "\n> ")}\n`);
  }
  for (const turn of turns) {
    const reply = turn.versions[turn.shown];
    parts.push(`## You\n\n${reply.question}\n`, `## ${reply.model}\n`);
    if (reply.text || reply.refusal) parts.push(`${reply.text || reply.refusal}\n`);
    const end = ending(reply);
    const figures = [
      reply.usage && tokens(reply.usage.completion_tokens), dollars(reply.cost), end?.text,
    ];
    const told = figures.filter(Boolean).join(" · ");
    if (told) parts.push(`_${told}_\n`);
  }
  return parts.join("\n");
}

/**
 * Export a conversation to be kept, with every version of each answer.
 *
 * @param {Conversation} conversation
 * @param {Turn[]} turns
 * @returns {string} JSON.
 */
export function asJson(conversation, turns) {
  const kept = turns.map(({ at, shown, versions }) => ({ at, shown, versions }));
  return `${JSON.stringify({ format: "deltaweir.conversation.1", ...conversation, turns: kept }, null, 2)}\n`;
}

/**
 * One question and its answers on the page.
 */

import { AnswerView } from "./answer_view.js";
import { element } from "./markdown.js";
import { isOpen, mayReadOn } from "./reply.js";
import { Sparkline } from "./sparkline.js";
import { dollars, duration, ending, rate, redactions, speed, tokens } from "./words.js";

const SPARK_MS = 250;
const COUNTED_BY = {
  provider: "as the provider counts",
  engine: "as the model counted",
  counted: "counted here: the provider said nothing",
  estimated: "estimated: the model's vocabulary is not known",
};

/** Shows a turn; `update` after each change. */
export class TurnView {
  /**
   * @param {object} turn
   * @param {HTMLTemplateElement} template
   * @param {{choose: (turn: object, by: number) => void, more: (view: TurnView) => void,
   *   left: () => void}} acts `more` asks for another `update` soon; `left` is called where the
   *   button that had the focus is hidden.
   */
  constructor(turn, template, acts) {
    this.acts = acts;
    this.root = template.content.firstElementChild.cloneNode(true);
    this.root.dataset.turn = turn.id;
    const part = (name) => this.root.querySelector(`.${name}`);
    this.question = part("question-text");
    this.model = part("answer-model");
    this.answer = new AnswerView(part("answer-text"), () => acts.more(this));
    this.reasoning = part("reasoning");
    this.reasoningText = part("reasoning-text");
    this.refusal = part("refusal");
    this.waiting = part("waiting");
    this.end = part("ending");
    this.redacted = part("redacted");
    this.figures = { tokens: part("tokens"), cost: part("cost"), first: part("first"), speed: part("speed") };
    this.spark = new Sparkline();
    part("stats").append(this.spark.root);
    this.versions = part("versions");
    this.actions = part("actions");
    part("earlier").addEventListener("click", () => acts.choose(this.turn, -1));
    part("later").addEventListener("click", () => acts.choose(this.turn, 1));
    this.sparkAt = 0;
    this.shownId = null;
    this.lost = false;
    this.take(turn);
  }

  /** @param {object} turn Another copy of it. */
  take(turn) {
    this.turn = turn;
    this.update();
  }

  /** Show how it stands. */
  update() {
    const reply = this.turn.versions[this.turn.shown];
    const open = isOpen(reply);
    if (this.shownId !== reply.id) this.#another(reply);
    const verdicts = reply.verdicts.filter((one) => one.choice === 0 && one.field === "content");
    this.answer.show(reply.text, {
      guarded: reply.guarded,
      verdicts: reply.judged ? verdicts : null,
      done: !open,
    });
    set(this.reasoningText, reply.reasoning);
    this.reasoning.hidden = !reply.reasoning;
    set(this.refusal, reply.refusal);
    this.refusal.hidden = !reply.refusal;
    this.#state(reply, open);
    this.#figures(reply, open);
  }

  /** @param {boolean} lost Whether its connection is lost, and a new one is tried. */
  connection(lost) {
    this.lost = lost;
    this.update();
  }

  /** @param {boolean} last Whether it is the last one, and may be retried. */
  place(last) {
    this.root.classList.toggle("last", last);
    for (const button of this.actions.querySelectorAll(".only-last")) button.hidden = !last;
  }

  #another(reply) {
    this.shownId = reply.id;
    set(this.question, reply.question);
    set(this.model, reply.model);
    this.root.querySelector(".answer").setAttribute("aria-label", `Answer of ${reply.model}`);
    const { versions, shown } = this.turn;
    this.versions.hidden = versions.length < 2;
    set(this.versions.querySelector(".version"), `${shown + 1}/${versions.length}`);
    // not disabled: it may have the focus
    this.versions.querySelector(".earlier").ariaDisabled = shown === 0;
    this.versions.querySelector(".later").ariaDisabled = shown === versions.length - 1;
    this.sparkAt = 0;
  }

  #state(reply, open) {
    const nothing = !reply.text && !reply.reasoning && !reply.refusal;
    const words = open && this.lost
      ? "Connection lost; reading on as soon as there is one."
      : open && nothing ? "Waiting for the first word" : "";
    this.waiting.hidden = words === "";
    set(this.waiting, words);
    this.waiting.classList.toggle("bad", Boolean(open && this.lost));
    this.root.classList.toggle("streaming", open);
    const end = ending(reply);
    this.end.hidden = end === null;
    set(this.end, end?.text ?? "");
    this.end.dataset.kind = end?.kind ?? "";
    const found = redactions(reply);
    this.redacted.hidden = found === "";
    set(this.redacted, found);
    if (open && this.actions.contains(document.activeElement)) this.acts.left();
    this.actions.hidden = open;
    this.actions.querySelector(".read-on").hidden = !mayReadOn(reply);
    this.actions.querySelector(".copy-answer").hidden = !reply.text && !reply.refusal;
    const { versions } = this.turn;
    this.versions.hidden = versions.length < 2;
  }

  #figures(reply, open) {
    const { figures } = this;
    set(figures.tokens, reply.usage ? tokens(reply.usage.completion_tokens) : "");
    if (reply.usage) {
      const by = COUNTED_BY[reply.source] ?? "counted so far";
      figures.tokens.title = `${reply.usage.prompt_tokens} tokens of prompt, ${reply.usage.completion_tokens} of answer; ${by}`;
    }
    set(figures.cost, reply.cost === undefined && !open && reply.usage ? "cost unknown" : dollars(reply.cost));
    set(figures.first, reply.first === null ? "" : `first ${duration(reply.first)}`);
    const found = speed(reply);
    set(figures.speed, found === null ? "" : rate(found));
    const now = performance.now();
    if (open && now - this.sparkAt < SPARK_MS) return;
    this.sparkAt = now;
    this.spark.root.classList.toggle("none", reply.gaps.length < 2);
    this.spark.show(reply.gaps);
  }
}

/** Set a text, but touch nothing where it is the same. */
function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

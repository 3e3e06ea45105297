/**
 * The conversation that is open: its turns on the page, and what a person does with them.
 */

import { copy } from "./copying.js";
import { messages, newId, noOptions, requestBody, titleOf } from "./conversation.js";
import { isOpen, newReply } from "./reply.js";
import { TurnView } from "./turn_view.js";
import { ending, totals, totalsText } from "./words.js";

const UNSEEN_MS = 500;

/** Shows one conversation, and goes on with it. */
export class Talk {
  /**
   * @param {object} parts
   * @param {import("./store.js").Store} parts.store
   * @param {import("./live.js").Live} parts.live
   * @param {import("./models.js").ModelChoice} parts.models
   * @param {import("./follow.js").Follow} parts.follow
   * @param {HTMLElement} parts.root
   * @param {(what: "list" | "busy" | "options") => void} parts.changed
   * @param {(words: string) => void} parts.say Tells people who do not see the page.
   */
  constructor({ store, live, models, follow, root, changed, say }) {
    Object.assign(this, { store, live, models, follow, changed, say });
    const part = (id) => root.querySelector(`#${id}`);
    this.turnsRoot = part("turns");
    this.template = part("turn-template");
    this.empty = part("empty");
    this.totals = part("totals");
    this.settings = null;
    this.views = new Map();
    this.dirty = new Set();
    this.frame = 0;
    this.turnsRoot.addEventListener("click", (event) => this.#clicked(event));
    this.begin();
  }

  /** The answer that is on its way here, if any. */
  get running() {
    for (const turn of this.turns) {
      const reply = turn.versions.find(isOpen);
      if (reply) return reply;
    }
    return null;
  }

  /** The last turn, if any. */
  get last() {
    return this.turns.at(-1);
  }

  /** Begin a conversation; it is kept from its first question on. */
  begin() {
    this.conversation = null;
    this.options = noOptions();
    this.#showTurns([]);
  }

  /**
   * Open a conversation.
   *
   * @param {string} id
   * @returns {Promise<boolean>} Whether there is one.
   */
  async open(id) {
    const conversation = await this.store.conversation(id);
    if (!conversation) return false;
    const turns = await this.store.turns(id);
    this.conversation = conversation;
    this.options = { ...noOptions(), ...conversation.options };
    this.models.value = conversation.model;
    this.#showTurns(turns.map((turn) => this.live.turn(turn.id) ?? turn));
    for (const turn of this.turns) this.#adopt(turn);
    return true;
  }

  /**
   * Ask.
   *
   * @param {string} question
   */
  async ask(question) {
    const now = Date.now();
    if (this.conversation === null) {
      this.conversation = {
        id: newId(), title: titleOf(question), named: false, created: now, changed: now,
        model: this.models.value, options: this.options,
      };
    }
    const reply = this.#newReply(question);
    const turn = {
      id: newId(), conversation: this.conversation.id, at: now, versions: [reply], shown: 0,
    };
    this.#add(turn);
    await this.#run(turn, reply, this.turns.slice(0, -1));
  }

  /**
   * Ask the last question again, or another in its place. The former answer stays beside it.
   *
   * @param {string} [question]
   */
  async again(question = undefined) {
    const turn = this.last;
    if (!turn || this.running) return;
    const reply = this.#newReply(question ?? turn.versions[turn.shown].question);
    turn.versions.push(reply);
    turn.shown = turn.versions.length - 1;
    this.views.get(turn.id).update();
    await this.#run(turn, reply, this.turns.slice(0, -1));
  }

  /** Stop the answer that is on its way. */
  stop() {
    const { running } = this;
    if (!running) return;
    if (this.live.has(running.id)) void this.live.stop(running.id);
    // another tab reads it, and will see its end
    else if (running.stream) void this.live.stopAtServer(running.stream);
  }

  /**
   * Take other options, or another model.
   *
   * @param {object} changes
   */
  async choose(changes) {
    if (changes.options) this.options = changes.options;
    if (this.conversation === null) return;
    Object.assign(this.conversation, changes);
    await this.#keep();
  }

  /** An answer has changed; called many times a second. */
  changedHere(turn, reply, what) {
    const view = this.views.get(turn.id);
    if (view === undefined) {
      if (what === "ended") this.changed("list");
      return;
    }
    if (view.turn !== turn) {
      this.turns[this.turns.findIndex((one) => one.id === turn.id)] = turn;
      view.turn = turn;
    }
    if (what === "waiting") view.connection(true);
    if (what === "read on") view.lost = false;
    if (what === "begun") {
      view.lost = false;
      this.say("The answer begins.");
    }
    if (what === "ended") {
      view.lost = false;
      this.say(`The answer has ended${withComma(ending(reply)?.text)}.`);
      this.changed("list");
    }
    this.dirty.add(view);
    this.#draw();
  }

  /** Another tab has changed a turn, or the conversation. */
  async changedElsewhere({ turn: id }) {
    if (this.conversation === null) return;
    const now = await this.store.conversation(this.conversation.id);
    if (now) this.conversation = now;
    if (id === undefined || this.live.turn(id)) return;
    const turn = await this.store.turn(id);
    if (!turn || turn.conversation !== this.conversation.id) return;
    const at = this.turns.findIndex((one) => one.id === id);
    if (at < 0) {
      this.#add(turn);
    } else {
      this.turns[at] = turn;
      this.views.get(id).take(turn);
    }
    this.#adopt(turn);
    this.#after();
  }

  async #run(turn, reply, before) {
    this.#after();
    this.follow.toEnd();
    this.conversation.changed = Date.now();
    Object.assign(this.conversation, { model: this.models.value, options: this.options });
    await this.#keep();
    this.changed("list");
    const said = messages(this.options.system, before, reply.question);
    const { resume } = this.settings;
    await this.live.start(turn, reply, requestBody(reply.model, this.options, said, resume), resume);
  }

  #newReply(question) {
    const { guard, budget, max_tokens: longest } = this.options;
    const always = this.models.guards;
    return newReply(newId(), {
      question,
      model: this.models.value,
      asked: { guard, budget, max_tokens: longest },
      guarded: Boolean(guard) || always.length > 0,
    }, Date.now());
  }

  async #keep() {
    try {
      await this.store.putConversation(this.conversation);
    } catch {
      dispatchEvent(new Event("notkept"));
    }
  }

  #adopt(turn) {
    for (const reply of turn.versions) if (isOpen(reply)) void this.live.adopt(turn, reply.id);
  }

  #showTurns(turns) {
    this.turns = [];
    this.views.clear();
    this.dirty.clear();
    this.turnsRoot.replaceChildren();
    for (const turn of turns) this.#add(turn);
    this.#after();
    this.follow.toEnd();
  }

  #add(turn) {
    const view = new TurnView(turn, this.template, {
      choose: (one, by) => this.#chooseVersion(one, by),
      more: (one) => {
        this.dirty.add(one);
        this.#draw();
      },
    });
    this.turns.push(turn);
    this.views.set(turn.id, view);
    this.turnsRoot.append(view.root);
    for (const one of this.turns) this.views.get(one.id).place(one === turn);
  }

  #draw() {
    if (this.frame) return;
    const draw = () => {
      cancelAnimationFrame(this.frame);
      clearTimeout(timer);
      this.frame = 0;
      const views = [...this.dirty];
      this.dirty.clear();
      for (const view of views) view.update();
      this.#after();
      this.follow.grown();
    };
    this.frame = requestAnimationFrame(draw);
    // a tab in the background has no frames
    const timer = setTimeout(draw, UNSEEN_MS);
  }

  #after() {
    this.empty.hidden = this.turns.length > 0;
    this.changed("busy");
    const replies = this.turns.flatMap((turn) => turn.versions);
    // of a single answer the line below it says all
    this.totals.textContent = replies.length > 1 ? `in all ${totalsText(totals(replies))}` : "";
  }

  async #chooseVersion(turn, by) {
    turn.shown = Math.min(turn.versions.length - 1, Math.max(0, turn.shown + by));
    this.views.get(turn.id).update();
    this.follow.grown();
    await this.store.putTurn(turn);
  }

  #clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.classList.contains("copy")) {
      void copy(button.closest(".code-box").querySelector("code").textContent, button);
    } else if (button.classList.contains("copy-answer")) {
      const turn = this.turns.find((one) => one.id === button.closest(".turn").dataset.turn);
      const { text, refusal } = turn.versions[turn.shown];
      void copy(text || refusal, button);
    } else if (button.classList.contains("retry")) {
      void this.again();
    } else if (button.classList.contains("edit")) {
      this.changed("edit");
    }
  }
}

function withComma(text) {
  return text ? `, ${text}` : "";
}

/**
 * The conversation that is open: its turns on the page, and what a person does with them.
 */

import { copy } from "./copying.js";
import { messages, newId, noOptions, requestBody, titleOf } from "./conversation.js";
import { isOpen, newReply } from "./reply.js";
import { TurnView } from "./turn_view.js";
import { ending, totals, totalsText } from "./words.js";

const UNSEEN_MS = 500;
/** How long is worked on the turns before a frame is drawn. */
const SLICE_MS = 12;

/** Shows one conversation, and goes on with it. */
export class Talk {
  /**
   * @param {object} parts
   * @param {import("./store.js").Store} parts.store
   * @param {import("./live.js").Live} parts.live
   * @param {import("./models.js").ModelChoice} parts.models
   * @param {import("./follow.js").Follow} parts.follow
   * @param {HTMLElement} parts.root
   * @param {(what: "list" | "busy" | "edit" | "gone" | "conversation" | "model" | "focus") => void}
   *   parts.changed `model` where none is chosen, `focus` where what had it goes.
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
    this.changed("conversation");
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
    for (const turn of this.turns) this.live.adopt(turn);
    this.changed("conversation");
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
    if (!this.models.value) return void this.changed("model");
    const reply = this.#newReply(question ?? turn.versions[turn.shown].question);
    turn.versions.push(reply);
    turn.shown = turn.versions.length - 1;
    this.views.get(turn.id).update();
    await this.#run(turn, reply, this.turns.slice(0, -1));
  }

  /** Stop the answer that is on its way. */
  stop() {
    for (const turn of this.turns) this.live.stop(turn);
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
    if (!this.gone) await this.store.putConversation(this.conversation);
  }

  /** An answer has changed; called many times a second. */
  changedHere(turn, reply, what) {
    const view = this.views.get(turn.id);
    const at = this.turns.findIndex((one) => one.id === turn.id);
    if (at >= 0) this.turns[at] = turn;
    if (view === undefined) {
      if (what === "ended") this.changed("list");
      return;
    }
    view.turn = turn;
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
    const { conversation } = this;
    const now = await this.store.conversation(conversation.id);
    if (this.conversation !== conversation) return;
    if (now) this.conversation = now;
    if (this.gone !== !now) {
      this.gone = !now;
      this.changed("gone");
    }
    if (id === undefined || this.live.turn(id)) return;
    const turn = await this.store.turn(id);
    if (!turn || turn.conversation !== this.conversation.id) return;
    const at = this.turns.findIndex((one) => one.id === id);
    if (at < 0) {
      this.#add(turn);
    } else {
      this.turns[at] = turn;
      this.views.get(id)?.take(turn);
    }
    this.live.adopt(turn);
    this.#after();
  }

  async #run(turn, reply, before) {
    this.#after();
    this.follow.toEnd();
    this.conversation.changed = Date.now();
    Object.assign(this.conversation, { model: this.models.value, options: this.options });
    await this.store.putConversation(this.conversation);
    if (this.gone) {
      this.gone = false;
      this.changed("gone");
      for (const one of before) await this.store.putTurn(one);
    }
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

  #showTurns(turns) {
    this.gone = false;
    this.turns = turns;
    /** How many of the first are not on the page yet. */
    this.rest = turns.length;
    this.views.clear();
    this.dirty.clear();
    this.turnsRoot.replaceChildren();
    this.#build(performance.now() + SLICE_MS);
    this.#after();
    this.follow.toEnd();
  }

  /** Put turns on the page, the last ones first; some now, some in later frames. */
  #build(until) {
    while (this.rest > 0) {
      this.rest -= 1;
      const turn = this.turns[this.rest];
      const view = this.#view(turn);
      this.turnsRoot.prepend(view.root);
      view.place(turn === this.last);
      if (performance.now() > until) break;
    }
    if (this.rest > 0) this.#draw();
  }

  #add(turn) {
    this.views.get(this.last?.id)?.place(false);
    this.turns.push(turn);
    const view = this.#view(turn);
    this.turnsRoot.append(view.root);
    view.place(true);
  }

  #view(turn) {
    const view = new TurnView(turn, this.template, {
      choose: (one, by) => this.#chooseVersion(one, by),
      more: (one) => {
        this.dirty.add(one);
        this.#draw();
      },
      left: () => this.changed("focus"),
    });
    this.views.set(turn.id, view);
    return view;
  }

  #draw() {
    if (this.frame) return;
    const draw = () => {
      cancelAnimationFrame(this.frame);
      clearTimeout(timer);
      this.frame = 0;
      const until = performance.now() + SLICE_MS;
      for (const view of [...this.dirty]) {
        this.dirty.delete(view);
        view.update();
        if (performance.now() > until) break;
      }
      if (this.dirty.size) this.#draw();
      if (this.rest > 0) this.#build(until);
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
    const wanted = turn.shown + by;
    if (!turn.versions[wanted]) return;
    turn.shown = wanted;
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
    } else if (button.classList.contains("read-on")) {
      this.live.adopt(this.turns.find((one) => one.id === button.closest(".turn").dataset.turn), true);
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

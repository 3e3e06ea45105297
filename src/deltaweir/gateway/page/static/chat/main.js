/** The conversation: its parts, put together. */

import { Composer } from "./composer.js";
import { saveFile } from "./export.js";
import { Follow } from "./follow.js";
import { Shortcuts } from "./keys.js";
import { ConversationList } from "./list.js";
import { Live } from "./live.js";
import { ModelChoice } from "./models.js";
import { OptionsPanel, summary } from "./options.js";
import { PLACE, ofThisTab, placeOf, showPlace } from "./place.js";
import { openStore } from "./store.js";
import { Talk } from "./talk.js";

const CHOOSE = "Choose a model first.";
let chat = null;
/** Whether a field with the focus calls up no keyboard on the screen. */
const fine = () => matchMedia("(pointer: fine)").matches;

/**
 * Show the conversation.
 *
 * @param {HTMLElement} root Where.
 * @param {object} settings What the server offers; see `gateway/page/settings.py`.
 */
export async function enter(root, settings) {
  chat ??= await Chat.made(root);
  await chat.enter(settings);
}

/** The other view is shown; answers go on meanwhile. */
export function leave() {
  chat?.leave();
}

class Chat {
  static async made(root) {
    const one = new Chat();
    const store = await openStore((change) => one.changedElsewhere(change));
    one.build(root, store);
    return one;
  }

  build(root, store) {
    const part = (id) => root.querySelector(`#${id}`);
    this.root = root;
    this.part = part;
    this.store = store;
    this.settings = null;
    this.live = new Live(store, (turn, reply, what) => this.talk.changedHere(turn, reply, what));
    this.models = new ModelChoice(part("model"), part("model-name"), () => this.#modelChosen());
    this.follow = new Follow(part("log"), part("newest"));
    this.talk = new Talk({
      store, root,
      live: this.live,
      models: this.models,
      follow: this.follow,
      changed: (what) => this.#changed(what),
      say: (words) => {
        part("said").textContent = words;
      },
    });
    this.composer = new Composer(part("composer"), {
      send: (text) => this.#send(text),
      stop: () => this.talk.stop(),
      leave: () => {
        this.editing = false;
      },
      recall: () => this.#edit(),
    });
    this.list = new ConversationList(part("side"), {
      open: (id) => this.#go(id),
      rename: (id, title) => void this.#rename(id, title),
      remove: (id) => this.#remove(id),
    });
    this.panel = new OptionsPanel(part("options-dialog"), part("options-template"), (options) => {
      void this.talk.choose({ options });
      this.#showChosen();
    });
    this.shortcuts = new Shortcuts({
      Escape: () => this.#escape(),
      "/": () => this.composer.focus(),
      "?": () => this.#help(),
      n: () => this.#new(),
      l: () => this.#openSide(true),
      r: () => void this.talk.again(),
      e: () => this.#edit(),
      o: () => this.#openOptions(),
      g: () => this.follow.toEnd(),
    });
    this.#listen();
  }

  async enter(settings) {
    const first = this.settings === null;
    this.shown = true;
    this.settings = settings;
    this.talk.settings = settings;
    this.models.offer(settings);
    if (this.talk.conversation) this.models.value = this.talk.conversation.model;
    this.#showWhere();
    this.shortcuts.on();
    if (!this.store.lasting) {
      this.#notice("This browser keeps nothing here: conversations are gone when this page is closed.");
    }
    this.live.caller = settings.caller.name;
    if (first) {
      await this.live.recover();
      await this.#openFirst();
    }
    const open = await this.store.openTurns();
    for (const turn of open) this.live.adopt(turn);
    this.live.tellForgotten(open);
    dispatchEvent(new Event("hurry"));
    this.#showPlace();
    this.#showChosen();
    await this.#showList();
    this.root.inert = false;  // what is typed before that would go nowhere
    if (fine()) this.composer.focus();
  }

  leave() {
    this.shown = false;
    this.shortcuts.off();
    for (const dialog of this.root.querySelectorAll("dialog[open]")) dialog.close();
  }

  async changedElsewhere(change) {
    if (this.settings === null) return;
    if (this.talk.conversation?.id === change.conversation) await this.talk.changedElsewhere(change);
    await this.#showList();
  }

  #listen() {
    const { part } = this;
    part("new").addEventListener("click", () => this.#new());
    part("open-side").addEventListener("click", () => this.#openSide(true));
    part("close-side").addEventListener("click", () => this.#openSide(false));
    part("shade").addEventListener("click", () => this.#openSide(false));
    part("options").addEventListener("click", () => this.#openOptions());
    part("help").addEventListener("click", () => this.#help());
    part("export").addEventListener("click", () => part("export-dialog").showModal());
    part("export-dialog").addEventListener("close", (event) => this.#export(event.target));
    part("letters").addEventListener("change", ({ target }) => this.shortcuts.useLetters(target.checked));
    part("empty").addEventListener("click", ({ target }) => {
      if (target.classList.contains("example")) this.#send(target.textContent);
    });
    this.root.addEventListener("close", ({ target }) => {
      // a letter may have opened it
      if (!document.activeElement.matches("main :not(dialog *)")) part(target.id.split("-")[0]).focus();
    }, true);
    addEventListener("hashchange", () => void this.#placed());
    addEventListener("notkept", () => {
      this.#notice("This browser could not keep the conversation: export it before you leave.");
    });
  }

  #send(text) {
    const { editing, talk } = this;
    this.editing = false;
    if (!this.models.value || talk.running) {
      if (editing) this.#edit();
      this.composer.write(text);
      if (!talk.running) this.#notice(CHOOSE);
      return;
    }
    if (this.store.lasting) this.part("notice").hidden = true;
    if (editing && talk.last) void talk.again(text);
    else void talk.ask(text);
    this.#showPlace();
  }

  #edit() {
    const { last, running } = this.talk;
    if (!last || running) return;
    this.editing = true;
    this.composer.edit(last.versions[last.shown].question);
  }

  #escape() {
    if (this.root.classList.contains("with-side")) this.#openSide(false);
    else this.talk.stop();
  }

  #new() {
    this.#openSide(false);
    this.talk.begin();
    this.composer.focus();
    this.#showPlace();
    void this.#showList();
    this.#showChosen();
  }

  #go(id) {
    this.#openSide(false);
    location.hash = PLACE + id;
    this.composer.focus();
  }

  /** Follow the address to another conversation. */
  async #placed() {
    const id = placeOf(location.hash);
    if (id === null || id === this.talk.conversation?.id) return;
    if (!(await this.talk.open(id))) {
      this.#notice("This conversation is not kept in this browser.");
      this.talk.begin();
    }
    this.#showPlace();
    this.#showChosen();
    await this.#showList();
  }

  /** Open what was open in this tab before, or what is still being answered. */
  async #openFirst() {
    const id = placeOf(location.hash) ?? ofThisTab();
    if (id === null || !(await this.talk.open(id))) {
      const open = await this.store.openTurns();
      const turn = open.find((one) => one.versions.some((reply) => this.live.mine(reply)));
      if (!turn || !(await this.talk.open(turn.conversation))) this.talk.begin();
    }
    this.#showPlace();
  }

  #showPlace() {
    if (this.shown) showPlace(this.talk.conversation);
  }

  #changed(what) {
    // while it is made, there is nothing to change yet
    if (!this.talk || !this.composer) return;
    if (what === "busy") this.composer.busy = this.talk.running !== null;
    if (what === "edit") this.#edit();
    if (what === "gone") {
      this.#notice("This conversation was deleted in another tab. Ask on, and it is kept again.");
      this.part("notice").hidden = !this.talk.gone;
    }
    if (what === "conversation") this.#another();
    if (what === "model") this.#notice(CHOOSE);
    if (what === "focus") (fine() ? this.composer : this.follow.log).focus();
    if (what === "list") {
      this.#showPlace();
      void this.#showList();
    }
  }

  /** Another conversation is open: what was edited was a question of the former one. */
  #another() {
    if (this.editing) this.composer.edit(null);
    const { conversation } = this.talk;
    if (!conversation) this.models.any();
    else if (!this.models.value) {
      this.#notice(`${conversation.model} is not here any more. ${CHOOSE}`);
    }
  }

  async #showList() {
    const busy = new Set((await this.store.openTurns()).map((turn) => turn.conversation));
    this.list.show(await this.store.conversations(), this.talk.conversation?.id ?? null, busy);
  }

  async #rename(id, title) {
    const conversation = await this.store.conversation(id);
    if (!conversation) return;
    Object.assign(conversation, { title, named: true });
    await this.store.putConversation(conversation);
    if (this.talk.conversation?.id === id) Object.assign(this.talk.conversation, { title, named: true });
    this.#showPlace();
    await this.#showList();
  }

  async #remove(id) {
    const here = this.talk.conversation?.id === id;
    const kept = await this.store.remove(id);
    // what is put back is how they ended
    kept.turns = kept.turns.map((turn) => this.live.turn(turn.id) ?? turn);
    for (const turn of kept.turns) this.live.stop(turn);
    if (here) {
      this.talk.begin();
      this.#showPlace();
    }
    await this.#showList();
    return async () => {
      await this.store.restore(kept);
      await this.#showList();
      if (here && this.talk.conversation === null) this.#go(id);
    };
  }

  #modelChosen() {
    if (this.store.lasting) this.part("notice").hidden = true;
    void this.talk.choose({ model: this.models.value });
    this.#showChosen();
  }

  #openOptions() {
    this.panel.open(this.talk.options, {
      guards: this.settings.guards,
      always: this.models.guards,
      model: this.models.value,
    });
  }

  #showChosen() {
    this.part("chosen").textContent = summary(this.talk.options, this.models.guards);
  }

  #showWhere() {
    const { models, version } = this.settings;
    const embedded = models.length > 0 && models.every((one) => one.embedded);
    const names = models.map((one) => one.id).join(", ");
    this.part("empty-where").textContent = embedded
      ? `${names} runs on the machine of this server; nothing leaves it.`
      : models.length === 0 ? "Choose a model above."
      : `This server has ${names}. What you write goes to it, and to whoever runs the model.`;
    this.part("about").textContent = `Deltaweir ${version}. Conversations stay in this browser.`;
  }

  #help() {
    this.part("letters").checked = this.shortcuts.letters;
    this.part("help-dialog").showModal();
  }

  #openSide(open) {
    this.root.classList.toggle("with-side", open);
    this.part("shade").hidden = !open;
    this.part("open-side").setAttribute("aria-expanded", String(open));
    if (open) (this.root.querySelector(".conversations .open") ?? this.part("new")).focus();
    else if (this.part("side").contains(document.activeElement)) this.composer.focus();
  }

  #export({ returnValue: kind }) {
    const { conversation, turns } = this.talk;
    this.part("export-dialog").returnValue = "";
    if (kind && conversation !== null) saveFile(conversation, turns, kind);
  }

  #notice(words) {
    this.part("notice").textContent = words;
    this.part("notice").hidden = false;
  }
}

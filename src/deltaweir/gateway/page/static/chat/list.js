/**
 * The list of conversations: open, rename, delete, search.
 */

import { element } from "./markdown.js";
import { PLACE } from "./place.js";

const UNDO_MS = 10_000;

/** Shows conversations at the side. */
export class ConversationList {
  /**
   * @param {HTMLElement} root
   * @param {{open: (id: string) => void, rename: (id: string, title: string) => void,
   *   remove: (id: string) => Promise<() => Promise<void>>}} acts `remove` gives what undoes it.
   */
  constructor(root, acts) {
    this.acts = acts;
    this.items = root.querySelector(".conversations");
    this.search = root.querySelector(".search");
    this.none = root.querySelector(".none");
    this.undo = root.querySelector(".undo");
    this.begin = root.querySelector(".new");
    this.all = [];
    this.current = null;
    this.renaming = null;
    this.search.addEventListener("input", () => this.#show());
    this.items.addEventListener("click", (event) => this.#clicked(event));
    this.undo.querySelector("button").addEventListener("click", () => this.#undo());
  }

  /**
   * @param {object[]} all Conversations, the latest first.
   * @param {string | null} current The id of the one that is open.
   * @param {Set<string>} busy Those with an answer on its way.
   */
  show(all, current, busy) {
    Object.assign(this, { all, current, busy });
    if (this.renaming === null) this.#show();
  }

  #show() {
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.all.filter((one) => one.title.toLowerCase().includes(wanted));
    const focused = document.activeElement?.closest?.("li")?.dataset.id;
    const act = document.activeElement?.dataset?.act;
    this.items.replaceChildren(...found.map((one) => this.#item(one)));
    if (focused && act) {
      this.items.querySelector(`[data-id="${focused}"] [data-act="${act}"]`)?.focus();
    }
    this.none.hidden = found.length > 0;
    this.none.textContent = wanted ? "No conversation is called so." : "Conversations are kept here, in this browser.";
    this.search.hidden = this.all.length < 6 && !wanted;
  }

  #item({ id, title }) {
    const item = element("li");
    item.dataset.id = id;
    const open = element("a", "open");
    open.href = `${PLACE}${id}`;
    open.id = `open-${id}`;
    open.dataset.act = "open";
    open.textContent = title;
    open.title = title;
    if (id === this.current) open.setAttribute("aria-current", "true");
    if (this.busy.has(id)) {
      item.classList.add("busy");
      open.setAttribute("aria-label", `${title}, being answered`);
    }
    item.append(open, act("rename", "✎", "Rename", open), act("delete", "×", "Delete", open));
    return item;
  }

  #clicked(event) {
    const button = event.target.closest("button");
    const id = event.target.closest("li")?.dataset.id;
    if (!id) return;
    if (button === null) {
      // a press on the one that is open changes no address
      if (event.target.closest("a")) this.acts.open(id);
      return;
    }
    if (button.dataset.act === "rename") this.#rename(id);
    else void this.#remove(id);
  }

  #rename(id) {
    const item = this.items.querySelector(`[data-id="${id}"]`);
    const former = this.all.find((one) => one.id === id).title;
    const input = element("input");
    input.value = former;
    input.maxLength = 120;
    input.setAttribute("aria-label", `New name of ${former}`);
    this.renaming = id;
    item.replaceChildren(input);
    input.select();
    const end = (take) => {
      if (this.renaming === null) return;
      this.renaming = null;
      const title = input.value.trim();
      if (take && title && title !== former) this.acts.rename(id, title);
      else this.#show();
      this.items.querySelector(`[data-id="${id}"] .open`)?.focus();
    };
    input.addEventListener("blur", () => end(true));
    input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" || event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        end(event.key === "Enter");
      }
    });
  }

  async #remove(id) {
    const { title } = this.all.find((one) => one.id === id);
    this.restore = await this.acts.remove(id);
    this.undo.hidden = false;
    this.undo.querySelector(".what").textContent = `Deleted “${title}”.`;
    this.undo.querySelector("button").focus();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#hideUndo(), UNDO_MS);
  }

  #hideUndo() {
    if (this.undo.contains(document.activeElement)) {
      (this.items.querySelector(".open") ?? this.begin).focus();
    }
    this.undo.hidden = true;
  }

  async #undo() {
    this.#hideUndo();
    await this.restore?.();
    this.restore = null;
  }
}

function act(name, sign, label, of) {
  const button = element("button", "plain");
  button.type = "button";
  button.dataset.act = name;
  button.textContent = sign;
  button.title = label;
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-describedby", of.id);
  return button;
}

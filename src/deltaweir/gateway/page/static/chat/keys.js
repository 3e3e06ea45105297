/**
 * Shortcuts. Single letters work only outside of fields, and can be turned off.
 */

import { preference, prefer } from "../preferences.js";

const KEPT = "deltaweir.letters";

/** Listens while the conversation is shown. */
export class Shortcuts {
  /**
   * @param {Record<string, () => void>} acts By key: letters, and `Escape`.
   */
  constructor(acts) {
    this.acts = acts;
    this.letters = preference(KEPT) !== "off";
    this.listener = (event) => this.#pressed(event);
  }

  /** Begin to listen. */
  on() {
    addEventListener("keydown", this.listener);
  }

  /** Listen no more. */
  off() {
    removeEventListener("keydown", this.listener);
  }

  /** @param {boolean} wanted Whether single letters do something. */
  useLetters(wanted) {
    this.letters = wanted;
    prefer(KEPT, wanted ? null : "off");
  }

  #pressed(event) {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      // there it clears the field
      if (event.target.matches?.("[type=search]:not(:placeholder-shown)")) return;
      this.acts.Escape();
      return;
    }
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !this.letters) return;
    const act = this.acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}

/**
 * Where the message is written: Enter sends, Shift and Enter break the line.
 */

import { HERE } from "../api.js";

const DRAFT = `${HERE}draft`;

/** The form at the bottom. What stands there outlives a reload, in this tab alone. */
export class Composer {
  /**
   * @param {HTMLFormElement} form
   * @param {{send: (text: string) => void, stop: () => void, leave: () => void}} acts `leave` ends
   *   the editing of a former question.
   */
  constructor(form, acts) {
    this.acts = acts;
    this.area = form.querySelector("textarea");
    this.sendButton = form.querySelector("[type=submit]");
    this.stopButton = form.querySelector("#stop");
    this.editing = form.querySelector("#editing");
    this.draft = "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.stopButton.addEventListener("click", () => {
      acts.stop();
      this.area.focus();
    });
    this.editing.querySelector("button").addEventListener("click", () => this.edit(null));
    this.area.addEventListener("input", () => this.#fit());
    this.area.addEventListener("keydown", (event) => this.#pressed(event));
    this.running = false;
    const draft = takeDraft();  // also where the browser has kept the text by itself
    this.area.value ||= draft;
    // only then: a long text takes long to keep
    addEventListener("pagehide", () => keepDraft(this.editing.hidden ? this.area.value : this.draft));
    this.#fit();
  }

  /** @param {boolean} running Whether an answer is on its way here. */
  set busy(running) {
    if (running === this.running) return;
    this.running = running;
    const had = document.activeElement === this.stopButton;
    this.stopButton.hidden = !running;
    this.sendButton.hidden = running;
    if (had && !running) this.area.focus();
  }

  /**
   * Write a former question anew, or leave that.
   *
   * @param {string | null} question Null leaves it.
   */
  edit(question) {
    if (question === null) {
      if (!this.editing.hidden) this.write(this.draft);
      this.editing.hidden = true;
      this.acts.leave();
    } else {
      if (this.editing.hidden) this.draft = this.area.value;
      this.editing.hidden = false;
      this.write(question);
    }
    this.area.focus();
  }

  /** @param {string} text What stands there now. */
  write(text) {
    this.area.value = text;
    this.#fit();
  }

  /** Go there. */
  focus() {
    this.area.focus();
  }

  #send() {
    const text = this.area.value;
    if (this.running || text.trim() === "") return;
    this.editing.hidden = true;
    this.write("");
    this.draft = "";
    this.acts.send(text);
    this.area.focus();
  }

  #pressed(event) {
    // an input method's Enter takes a proposal; Safari says so by the code 229 alone
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape" && !this.editing.hidden) {
      event.preventDefault();
      this.edit(null);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && this.area.value === "") {
      this.acts.recall();
    }
  }

  #fit() {
    // as many lines as there are, up to a height that the style sheet gives
    this.area.rows = Math.min(10, Math.max(1, this.area.value.split("\n").length));
    if (CSS.supports("field-sizing", "content")) this.area.rows = 1;
  }
}

function keepDraft(text) {
  try {
    if (text === "") sessionStorage.removeItem(DRAFT);
    else sessionStorage.setItem(DRAFT, text);
  } catch {
    // storage is off, or full
  }
}

function takeDraft() {
  try {
    const text = sessionStorage.getItem(DRAFT) ?? "";
    sessionStorage.removeItem(DRAFT);
    return text;
  } catch {
    return "";  // storage is off
  }
}

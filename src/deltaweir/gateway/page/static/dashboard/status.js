/**
 * Whether what is shown is of now, and what to do where it cannot be.
 */

import { make, mark, write } from "./dom.js";
import { count } from "./format.js";
import { whichAreDown } from "./upstreams.js";

const WORDS = {
  connecting: "connecting", live: "live", reconnecting: "reconnecting", paused: "paused",
  refused: "not allowed",
};

/** The line above everything. */
export class Status {
  /** @param {(paused: boolean) => void} pause Called when somebody wants to pause or to go on. */
  constructor(pause) {
    this.word = make("span", { class: "status-word", role: "status" }, WORDS.connecting);
    this.where = make("span", { class: "quiet" });
    this.down = make("a", { href: "#upstreams", class: "bad", hidden: true,
      onclick: (event) => {
        // the address behind # names the view
        event.preventDefault();
        document.getElementById("upstreams").scrollIntoView();
      } }, "");
    this.announced = make("span", { class: "unseen", role: "status" });
    this.button = make("button", { type: "button", class: "small", "aria-pressed": "false",
      onclick: () => {
        const paused = this.button.getAttribute("aria-pressed") !== "true";
        mark(this.button, "aria-pressed", String(paused));
        pause(paused);
      } }, "Pause");
    this.root = make("div", { class: "status" }, this.word, this.where, this.down, this.announced,
      this.button);
  }

  /** @param {import("./feed.js").State} state */
  tell(state) {
    write(this.word, WORDS[state]);
    mark(this.word, "data-state", state);
  }

  /** @param {string} words Said to those who do not see what changed. */
  announce(words) {
    write(this.announced, words);
  }

  /** @param {object} snapshot */
  show({ gateways, workers, since, upstreams }) {
    const of = [];
    if (gateways > 1) of.push(`${count(gateways)} gateways`);
    if (workers > 1) of.push(`counts of ${count(workers)} workers`);
    const began = new Date(since * 1000).toISOString().slice(0, 16).replace("T", " ");
    of.push(`counting since ${began} UTC`);
    write(this.where, of.join(" \u00b7 "));
    const down = whichAreDown(upstreams);
    this.down.hidden = down === "";
    write(this.down, down);
  }
}

/**
 * Say why there is nothing to see.
 *
 * @param {import("../api.js").Refused} error
 * @param {() => void} again Called when somebody has done what is said here.
 * @returns {HTMLElement}
 */
export function refusal(error, again) {
  const command = "deltaweir keys create --name you --admin";
  const words = error.status === 403
    ? [make("h2", {}, "The dashboard is for administrators"),
      make("p", {},
        "The key that you gave is not one of theirs. Whoever runs this server makes another:"),
      make("pre", { tabindex: "0" }, make("code", {}, command))]
    : [make("h2", {}, error.status === 401 ? "This key is not known any more"
      : "The dashboard is not there"), make("p", {}, error.message)];
  return make("div", { class: "no-entry", role: "alert" }, ...words,
    make("p", {}, "Other key, at the top, takes another one."),
    make("button", { type: "button", onclick: again }, "Try again"));
}

/**
 * The button that stops a stream: it asks once, where it is, and says what became of it.
 */

import { Refused, askJson } from "../api.js";
import { make } from "./dom.js";

/** A question that nobody answers for so long is taken back. */
const PATIENCE_MS = 20_000;

/**
 * Make the button of one stream.
 *
 * @param {object} stream Of a snapshot.
 * @param {(words: string) => void} announce Says something to those who do not see it.
 * @returns {HTMLElement} What stands in the stream's row; `busy` tells whether it is in use.
 */
export function stopper(stream, announce) {
  const whose = `stream ${stream.id} of model ${stream.model}`;
  const root = make("span", { class: "stopper" });
  if (!stream.stoppable) {
    const why = "It runs in another process; with a [store] it could be stopped from here.";
    root.append(make("span", { class: "quiet", title: why }, "not from here"));
    return root;
  }
  const stop = button("Stop", `Stop ${whose}`, () => asking());
  const sure = button("Stop it", `Really stop ${whose}`, () => stopping(), "danger");
  const keep = button("Keep", `Keep ${whose}`, () => idle(true));

  let patience = 0;

  function idle(focus) {
    clearTimeout(patience);
    root.busy = false;
    root.replaceChildren(stop);
    if (focus) stop.focus();
  }

  function asking() {
    root.busy = true;
    // what was pressed twice by mistake keeps the stream: that button stands in the same place
    root.replaceChildren(sure, keep);
    sure.focus();
    patience = setTimeout(() => idle(root.contains(document.activeElement)), PATIENCE_MS);
    announce(`Stop ${whose}? Press again to stop it, or Escape to keep it.`);
  }

  async function stopping() {
    clearTimeout(patience);
    said("stopping\u2026", "quiet");
    try {
      const { ending } = await askJson(`v1/streams/${encodeURIComponent(stream.id)}`,
        { method: "DELETE" });
      const words = ending === null || ending === "stopped" ? "stopped" : "had ended";
      said(words, "done");
      announce(`The ${whose} ${words === "stopped" ? "is stopped" : words}.`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 404) {
        said("had ended", "done");
        announce(`The ${whose} had ended.`);
        return;
      }
      idle(false);
      root.prepend(make("span", { class: "bad", title: error.message }, "failed"));
      announce(`The ${whose} could not be stopped: ${error.message}`);
    } finally {
      root.busy = false;
    }
  }

  function said(words, kind) {
    // the focus stays in the row, for the next key
    const there = root.contains(document.activeElement);
    const text = make("span", { class: kind, tabindex: "-1" }, words);
    root.replaceChildren(text);
    if (there) text.focus();
  }

  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && root.contains(sure)) idle(true);
  });
  idle(false);
  return root;
}

function button(words, label, press, kind = "") {
  return make("button", { type: "button", class: `small ${kind}`, "aria-label": label,
    onclick: press }, words);
}

/**
 * The panel of what is asked for beside the question: system prompt, sampling, guard, budget.
 */

import { noOptions } from "./conversation.js";
import { tokens } from "./words.js";

/** The dialog with the options; its fields are there only while it is open. */
export class OptionsPanel {
  /**
   * @param {HTMLDialogElement} dialog
   * @param {HTMLTemplateElement} template Its form.
   * @param {(options: import("./conversation.js").Options) => void} changed
   */
  constructor(dialog, template, changed) {
    this.dialog = dialog;
    this.template = template;
    this.changed = changed;
    dialog.addEventListener("close", () => dialog.replaceChildren());
  }

  /**
   * Open it.
   *
   * @param {import("./conversation.js").Options} options
   * @param {{guards: string[], always: string[], model: string}} offer `always` are the guards that
   *   the model has by itself.
   */
  open(options, { guards, always, model }) {
    this.dialog.replaceChildren(this.template.content.cloneNode(true));
    const form = this.dialog.querySelector("form");
    const field = (name) => form.elements.namedItem(name);
    for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
      field(name).value = options[name] ?? "";
    }
    field("system").value = options.system;
    field("stop").value = options.stop.map(escaped).join(" | ");
    const guard = field("guard");
    for (const name of guards) guard.append(new Option(always.includes(name) ? `${name} (always on)` : name, name));
    guard.value = guards.includes(options.guard) ? options.guard : "";
    form.querySelector(".always").textContent = always.length
      ? `Always on for ${model}: ${always.join(", ")}. Another is added to it.`
      : `${model || "This model"} has no guard of its own.`;
    field("budget").value = options.budget?.tokens ?? options.budget?.usd ?? "";
    field("unit").value = options.budget?.usd ? "usd" : "tokens";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed(read(field));
      this.dialog.close();
    });
    form.querySelector(".reset").addEventListener("click", () => {
      this.changed(noOptions());
      this.dialog.close();
    });
    form.querySelector(".cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.showModal();
    field("system").focus();
  }
}

/**
 * Say in a few words what was chosen.
 *
 * @param {import("./conversation.js").Options} options
 * @param {string[]} always Guards of the model.
 * @returns {string} Such as `system prompt · guard pii · at most 50 tok`; empty for nothing.
 */
export function summary(options, always) {
  const guards = [...new Set([...always, ...(options.guard ? [options.guard] : [])])];
  const parts = [
    options.system.trim() && "system prompt",
    options.temperature !== null && `temperature ${options.temperature}`,
    options.top_p !== null && `top p ${options.top_p}`,
    options.max_tokens !== null && `longest ${tokens(options.max_tokens)}`,
    options.seed !== null && `seed ${options.seed}`,
    options.stop.length && "stop words",
    guards.length && `guard ${guards.join(", ")}`,
    options.budget?.tokens && `budget ${tokens(options.budget.tokens)}`,
    options.budget?.usd && `budget $${options.budget.usd}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

function read(field) {
  const number = (name) => (field(name).value === "" ? null : Number(field(name).value));
  const budget = number("budget");
  return {
    system: field("system").value,
    temperature: number("temperature"),
    top_p: number("top_p"),
    max_tokens: number("max_tokens"),
    seed: number("seed"),
    stop: field("stop").value.split("|").map((one) => one.trim()).filter(Boolean).map(unescaped),
    guard: field("guard").value,
    budget: budget === null ? null : { [field("unit").value]: budget },
  };
}

function escaped(text) {
  return text.replace(/\n/g, "\\n").replace(/\t/g, "\\t");
}

function unescaped(text) {
  return text.replace(/\\n/g, "\n").replace(/\\t/g, "\t");
}

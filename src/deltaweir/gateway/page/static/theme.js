/**
 * Light, dark, or what the system says; kept in this browser.
 */

import { prefer, preference } from "./preferences.js";

const KEPT = "deltaweir.theme";
const CHOICES = ["system", "light", "dark"];

/**
 * Let a button change the theme, and take the one that was chosen before.
 *
 * @param {HTMLButtonElement} button Shows the choice, and goes on to the next when pressed.
 */
export function followTheme(button) {
  let chosen = preference(KEPT) ?? "system";
  const take = () => {
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    const name = document.createElement("span");
    name.textContent = "Theme: ";
    button.replaceChildren(name, chosen);
    // plots are drawn in colours of their own
    dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
    prefer(KEPT, chosen);
    take();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", take);
  take();
}

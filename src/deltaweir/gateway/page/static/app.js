/**
 * The page's beginning: ask what the server offers, let the person in, show one of two views.
 */

import { Refused, askJson, hasKey, useKey } from "./api.js";
import { followTheme } from "./theme.js";
import * as chat from "./chat/main.js";

/**
 * @typedef {object} Settings What `GET /page/settings` says; see `gateway/page/settings.py`.
 */

const views = { chat: () => chat, dashboard: () => import("./dashboard/main.js") };
const door = document.getElementById("door");
let settings = null;
let shown = null;

async function enter() {
  try {
    settings = await askJson("page/settings");
  } catch (error) {
    if (error instanceof Refused) return refused(error);
    throw error;
  }
  door.hidden = true;
  document.querySelector('[data-view="dashboard"]').hidden = !settings.caller.operator;
  document.getElementById("where").textContent = settings.caller.name ?? "";
  document.getElementById("other-key").hidden = settings.auth !== "keys";
  await show();
}

function refused(error) {
  door.hidden = false;
  if (shown !== null) document.getElementById(shown).hidden = true;
  document.getElementById("door-error").textContent =
    error.status === 401 && !hasKey() ? "" : error.message;
  document.getElementById("key").focus();
}

async function show() {
  if (settings === null) return;
  const wanted = location.hash.startsWith("#/dashboard") && settings.caller.operator;
  const name = wanted ? "dashboard" : "chat";
  if (name === shown && !document.getElementById(name).hidden) return;
  const view = await views[name]();
  if (shown !== null && shown !== name) {
    (await views[shown]()).leave();
    document.getElementById(shown).hidden = true;
  }
  shown = name;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = document.getElementById(name);
  root.hidden = false;
  await view.enter(root, settings);
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(document.getElementById("key").value.trim(), document.getElementById("keep-key").checked);
  enter();
});
document.getElementById("other-key").addEventListener("click", () => {
  useKey(null);
  enter();
});
// a key may be revoked while the page is open
addEventListener("keyrefused", enter);
addEventListener("hashchange", show);
followTheme(document.getElementById("theme"));
enter();

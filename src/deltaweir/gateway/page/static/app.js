/**
 * The page's beginning: ask what the server offers, let the person in, show one of two views.
 */

import { Refused, askJson, hasKey, useKey } from "./api.js";
import { followTheme } from "./theme.js";
import * as chat from "./chat/main.js";

const views = { chat: () => chat, dashboard: () => import("./dashboard/main.js") };
const part = (id) => document.getElementById(id);
const door = part("door");
const away = part("away");
const AGAIN_MS = 3000;
let settings = null;
let shown = null;
let view = null;
let timer = 0;

async function enter() {
  clearTimeout(timer);
  let found;
  try {
    found = await askJson("page/settings");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401 || error.status === 403) refused(error);
    else later();
    return;
  }
  settings = found;
  door.hidden = away.hidden = true;
  part("key").value = "";
  document.querySelector('[data-view="dashboard"]').hidden = !settings.caller.operator;
  part("where").textContent = settings.caller.name ?? "";
  part("other-key").hidden = settings.auth !== "keys";
  await show();
}

/** The server is away, or what stands before it says so: no key would help. */
function later() {
  away.hidden = shown !== null;
  clearTimeout(timer);
  timer = setTimeout(enter, AGAIN_MS);
}

/** Nothing goes on behind the door. */
function close() {
  settings = null;
  view?.leave();
  view = null;
  if (shown !== null) part(shown).hidden = true;
  shown = null;
  document.title = "Deltaweir";
}

function refused(error) {
  close();
  away.hidden = true;
  door.hidden = false;
  part("door-error").textContent =
    error.status === 401 && !hasKey() ? "" : error.message;
  part("key").focus();
}

function wanted() {
  if (settings === null) return null;
  const dashboard = location.hash.startsWith("#/dashboard") && settings.caller.operator;
  return dashboard ? "dashboard" : "chat";
}

async function show() {
  const name = wanted();
  if (name === null || name === shown) return;
  const module = await views[name]();
  // meanwhile the address may be another one, or the door be shown
  if (name !== wanted() || name === shown) return;
  view?.leave();
  if (shown !== null) part(shown).hidden = true;
  shown = name;
  view = module;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = part(name);
  root.hidden = false;
  await view.enter(root, settings);
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = part("key");
  const given = key.value.trim();
  key.focus();
  if (given === "") return;
  useKey(given, part("keep-key").checked);
  enter();
});
part("other-key").addEventListener("click", () => {
  useKey(null);
  close();
  enter();
});
// a key may be revoked while the page is open
addEventListener("keyrefused", enter);
addEventListener("hashchange", show);
followTheme(part("theme"));
enter();

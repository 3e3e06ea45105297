/**
 * Which conversation is open: in the address, and for this tab.
 */

/** What stands before the id in the address of a conversation. */
export const PLACE = "#/c/";
const TAB = "deltaweir.open";

/**
 * @param {string} hash Of an address.
 * @returns {string | null} The id of the conversation that it names.
 */
export function placeOf(hash) {
  return hash.startsWith(PLACE) ? hash.slice(PLACE.length) : null;
}

/** @returns {string | null} The id of the conversation that was open in this tab. */
export function ofThisTab() {
  try {
    return sessionStorage.getItem(TAB);
  } catch {
    return null;  // storage is off
  }
}

/**
 * Let address, title and tab say which conversation is open.
 *
 * @param {import("./conversation.js").Conversation | null} conversation Null for a new one.
 */
export function showPlace(conversation) {
  try {
    if (conversation) sessionStorage.setItem(TAB, conversation.id);
    else sessionStorage.removeItem(TAB);
  } catch {
    // storage is off
  }
  const place = conversation ? PLACE + conversation.id : "#/";
  if (location.hash !== place && !location.hash.startsWith("#/dashboard")) {
    history.replaceState(null, "", place);
  }
  document.title = conversation ? `${conversation.title} · Deltaweir` : "Deltaweir";
}

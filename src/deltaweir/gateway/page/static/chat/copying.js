/**
 * Copying to the clipboard.
 */

const SAID_MS = 1500;

/**
 * Copy a text, and say on the button whether it went well.
 *
 * @param {string} text
 * @param {HTMLButtonElement} button
 */
export async function copy(text, button) {
  const words = (await copied(text)) ? "Copied" : "Not copied";
  const former = button.dataset.words ?? button.textContent;
  button.dataset.words = former;
  button.textContent = words;
  setTimeout(() => {
    button.textContent = former;
  }, SAID_MS);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return selected(text);  // not there without TLS, or not allowed
  }
}

function selected(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

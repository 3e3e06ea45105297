/**
 * Small choices that this browser keeps, or this page where it keeps nothing.
 */

const here = new Map();

/**
 * @param {string} name
 * @returns {string | null} What was chosen.
 */
export function preference(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return here.get(name) ?? null;  // storage is off
  }
}

/**
 * @param {string} name
 * @param {string | null} value Null forgets it.
 */
export function prefer(name, value) {
  here.set(name, value);
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // storage is off: it holds for this page
  }
}

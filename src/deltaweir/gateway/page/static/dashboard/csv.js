/**
 * Rows as CSV that a spreadsheet may open. No DOM.
 */

// text from requests must not become a formula of a spreadsheet
const FORMULA = /^[=+\-@\t\r]/;

/**
 * @param {(string | number | null)[][]} rows The head first. Null is an empty cell, as unknown is.
 * @returns {string} Lines that end with a newline; quoted where needed (RFC 4180).
 */
export function csv(rows) {
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

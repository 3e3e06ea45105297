/**
 * Elements, made without HTML: what is text stays text.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag Its name.
 * @param {Record<string, any>} attributes Those that are false or null are left out, true is an
 *   empty one, and a function whose name begins with `on` listens.
 * @param {...(Node | string | null)} children Null is left out.
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Change a text where it differs; what is selected elsewhere stays so.
 *
 * @param {Node} element With nothing but text in it.
 * @param {string} text
 */
export function write(element, text) {
  const node = element.firstChild;
  if (node === null) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

/**
 * Change an attribute where it differs.
 *
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value Null takes it away.
 */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * A part of the dashboard with its heading.
 *
 * @param {string} id
 * @param {string} title
 * @param {...(Node | null)} beside What stands in the heading's line.
 * @returns {HTMLElement}
 */
export function panel(id, title, ...beside) {
  const heading = make("h2", { id: `${id}-title` }, title);
  const head = make("div", { class: "panel-head" }, heading, ...beside);
  return make("section", { class: "panel", id, "aria-labelledby": `${id}-title` }, head);
}

/**
 * Radio buttons in one line.
 *
 * @param {string} legend What is chosen.
 * @param {Record<string, string>} choices Their words, by value.
 * @param {string} chosen The value that is chosen at first.
 * @param {(value: string) => void} choose Called with another one.
 * @returns {HTMLFieldSetElement} `choose(value)` on it changes the choice without calling back.
 */
export function radios(legend, choices, chosen, choose) {
  const name = `radios-${legend.toLowerCase().replaceAll(" ", "-")}`;
  const inputs = Object.entries(choices).map(([value, words]) => {
    const input = make("input", {
      type: "radio", name, value, checked: value === chosen, onchange: () => choose(value),
    });
    return [input, make("label", {}, input, make("span", {}, words))];
  });
  const words = make("legend", { class: "unseen" }, legend);
  const set = make("fieldset", { class: "radios" }, words, ...inputs.map(([, label]) => label));
  set.choose = (value) => {
    for (const [input] of inputs) input.checked = input.value === value;
  };
  return set;
}

/**
 * A table whose cells are text.
 *
 * @param {string} caption
 * @param {string[]} heads
 * @param {string[][]} rows The first cell of each is its head.
 * @returns {HTMLTableElement} All columns but the first are figures.
 */
export function table(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const lines = rows.map(([first, ...cells]) => make(
    "tr", {}, make("th", { scope: "row" }, first), ...cells.map((text) => make("td", {}, text)),
  ));
  return make("table", { class: "figures-table" }, make("caption", { class: "unseen" }, caption),
    make("thead", {}, head), make("tbody", {}, ...lines));
}

/**
 * What is too wide scrolls by itself, by keys too.
 *
 * @param {string} label
 * @param {Node} child
 * @returns {HTMLElement}
 */
export function scroller(label, child) {
  return make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": label },
    child);
}

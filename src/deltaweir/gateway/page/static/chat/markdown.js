/**
 * Markdown as nodes for the page: read by markdown-it, let through by DOMPurify.
 *
 * Whatever a model writes, only tags of the list below come out, and of their attributes only
 * those of the second list: no script, no style, no name by which the page's own could be hidden,
 * and nothing that is loaded. Images become links.
 */

import { piecewise } from "./blocks.js";
import { addCode, emptyCode } from "./code_lines.js";
import { atMarks, hasMarks, unmarked } from "./marks.js";

const TAGS = [
  "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a",
  "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
];
const NO_ADDRESSES = ["start", "align", "data-language"];
const ATTRIBUTES = ["href", ...NO_ADDRESSES];
const ADDRESS = /^(?:https?:\/\/|mailto:)/i;
const DEEPEST = 6;

/** @returns {object} The parser for answers. */
export function markdownParser() {
  // a line of a poem or an address ends where the model ended it
  const markdown = window.markdownit({ html: false, linkify: true, breaks: true });
  // main.py and README.md are no hosts, though .py and .md are countries
  markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
  markdown.validateLink = (address) => ADDRESS.test(address.trim()) && !hasMarks(address);
  const { rules } = markdown.renderer;
  rules.image = image;
  rules.fence = (tokens, index) => fence(tokens[index], markdown.utils.escapeHtml);
  rules.code_block = rules.fence;
  rules.heading_open = rules.heading_close = heading;
  rules.th_open = rules.td_open = cell;
  return piecewise(markdown);
}

/**
 * Let HTML through, as nodes.
 *
 * @param {string} html From the parser.
 * @param {import("./marks.js").Mark[]} marks What its numbers stand for.
 * @returns {DocumentFragment}
 */
export function clean(html, marks) {
  const fragment = window.DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: ADDRESS,
    ADD_URI_SAFE_ATTR: NO_ADDRESSES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) outside(link);
  for (const pre of fragment.querySelectorAll("pre")) {
    const language = unmarked(pre.dataset.language ?? "", marks);
    const code = emptyCode(language);
    addCode(code, pre.textContent);
    pre.replaceWith(codeBox(language, code));
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = tableBox();
    table.replaceWith(box);
    box.append(table);
  }
  showMarks(fragment, marks);
  return fragment;
}

/**
 * Make the box of a piece of code: its language, a button that copies it, and the code.
 *
 * @param {string} language As the model calls it; may be empty.
 * @param {Element} code
 * @returns {HTMLElement}
 */
export function codeBox(language, code) {
  const box = element("div", "code-box");
  // whatever language is written around it, and whatever its first letters are
  box.dir = "ltr";
  const head = element("div", "code-head");
  const name = element("span");
  name.textContent = language.slice(0, 40) || "text";
  const copy = element("button", "copy");
  copy.type = "button";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", "Copy this code");
  head.append(name, copy);
  const pre = element("pre");
  // it scrolls sideways, and so by keys
  pre.tabIndex = 0;
  pre.append(code);
  box.append(head, pre);
  return box;
}

/** @returns {HTMLElement} The box of a table, which scrolls sideways. */
export function tableBox() {
  const box = element("div", "table-box");
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Table");
  return box;
}

/**
 * Put marks in the places of their numbers.
 *
 * @param {Node} root
 * @param {import("./marks.js").Mark[]} marks
 */
export function showMarks(root, marks) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) if (hasMarks(walker.currentNode.data)) found.push(walker.currentNode);
  for (const node of found) {
    node.replaceWith(...atMarks(node.data).map((part) =>
      typeof part === "string" ? part : markNode(marks[part], part),
    ));
  }
}

/**
 * @param {string} tag
 * @param {string} [name] Its class.
 * @returns {HTMLElement}
 */
export function element(tag, name) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}

function markNode(mark, number) {
  const node = element("mark");
  // not all marks come out as nodes, so their order tells nothing
  node.number = number;
  node.textContent = mark?.text ?? "";
  node.title = mark?.rule ? `Taken out by the guard's rule ${mark.rule}` : "Taken out by a guard";
  return node;
}

function outside(link) {
  if (!link.hasAttribute("href")) {
    link.replaceWith(...link.childNodes);
    return;
  }
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
}

function image(tokens, index, options, env, self) {
  const token = tokens[index];
  const words = self.renderInlineAsText(token.children ?? [], options, env) || "image";
  const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const before = tokens.slice(0, index);
  const inLink = before.reduce(
    (depth, { type }) => depth + (type === "link_open") - (type === "link_close"), 0,
  );
  if (inLink) return escape(words);
  return `<a href="${escape(token.attrGet("src") ?? "")}">${escape(words)}</a>`;
}

function fence(token, escape) {
  const language = languageOf(token);
  return `<pre data-language="${escape(language)}"><code>${escape(token.content)}</code></pre>\n`;
}

/** @param {object} token Of a fence. @returns {string} The language that it names. */
export function languageOf(token) {
  return (token.info ?? "").trim().split(/\s+/, 1)[0];
}

// the page has the first two levels for itself
function heading(tokens, index) {
  const token = tokens[index];
  const level = Math.min(DEEPEST, Number(token.tag.slice(1)) + 2);
  return token.nesting > 0 ? `<h${level}>` : `</h${level}>\n`;
}

// styles in attributes are against the page's policy
function cell(tokens, index) {
  const token = tokens[index];
  const align = /(left|right|center)/.exec(token.attrGet("style") ?? "");
  return align ? `<${token.tag} align="${align[1]}">` : `<${token.tag}>`;
}

// Markdown of the model, made safe: no raw HTML, no images, links to http, https and mailto only.
// marked writes the HTML, DOMPurify is the second lock on the same door.

import { Marked } from "./vendor/marked/marked.esm.js";
import "./vendor/dompurify/purify.min.js";
import { h } from "./dom.js";
import { copyButton } from "./views/copy.js";

// The minified file of the package is no module: it leaves its name here.
const { DOMPurify } = globalThis;

const TAGS = [
  "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
  "table", "tbody", "td", "th", "thead", "tr", "ul", "div",
];
const ATTRIBUTES = ["align", "href", "rel", "start", "target", "title", "class", "tabindex"];
const CHARACTERS = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const escape = (text) => text.replace(/[&<>"']/g, (character) => CHARACTERS[character]);

/** The address if a click on it is harmless, otherwise null. */
function harmless(href) {
  try {
    const url = new URL(href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(href, label) {
  const address = harmless(href);
  if (!address) return label;
  return `<a href="${escape(address)}" rel="noopener noreferrer" target="_blank">${label}</a>`;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens));
    },
    image: ({ href, text }) => link(href, escape(text || href)),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // The page has its own h1 and h2; a reply's headings come below them.
    heading({ tokens, depth }) {
      const level = Math.min(Math.max(depth + 1, 3), 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    // Focusable, so that the keyboard can scroll what is wider than the page.
    code: ({ text }) => `<pre tabindex="0"><code>${escape(text)}</code></pre>`,
    table(token) {
      const row = (cells, tag) => `<tr>${cells.map((cell) => {
        const align = cell.align ? ` align="${cell.align}"` : "";
        return `<${tag}${align}>${this.parser.parseInline(cell.tokens)}</${tag}>`;
      }).join("")}</tr>`;
      const body = token.rows.map((cells) => row(cells, "td")).join("");
      return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

function purify(html) {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}

/** What the page itself adds to a block of a reply, behind the locks: which way it runs, and a button to copy code. */
function furnish(fragment) {
  for (const element of fragment.children) element.dir = "auto";
  for (const pre of fragment.querySelectorAll("pre")) {
    pre.dir = "ltr";
    const frame = h("div", { class: "code", dir: "ltr" });
    pre.replaceWith(frame);
    frame.append(pre, copyButton("Copy the code", () => pre.textContent));
  }
  return fragment;
}

/** Renders a text that may grow: only blocks that changed are made anew, so a selection further up survives. */
export class MarkdownView {
  #blocks = [];
  #text = null;

  constructor(element) {
    this.element = element;
    element.dir = "auto";
  }

  update(text) {
    if (text === this.#text) return;
    this.#text = text;
    const tokens = marked.lexer(text).filter((token) => token.type !== "space");
    let same = 0;
    while (same < tokens.length && this.#blocks[same]?.raw === tokens[same].raw) same++;
    for (const block of this.#blocks.splice(same)) for (const node of block.nodes) node.remove();
    for (const token of tokens.slice(same)) {
      const fragment = furnish(purify(marked.parser([token])));
      const nodes = [...fragment.childNodes];
      this.element.append(fragment);
      this.#blocks.push({ raw: token.raw, nodes });
    }
  }
}

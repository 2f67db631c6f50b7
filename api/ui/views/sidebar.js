// The list of conversations, grouped by day, the last used first.

import { h } from "../dom.js";
import { addressOf } from "../router.js";

const DAY = 86_400_000;

/** Events: `change`, when titles may have changed. */
export class Sidebar extends EventTarget {
  #element;
  #api;
  #rows = new Map();
  #next = null;
  #state = "loading";
  #selected = null;
  #working = new Set();
  #timer = 0;
  #more = h("button", { class: "text-button", text: "Show older" });

  constructor(element, { api }) {
    super();
    this.#element = element;
    this.#api = api;
    this.#more.addEventListener("click", () => this.#older());
    this.#render();
  }

  title(id) {
    return this.#rows.get(id)?.title ?? null;
  }

  /** Reads the first page soon. */
  refresh(delay = 0) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), delay);
  }

  /** A conversation that was made just now. */
  add({ id, title }) {
    if (this.#rows.has(id)) return;
    this.#rows.set(id, { id, title: title ?? "New conversation", updated_at: new Date().toISOString() });
    this.#state = "there";
    this.#render();
  }

  select(id) {
    this.#selected = id;
    this.#render();
  }

  /** The conversations in which a run is active. */
  mark(ids) {
    this.#working = new Set(ids);
    this.#render();
  }

  async #read() {
    try {
      const { conversations, next_cursor: next } = await this.#api.conversations();
      // Older pages that were opened stay open.
      if (this.#rows.size <= conversations.length) this.#next = next;
      for (const row of conversations) this.#rows.set(row.id, row);
      this.#state = "there";
    } catch {
      if (this.#state !== "there") this.#state = "failed";
    }
    this.#render();
    this.dispatchEvent(new Event("change"));
  }

  async #older() {
    this.#more.disabled = true;
    try {
      const { conversations, next_cursor: next } = await this.#api.conversations(this.#next);
      this.#next = next;
      for (const row of conversations) this.#rows.set(row.id, row);
    } catch {
      // The button stays: another click tries again.
    }
    this.#more.disabled = false;
    this.#render();
  }

  #render() {
    const focused = this.#element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    this.#element.replaceChildren(...this.#content());
    if (focused) this.#element.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  #content() {
    if (this.#state === "loading") return [h("div", { class: "ghosts", "aria-hidden": "true" }, ...[0, 1, 2].map(() => h("div", { class: "ghost" })))];
    if (this.#state === "failed") {
      return [h("p", { class: "list-notice", text: "Your conversations could not be loaded." }),
        h("button", { class: "text-button", text: "Try again", on: { click: () => this.#read() } })];
    }
    if (this.#rows.size === 0) return [h("p", { class: "list-notice", text: "Nothing here yet. Your first message starts a conversation." })];
    const rows = [...this.#rows.values()].sort((a, b) => b.updated_at.localeCompare(a.updated_at));
    const groups = Map.groupBy ? Map.groupBy(rows, dayOf) : groupBy(rows, dayOf);
    const sections = [...groups].map(([day, members]) => h("section", {},
      h("h2", { class: "day", text: day }),
      h("ul", {}, ...members.map((row) => h("li", {}, this.#link(row))))));
    return this.#next ? [...sections, this.#more] : sections;
  }

  #link({ id, title }) {
    const working = this.#working.has(id);
    return h("a", {
      class: "conversation", href: addressOf(id), title, "data-closes": "sidebar", "aria-current": id === this.#selected ? "page" : null,
    },
    h("span", { class: "conversation-title", dir: "auto", text: title || "Untitled" }),
    working ? h("span", { class: "working", role: "img", "aria-label": "working" }) : null);
  }
}

function groupBy(rows, key) {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
}

function dayOf({ updated_at: at }) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const when = new Date(at).getTime();
  if (when >= midnight) return "Today";
  if (when >= midnight - DAY) return "Yesterday";
  if (when >= midnight - 7 * DAY) return "Last seven days";
  return "Earlier";
}

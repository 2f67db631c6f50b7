// The top of the task panel: the views with their counts, the search, the tag that is filtered by.

import { h, icon, tell } from "../../dom.js";

const TABS = [["today", "Today"], ["upcoming", "Upcoming"], ["all", "All"], ["done", "Done"]];
const SEARCH_AFTER = 220;

export class Head {
  #tasks;
  #timer = 0;
  #tabs = new Map();
  #search = h("input", { id: "task-search", class: "search-input", type: "search", placeholder: "Search all tasks", "aria-label": "Search all tasks", dir: "auto", autocomplete: "off", maxlength: 255, enterkeyhint: "search" });
  #searchLine;
  #opener;
  #tag = h("div", { class: "tag-filter", hidden: true });
  #left;

  /** `chosen(view)`: a view was clicked; `left()`: the search was left, and the focus is to go to the list. */
  constructor({ tasks, chosen, left }) {
    this.#tasks = tasks;
    this.#left = left;
    this.#opener = h("button", { class: "icon-button", type: "button", icon: "search", "aria-label": "Search all tasks", title: "Search all tasks (/)", "aria-expanded": "false", "aria-controls": "task-search", on: { click: () => this.#toggle() } });
    const close = h("button", { class: "icon-button drawer-close", "data-closes": "tasks", icon: "close", "aria-label": "Close tasks", title: "Close" });
    this.#searchLine = h("div", { class: "search-line", role: "search", hidden: true }, icon("search"), this.#search,
      h("button", { class: "icon-button is-small", type: "button", icon: "close", "aria-label": "End the search", title: "End the search (Esc)", on: { click: () => this.#end() } }));
    const tabs = TABS.map(([view, text]) => {
      const count = h("span", { class: "tab-count" });
      const tab = h("button", { class: "tab", type: "button", role: "tab", id: `tab-${view}`, "aria-controls": "task-panel", on: { click: () => chosen(view) } }, text, count);
      this.#tabs.set(view, { tab, count });
      return tab;
    });
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" }, ...tabs);
    list.addEventListener("keydown", (event) => this.#key(event, chosen));
    this.element = h("header", { class: "tasks-top" },
      h("div", { class: "tasks-head" }, h("h2", { id: "tasks-title", tabindex: -1, text: "Tasks" }), this.#opener, close),
      this.#searchLine, list, this.#tag);
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#look(), SEARCH_AFTER);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        this.#end();
      } else if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        if (event.key === "Enter") this.#look();
        this.#left();
      }
    });
  }

  focusSearch() {
    this.#searchLine.hidden = false;
    this.#opener.setAttribute("aria-expanded", "true");
    this.#search.focus();
    this.#search.select();
  }

  clear() {
    this.#search.value = "";
    clearTimeout(this.#timer);
    this.#tasks.show({ search: "", tag: null });
    this.#searchLine.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
  }

  render() {
    const { query, counts } = this.#tasks;
    for (const [view, { tab, count }] of this.#tabs) {
      const isSelected = view === query.view && !query.search;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = view === query.view ? 0 : -1;
      const number = counts?.[view] ?? null;
      tell(count, number === null ? "" : String(number));
      tab.classList.toggle("has-due", view === "today" && number > 0);
    }
    this.#tag.hidden = !query.tag;
    const shown = this.#tag.dataset.tag;
    if (query.tag && shown !== query.tag) {
      this.#tag.dataset.tag = query.tag;
      this.#tag.replaceChildren("Only ", h("button", { class: "tag is-filter", type: "button", "aria-label": `Tag ${query.tag}: show all again`, on: { click: () => { this.#tasks.show({ tag: null }); this.#left(); } } }, "#", h("bdi", { text: query.tag }), icon("close")));
    } else if (!query.tag) delete this.#tag.dataset.tag;
  }

  #toggle() {
    if (this.#searchLine.hidden) this.focusSearch();
    else this.#end();
  }

  #look() {
    clearTimeout(this.#timer);
    this.#tasks.show({ search: this.#search.value.trim() });
  }

  #end() {
    const had = this.#searchLine.contains(document.activeElement);
    const { tag } = this.#tasks.query;
    this.clear();
    if (tag) this.#tasks.show({ tag });
    if (had) this.#opener.focus();
  }

  #key(event, chosen) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const views = TABS.map(([view]) => view);
    const next = views[(views.indexOf(this.#tasks.query.view) + step + views.length) % views.length];
    chosen(next);
    this.#tabs.get(next).tab.focus();
  }
}

// The conversations beside the chat: a search, and below it what it finds, or all of them by day.

import { announce, h } from "../dom.js";
import { groupOf } from "../days.js";
import { tellError } from "../phrases.js";
import { confirm } from "./confirm.js";
import { ConversationRow } from "./conversation-row.js";
import { settle } from "./settle.js";

/** Characters of a title that a question shows. */
const SHOWN = 80;

export class Sidebar {
  #list;
  #search;
  #rows = new Map();
  #groups = new Map();
  #selected = null;
  #working = new Set();
  #box = h("input", { id: "search", class: "search-box", type: "search", placeholder: "Search", "aria-label": "Search conversations", maxlength: 255, dir: "auto", autocomplete: "off", enterkeyhint: "search" });
  #clear = h("button", { type: "button", class: "icon-button is-small search-clear", icon: "close", "aria-label": "Clear the search", title: "Clear" });
  #body = h("div", { class: "conversation-groups" });
  #notice = h("p", { class: "list-notice", role: "status" });
  #more = h("button", { type: "button", class: "text-button" });
  #ghosts = h("div", { class: "ghosts", "aria-hidden": "true" }, ...[0, 1, 2].map(() => h("div", { class: "ghost" })));

  constructor(element, { list, search }) {
    this.#list = list;
    this.#search = search;
    this.#clear.hidden = true;
    element.append(h("div", { class: "search", role: "search", icon: "search" }, this.#box, this.#clear), this.#body);
    list.addEventListener("change", () => this.#render());
    list.addEventListener("gone", ({ detail: { id } }) => search.update(id, null));
    search.addEventListener("change", () => this.#render());
    this.#box.addEventListener("input", () => search.find(this.#box.value));
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#clear.addEventListener("click", () => this.#end());
    this.#more.addEventListener("click", () => this.#goOn());
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

  #key(event) {
    if (event.key === "ArrowDown") this.#body.querySelector("a")?.focus();
    else if (event.key === "Escape" && this.#box.value !== "") this.#end();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #end() {
    this.#box.value = "";
    this.#search.find("");
    this.#box.focus();
  }

  async #goOn() {
    if (this.#search.state !== "none") return this.#search.goOn();
    if (this.#list.state === "failed") return this.#list.refresh();
    this.#more.disabled = true;
    // If it fails, the button stays: another click tries again.
    await this.#list.readOlder().catch(() => {});
    this.#more.disabled = false;
  }

  #render() {
    this.#clear.hidden = this.#search.state === "none";
    settle(this.#body, this.#search.state === "none" ? this.#all() : this.#found());
  }

  #all() {
    const { state, rows, hasOlder } = this.#list;
    if (state === "loading") return [this.#ghosts];
    if (state === "failed") return [this.#tell("Your conversations could not be loaded."), this.#offer("Try again")];
    if (rows.length === 0) return [this.#tell("Nothing here yet. Your first message starts a conversation.")];
    return [...this.#sections(rows), ...(hasOlder ? [this.#offer("Show older")] : [])];
  }

  #found() {
    const { state, rows, text } = this.#search;
    // What this tab has read meanwhile may be called otherwise now.
    const named = rows.map((row) => ({ ...row, title: this.#list.title(row.id) ?? row.title }));
    const sections = this.#sections(named);
    const number = rows.length === 1 ? "1 conversation" : `${rows.length} conversations`;
    if (state === "looking") return [...sections, this.#tell(rows.length ? `${number} so far, searching…` : "Searching…", true)];
    if (state === "failed") return [...sections, this.#tell("The search did not work."), this.#offer("Try again")];
    if (state === "paused") return [...sections, this.#tell(rows.length ? `${number} so far.` : "Nothing so far; there is more to look at."), this.#offer("Search on")];
    return [...sections, this.#tell(rows.length ? number : `Nothing is found for “${text}”. Titles and messages were searched.`)];
  }

  #tell(text, isBusy = false) {
    if (this.#notice.textContent !== text) this.#notice.textContent = text;
    this.#notice.classList.toggle("is-busy", isBusy);
    return this.#notice;
  }

  #offer(label) {
    if (this.#more.textContent !== label) this.#more.textContent = label;
    return this.#more;
  }

  /** Rows and groups are kept: what does not change keeps its focus, and a title that is being edited stays so. */
  #sections(rows) {
    const members = new Map();
    for (const row of rows) {
      const name = groupOf(row.updated_at);
      members.set(name, [...(members.get(name) ?? []), this.#row(row)]);
    }
    const shown = new Set(rows.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!shown.has(id) && this.#list.title(id) === null) this.#rows.delete(id);
    return [...members].map(([name, elements]) => {
      const group = this.#groups.get(name) ?? this.#group(name);
      settle(group.list, elements);
      return group.element;
    });
  }

  #group(name) {
    const list = h("ul", {});
    const group = { list, element: h("section", {}, h("h2", { class: "day", text: name }), list) };
    this.#groups.set(name, group);
    return group;
  }

  #row(row) {
    const actions = { rename: (id, title) => this.#list.rename(id, title), remove: (it) => this.#remove(it) };
    const view = this.#rows.get(row.id) ?? new ConversationRow(row, actions);
    this.#rows.set(row.id, view);
    view.update(row, { isSelected: row.id === this.#selected, isWorking: this.#working.has(row.id) });
    return view.element;
  }

  async #remove({ id, title }) {
    const shown = [...title].length > SHOWN ? `${[...title].slice(0, SHOWN).join("")}…` : title || "Untitled";
    // The row that takes its place.
    const links = [...this.#body.querySelectorAll("a")];
    const place = links.findIndex((link) => this.#rows.get(id)?.element.contains(link));
    const wasOpen = this.#selected === id;
    const done = await confirm({
      title: `Delete “${shown}”?`,
      text: "The conversation and all that was said in it go for good. Its tasks stay on your list.",
      yes: "Delete",
      no: "Keep",
      act: () => this.#list.remove(id),
      tell: tellError,
    });
    if (!done) return this.#rows.get(id)?.focus();
    announce(`“${shown}” is deleted.`);
    // The open one leads to a new one, and its message box.
    if (!wasOpen) (this.#body.querySelectorAll("a")[Math.max(0, place)] ?? [...this.#body.querySelectorAll("a")].at(-1) ?? this.#box).focus();
  }
}

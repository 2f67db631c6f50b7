// What was done just now, and the way back.

import { shortDate } from "../../dates.js";
import { announce, h } from "../../dom.js";
import { today } from "../../zone.js";

const SHOWN_FOR = 8_000;

export class UndoBar {
  #tasks;
  #entry = null;
  #timer = 0;
  #words = h("p", { class: "undo-words" });
  #lost;

  /** `lost()`: it goes and has the focus. */
  constructor({ tasks, lost }) {
    this.#tasks = tasks;
    this.#lost = lost;
    this.element = h("div", { class: "undo-bar", hidden: true },
      this.#words,
      h("button", { class: "undo-button", type: "button", on: { click: () => this.#undo() } }, "Undo"),
      h("button", { class: "icon-button is-small", type: "button", icon: "close", "aria-label": "Close", on: { click: () => this.#hide() } }));
    tasks.addEventListener("did", ({ detail }) => this.#show(detail));
    tasks.addEventListener("undid", ({ detail }) => {
      if (detail === this.#entry) this.#hide();
    });
    for (const type of ["pointerenter", "focusin"]) this.element.addEventListener(type, () => clearTimeout(this.#timer));
    for (const type of ["pointerleave", "focusout"]) this.element.addEventListener(type, () => this.#later());
  }

  #show(entry) {
    this.#entry = entry;
    const text = wordsOf(entry);
    this.#words.replaceChildren(...text);
    announce(`${this.#words.textContent}. Press z to undo.`);
    this.element.hidden = false;
    this.#later();
  }

  #undo() {
    const { id } = this.#entry;
    this.#tasks.undo(this.#entry);
    announce("Undone");
    this.#lost(id);
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#hide(), SHOWN_FOR);
  }

  #hide() {
    clearTimeout(this.#timer);
    const had = this.element.contains(document.activeElement);
    this.element.hidden = true;
    if (had) this.#lost(this.#entry?.id);
    this.#entry = null;
  }
}

const DONE = { completed: "Completed", deleted: "Deleted", reopened: "Opened again:", changed: "Changed" };
const WHAT = { due_date: "date", due_time: "time", priority: "priority", tags: "tags", repeat: "repeat", description: "details" };

function wordsOf({ kind, task, next, fields, changed }) {
  const title = h("bdi", { text: `“${task?.title ?? "a task"}”` });
  if (kind === "completed" && next) return ["Completed ", title, `. Next: ${shortDate(next, today())}`];
  if (kind === "changed" && changed?.length === 1) {
    const [name] = changed;
    if (name === "title") return ["Renamed ", title];
    if (name === "due_date") return [fields.due_date ? "Moved " : "Took the date of ", title, fields.due_date ? ` to ${shortDate(fields.due_date, today())}` : ""];
    if (name === "priority") return [title, fields.priority === "p4" ? " has no priority now" : ` is ${fields.priority.toUpperCase()} now`];
    if (WHAT[name]) return [`Changed the ${WHAT[name]} of `, title];
  }
  return [`${DONE[kind]} `, title];
}

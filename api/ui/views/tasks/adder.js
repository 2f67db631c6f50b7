// The line in which tasks are added: a title and Enter; date, priority, repeat and tags open below it.

import { announce, h, icon } from "../../dom.js";
import { today } from "../../zone.js";
import { Fields } from "./fields.js";

export class Adder {
  #tasks;
  #title = h("input", { id: "add-task", class: "add-title", type: "text", placeholder: "Add a task", "aria-label": "Add a task", maxlength: 255, dir: "auto", autocomplete: "off", enterkeyhint: "done" });
  #fields = new Fields();
  #details = null;
  #added;
  #left;

  /** `added(promise)`: a task is being added. `left()`: it was closed, and the focus is to go to the list. */
  constructor({ tasks, added, left }) {
    this.#tasks = tasks;
    this.#added = added;
    this.#left = left;
    const submit = h("button", { class: "secondary is-main", type: "submit", text: "Add" });
    const close = h("button", { class: "text-button is-quiet", type: "button", text: "Close", on: { click: () => this.close() } });
    this.element = h("form", { class: "adder", "aria-label": "Add a task" },
      h("div", { class: "add-line" }, h("span", { class: "add-mark", "aria-hidden": "true" }, icon("plus")), this.#title),
      h("div", { class: "add-more" }, this.#fields.element, h("div", { class: "edit-buttons" }, submit, close)));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    this.#title.addEventListener("focus", ({ relatedTarget }) => this.#open(this.element.contains(relatedTarget)));
    this.element.addEventListener("focusout", ({ relatedTarget }) => {
      // Left empty, it closes by itself; what was typed stays.
      if (relatedTarget && !this.element.contains(relatedTarget) && !this.#title.value.trim()) this.#close();
    });
    this.element.addEventListener("pointerdown", ({ target }) => {
      if (target.closest(".add-line") && target !== this.#title) setTimeout(() => this.focus());
    });
  }

  focus() {
    this.#title.focus();
  }

  /** Puts fields into it that could not be added. */
  fill(fields) {
    this.#title.value = fields.title;
    this.#details = fields.description ?? null;
    this.element.classList.add("is-open");
    this.focus();
    this.#fields.show(fields);
  }

  close() {
    this.#title.value = "";
    this.#close();
    this.#left();
  }

  #open(isInside) {
    // Begun anew: what was chosen for a task that was never typed may be of another view, or of another day.
    if (!isInside && !this.#title.value.trim()) this.#reset();
    this.element.classList.add("is-open");
  }

  #close() {
    this.#details = null;
    this.element.classList.remove("is-open");
  }

  /** A task that is added to a view is meant to be in it. */
  #reset() {
    const { view, search, tag } = this.#tasks.query;
    this.#fields.show({ due_date: view === "today" && !search ? today() : null, tags: tag ? [tag] : [] });
  }

  #submit() {
    const title = this.#title.value.replace(/\s+/g, " ").trim();
    if (!title) return this.focus();
    const fields = { title, ...this.#fields.value };
    if (this.#details) fields.description = this.#details;
    this.#title.value = "";
    this.#details = null;
    this.focus();
    this.#reset();
    announce(`Added “${title}”`);
    this.#added(this.#tasks.add(fields));
  }
}

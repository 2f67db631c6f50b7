// A task being edited in its place: Enter saves, Esc leaves it as it was.

import { h } from "../../dom.js";
import { changedOf } from "../../task-fields.js";
import { Fields } from "./fields.js";

const MAX_TITLE = 255;
const MAX_DESCRIPTION = 8000;

export class Editor {
  #task;
  #title = h("textarea", { class: "edit-title", rows: 1, "aria-label": "Title", dir: "auto", maxlength: MAX_TITLE, enterkeyhint: "done", "data-field": "title" });
  #description = h("textarea", { class: "edit-description", rows: 1, "aria-label": "Details", placeholder: "Details", dir: "auto", maxlength: MAX_DESCRIPTION, "data-field": "description" });
  #fields = new Fields();
  #done;

  /** `fields` differ from the task's own if they were refused before. `done(fields)` is called with what is to be saved, or null; `remove()`, `mention()`. */
  constructor(task, { fields = {}, done, remove, mention }) {
    this.#task = task;
    this.#done = done;
    const shown = { ...task, ...fields };
    this.#title.value = shown.title;
    this.#description.value = shown.description ?? "";
    this.#fields.show(shown);
    this.element = h("form", { class: "task-editor", "aria-label": "Edit the task" },
      this.#title, this.#description, this.#fields.element,
      h("div", { class: "edit-buttons" },
        h("button", { class: "secondary is-main", type: "submit", text: "Save" }),
        h("button", { class: "text-button is-quiet", type: "button", text: "Cancel", on: { click: () => done(null) } }),
        h("span", { class: "spring" }),
        h("button", { class: "icon-button task-mention", type: "button", icon: "bubble", "aria-label": "Write about this task", title: "Write about it in the chat", on: { click: mention } }),
        h("button", { class: "icon-button is-danger", type: "button", icon: "trash", "aria-label": "Delete the task", title: "Delete (Del)", on: { click: remove } })));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    for (const area of [this.#title, this.#description]) area.addEventListener("input", () => grow(area));
  }

  /** Once it is in the page. */
  open(field) {
    grow(this.#title);
    grow(this.#description);
    if (field) return this.#fields.focus(field);
    this.#title.focus();
    this.#title.setSelectionRange(this.#title.value.length, this.#title.value.length);
  }

  get task() {
    return this.#task;
  }

  #save() {
    const title = this.#title.value.replace(/\s+/g, " ").trim();
    if (!title) {
      this.#title.setAttribute("aria-invalid", "true");
      this.#title.focus();
      return;
    }
    this.#done(changedOf(this.#task, { title, description: this.#description.value.trim(), ...this.#fields.value }));
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.#done(null);
    } else if (event.key === "Enter" && !event.shiftKey && (event.target.tagName !== "TEXTAREA" || event.target === this.#title || event.ctrlKey || event.metaKey)) {
      // Buttons and lists have a use for it themselves.
      if (["BUTTON", "SELECT"].includes(event.target.tagName)) return;
      event.preventDefault();
      this.#save();
    }
  }
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, 240)}px`;
}

// One conversation of the list: a link, what can be done with it, and its title in a box while it is renamed.

import { announce, h, icon } from "../dom.js";
import { tellError } from "../phrases.js";
import { addressOf } from "../router.js";
import { openMenu } from "./conversation-menu.js";

/** Characters of a title. */
const MAX = 255;

export class ConversationRow {
  #row;
  #actions;
  #title = h("span", { class: "conversation-title", dir: "auto" });
  #working = h("span", { class: "working", role: "img", "aria-label": "working" });
  #link = h("a", { class: "conversation", "data-closes": "sidebar" }, this.#title, this.#working);
  #more = h("button", { type: "button", class: "icon-button is-small conversation-more", icon: "more", "aria-haspopup": "menu", "aria-expanded": "false" });
  #problem = h("p", { class: "row-problem", role: "alert" });

  /** `actions`: rename(id, title), a promise; remove(row). */
  constructor(row, actions) {
    this.#row = row;
    this.#actions = actions;
    this.element = h("li", { class: "conversation-row" }, this.#link, this.#more, this.#problem);
    this.#problem.hidden = true;
    this.#link.addEventListener("keydown", (event) => {
      if (event.key !== "F2" && event.key !== "Delete") return;
      event.preventDefault();
      if (event.key === "F2") this.#edit();
      else this.#actions.remove(this.#row);
    });
    this.#more.addEventListener("click", () => openMenu(this.#more, `More for ${this.#row.title}`, [
      { label: "Rename", icon: "pencil", act: () => this.#edit() },
      { label: "Delete…", icon: "trash", danger: true, act: () => this.#actions.remove(this.#row) },
    ]));
  }

  update(row, { isSelected, isWorking }) {
    this.#row = row;
    const title = row.title || "Untitled";
    this.#link.setAttribute("href", addressOf(row.id));
    this.#link.title = title;
    if (isSelected) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
    if (this.#title.textContent !== title) this.#title.textContent = title;
    this.#working.hidden = !isWorking;
    this.#more.setAttribute("aria-label", `Rename or delete “${title}”`);
  }

  focus() {
    this.#link.focus();
  }

  #edit() {
    const { id, title } = this.#row;
    const box = h("input", { class: "conversation-box", type: "text", maxlength: MAX, "aria-label": "Title of the conversation", dir: "auto", enterkeyhint: "done", autocomplete: "off" });
    box.value = title;
    let isOpen = true;
    const close = (isKept, isFocused) => {
      if (!isOpen) return;
      isOpen = false;
      box.replaceWith(this.#link);
      this.element.classList.remove("is-edited");
      if (isFocused) this.focus();
      const wanted = box.value.trim();
      if (isKept && wanted !== "" && wanted !== title) this.#rename(id, wanted);
    };
    box.addEventListener("keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      close(event.key === "Enter", true);
    });
    box.addEventListener("blur", () => close(true, false));
    this.#problem.hidden = true;
    this.element.classList.add("is-edited");
    this.#link.replaceWith(box);
    box.focus();
    box.select();
  }

  async #rename(id, title) {
    try {
      await this.#actions.rename(id, title);
      announce("Renamed");
    } catch (error) {
      this.#problem.replaceChildren(icon("alert"), `It keeps its name. ${tellError(error)}`);
      this.#problem.hidden = false;
    }
  }
}

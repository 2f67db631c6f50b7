// The frame around the views: drawers on narrow screens, the theme's button, the user's corner, keyboard shortcuts.

import { byId, icon } from "../dom.js";
import { THEMES, setTheme, theme, watchTheme } from "../theme.js";
import { Help } from "./help.js";

export class Shell {
  #drawers = {
    sidebar: { element: byId("sidebar"), narrow: matchMedia("(max-width: 760px)"), opener: null },
    tasks: { element: byId("tasks"), narrow: matchMedia("(max-width: 1020px)"), opener: null },
  };
  #backdrop = byId("backdrop");
  #open = null;

  #help = new Help();

  /** `taskKeys()` takes the keys of the task panel. */
  constructor({ identity, focusComposer, newConversation, taskKeys }) {
    this.#user(identity);
    this.#theme();
    for (const [name, { narrow }] of Object.entries(this.#drawers)) {
      narrow.addEventListener("change", () => this.#settle());
      document.querySelector(`[data-opens="${name}"]`).addEventListener("click", (event) => this.#toggle(name, event.currentTarget));
    }
    document.addEventListener("click", (event) => {
      if (event.target.closest("[data-closes]")) this.closeDrawers();
    });
    this.#backdrop.addEventListener("click", () => this.closeDrawers());
    byId("new-conversation").addEventListener("click", (event) => {
      event.preventDefault();
      newConversation();
    });
    document.querySelector(".skip-link").addEventListener("click", (event) => {
      // The address is the conversation's; a fragment would lead away from it.
      event.preventDefault();
      focusComposer();
    });
    document.addEventListener("keydown", (event) => this.#shortcut(event, { focusComposer, newConversation, taskKeys }));
    this.#settle();
  }

  closeDrawers() {
    const open = this.#open;
    if (!open) return;
    this.#open = null;
    this.#settle();
    this.#drawers[open].opener?.focus({ preventScroll: true });
  }

  /** Shows the tasks, if they are a drawer that is closed. */
  openTasks() {
    const { narrow } = this.#drawers.tasks;
    if (narrow.matches && this.#open !== "tasks") this.#toggle("tasks", document.querySelector('[data-opens="tasks"]'));
  }

  #toggle(name, opener) {
    if (this.#open === name) return this.closeDrawers();
    this.#open = name;
    this.#drawers[name].opener = opener;
    this.#settle();
    this.#drawers[name].element.querySelector("button, a, [tabindex]")?.focus();
  }

  /** A drawer that is closed takes no focus; behind one that is open nothing does. */
  #settle() {
    if (this.#open && !this.#drawers[this.#open].narrow.matches) this.#open = null;
    for (const [name, { element, narrow }] of Object.entries(this.#drawers)) {
      const open = this.#open === name;
      element.classList.toggle("is-open", open);
      element.inert = (narrow.matches && !open) || (this.#open !== null && !open);
      document.querySelector(`[data-opens="${name}"]`).setAttribute("aria-expanded", String(open));
    }
    document.querySelector(".chat").inert = this.#open !== null;
    this.#backdrop.hidden = this.#open === null;
  }

  #user(identity) {
    const name = identity.displayName ?? "Signed in";
    byId("avatar").textContent = [...name][0].toUpperCase();
    byId("user-name").textContent = name;
    byId("user-name").title = name;
    byId("sign-out").addEventListener("click", ({ currentTarget: button }) => {
      button.disabled = true;
      identity.signOut();
    });
  }

  #theme() {
    const button = byId("theme");
    watchTheme(() => {
      const { label, icon: picture } = THEMES.find(({ name }) => name === theme());
      button.replaceChildren(icon(picture));
      button.setAttribute("aria-label", `Theme: ${label.toLowerCase()}`);
      button.title = `Theme: ${label.toLowerCase()}`;
    });
    button.addEventListener("click", () => setTheme(THEMES[(THEMES.findIndex(({ name }) => name === theme()) + 1) % THEMES.length].name));
  }

  #shortcut(event, { focusComposer, newConversation, taskKeys }) {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const isTyping = Boolean(event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]"));
    const isPlain = !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Escape" && this.#open) {
      this.closeDrawers();
    } else if ((event.metaKey || event.ctrlKey) && event.shiftKey && event.code === "KeyO") {
      newConversation();
    } else if (isPlain && event.key === "m") {
      this.closeDrawers();
      focusComposer();
    } else if (isPlain && event.key === "?") {
      this.#help.open();
    } else if (!isPlain || !taskKeys().press(event)) {
      return;
    }
    event.preventDefault();
  }
}

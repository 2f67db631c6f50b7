// The frame around the views: drawers on narrow screens, the theme, the user's corner, keyboard shortcuts.

import { byId, h, icon, remembered } from "../dom.js";

const THEMES = [["system", "Theme: as the system"], ["light", "Theme: light"], ["dark", "Theme: dark"]];

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const SHORTCUTS = [
  [["/"], "Go to the message box"],
  [["Enter"], "Send"],
  [["Shift", "Enter"], "New line"],
  [["↑"], "Last message again, in an empty box"],
  [["Esc"], "Stop the answer; close what is open"],
  [[MAC ? "⌘" : "Ctrl", "Shift", "O"], "New conversation"],
  [["?"], "This list"],
];

export class Shell {
  #drawers = {
    sidebar: { element: byId("sidebar"), narrow: matchMedia("(max-width: 760px)"), opener: null },
    tasks: { element: byId("tasks"), narrow: matchMedia("(max-width: 1120px)"), opener: null },
  };
  #backdrop = byId("backdrop");
  #open = null;

  constructor({ identity, focusComposer, newConversation }) {
    this.#user(identity);
    this.#theme();
    this.#help();
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
    document.addEventListener("keydown", (event) => this.#shortcut(event, { focusComposer, newConversation }));
    this.#settle();
  }

  closeDrawers() {
    const open = this.#open;
    if (!open) return;
    this.#open = null;
    this.#settle();
    this.#drawers[open].opener?.focus({ preventScroll: true });
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
    const show = () => {
      const current = document.documentElement.dataset.theme ?? "system";
      const label = THEMES.find(([name]) => name === current)[1];
      button.replaceChildren(icon({ system: "system", light: "sun", dark: "moon" }[current]));
      button.setAttribute("aria-label", label);
      button.title = label;
    };
    button.addEventListener("click", () => {
      const current = document.documentElement.dataset.theme ?? "system";
      const next = THEMES[(THEMES.findIndex(([name]) => name === current) + 1) % THEMES.length][0];
      if (next === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      remembered.set("localStorage", "errand.theme", next === "system" ? null : next);
      show();
    });
    show();
  }

  #help() {
    const dialog = byId("help");
    const rows = SHORTCUTS.map(([keys, meaning]) => h("div", { class: "shortcut" },
      h("dt", { text: meaning }), h("dd", {}, ...keys.map((key) => h("kbd", { text: key })))));
    const close = h("button", { class: "icon-button", icon: "close", "aria-label": "Close", on: { click: () => dialog.close() } });
    dialog.append(
      h("div", { class: "help-head" }, h("h2", { id: "help-title", text: "Keyboard shortcuts" }), close),
      h("dl", {}, ...rows));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    byId("help-button").addEventListener("click", () => dialog.showModal());
  }

  #shortcut(event, { focusComposer, newConversation }) {
    if (event.isComposing || byId("help").open) return;
    const typing = event.target.closest("input, textarea, [contenteditable]");
    if (event.key === "Escape" && this.#open) {
      this.closeDrawers();
    } else if ((event.metaKey || event.ctrlKey) && event.shiftKey && event.code === "KeyO") {
      newConversation();
    } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && event.key === "/") {
      this.closeDrawers();
      focusComposer();
    } else if (!typing && event.key === "?") {
      byId("help").showModal();
    } else {
      return;
    }
    event.preventDefault();
  }
}

// The sheet of keyboard shortcuts.

import { byId, h } from "../dom.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
/** Sections of pairs: keys, and what they do. `/` stands for "or". */
const SHORTCUTS = {
  Tasks: [
    [["N"], "Add a task"],
    [["/"], "Search all tasks"],
    [["J", "K"], "Next or previous task; the arrows, too"],
    [["X"], "Done, or open again"],
    [["E"], "Edit: Enter saves, Esc does not"],
    [["1", "2", "3", "4"], "Priority"],
    [["Del"], "Delete"],
    [["Z"], "Undo"],
    [["G", "T"], "Today"],
    [["G", "U"], "Upcoming"],
    [["G", "A"], "All"],
    [["G", "D"], "Done"],
  ],
  Chat: [
    [["M"], "Go to the message box"],
    [["Enter"], "Send"],
    [["Shift", "Enter"], "New line"],
    [["↑"], "Last message again, in an empty box"],
    [["Esc"], "Stop the answer; close what is open"],
    [[MAC ? "⌘" : "Ctrl", "Shift", "O"], "New conversation"],
    [["?"], "This list"],
  ],
};

export class Help {
  #dialog = byId("help");

  constructor() {
    const close = h("button", { class: "icon-button", type: "button", icon: "close", "aria-label": "Close", on: { click: () => this.#dialog.close() } });
    const sections = Object.entries(SHORTCUTS).map(([title, rows]) => h("section", {}, h("h3", { text: title }),
      h("dl", {}, ...rows.map(([keys, meaning]) => h("div", { class: "shortcut" },
        h("dt", { text: meaning }), h("dd", {}, ...keys.map((key) => h("kbd", { text: key }))))))));
    this.#dialog.append(
      h("div", { class: "help-head" }, h("h2", { id: "help-title", text: "Keyboard shortcuts" }), close),
      h("div", { class: "help-body", tabindex: -1 }, ...sections));
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId("help-button").addEventListener("click", () => this.open());
  }

  open() {
    this.#dialog.showModal();
  }
}

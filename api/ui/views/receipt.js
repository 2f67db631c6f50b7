// The receipt of a turn: one line for all that it did to the list, which opens to a row for each task; and what went wrong, which
// is always to be seen.

import { h, icon, redraw } from "../dom.js";
import { tellCall, tellFailure } from "../phrases.js";
import { receiptOf } from "../receipt.js";
import { chipsOf, hasChips } from "./chips.js";
import { ReceiptRow } from "./receipt-row.js";
import { settle } from "./settle.js";
import { taskReference } from "./task-reference.js";

let receipts = 0;

export class Receipt {
  #context;
  #icon = h("span", { class: "receipt-icon", "aria-hidden": "true" });
  #words = h("span", { class: "receipt-words" });
  #chips = h("span", { class: "receipt-chips" });
  #undo = h("button", { type: "button", class: "receipt-undo", icon: "undo", on: { click: () => this.#takeBack() } }, "Undo");
  #undone = h("span", { class: "receipt-verb", text: "Undone" });
  #rows = h("ul", { class: "receipt-rows", id: `receipt-${++receipts}` });
  #toggle = h("button", {
    type: "button", class: "receipt-toggle", "aria-expanded": "false", "aria-controls": this.#rows.id, on: { click: () => this.#open(!this.#isOpen) },
  }, icon("chevron"));
  #line = h("div", { class: "receipt-line" }, this.#icon, this.#words, this.#chips, this.#undo, this.#undone, this.#toggle);
  #troubles = h("ul", { class: "troubles" });
  #views = new Map();
  #shown = [];
  #isOpen = false;
  #troublesKey = "";
  #only = null;

  /** `context`: tasks, titleOf(id). */
  constructor(context) {
    this.#context = context;
    this.#rows.hidden = true;
    this.#troubles.hidden = true;
    this.element = h("div", { class: "receipt" }, this.#line, this.#rows, this.#troubles);
    // The whole line opens it; the button is there for those who do not point.
    this.#line.addEventListener("click", ({ target }) => {
      if (!target.closest("button, a") && getSelection().isCollapsed) this.#open(!this.#isOpen);
    });
  }

  update(turn) {
    const receipt = receiptOf(turn, this.#context.titleOf);
    this.#line.hidden = receipt.rows.length === 0;
    this.element.hidden = this.#line.hidden && receipt.troubles.length === 0;
    if (!this.#line.hidden) this.#updateLine(receipt);
    this.#shown = receipt.rows;
    this.#updateRows();
    this.#updateTroubles(receipt.troubles);
    return receipt;
  }

  #updateLine({ line, rows }) {
    const task = rows.length === 1 ? this.#context.tasks.get(rows[0].id) ?? rows[0].task : null;
    redraw(this.#icon, line.icon, () => [icon(line.icon)]);
    redraw(this.#words, JSON.stringify([line.text, line.subject, rows.map(({ id }) => id)]), () => [...withReference(line, rows), h("span", { class: "visually-hidden", text: ", done" })]);
    redraw(this.#chips, JSON.stringify(task), () => [hasChips(task) ? chipsOf(task) : ""]);
    this.#toggle.setAttribute("aria-label", rows.length === 1 ? "Show the task" : `Show the ${rows.length} tasks`);
  }

  /** The list keeps what it is asked for up to date; so it is asked for no more than is seen. */
  #updateRows() {
    const rows = this.#isOpen || this.#shown.length === 1 ? this.#shown : [];
    const isMixed = new Set(rows.map(({ verb }) => verb)).size > 1;
    const kept = new Set(rows.map((row) => row.id ?? row.part.id));
    for (const key of this.#views.keys()) if (!kept.has(key)) this.#views.delete(key);
    const elements = rows.map((row) => {
      const key = row.id ?? row.part.id;
      const view = this.#views.get(key) ?? new ReceiptRow(this.#context.tasks);
      this.#views.set(key, view);
      view.update(row, isMixed);
      return view.element;
    });
    settle(this.#rows, elements);
    this.#only = rows.length === 1 ? [...this.#views.values()][0] : null;
    this.#undo.hidden = this.#isOpen || !this.#only?.canUndo;
    this.#undone.hidden = this.#isOpen || !this.#only?.isUndone;
  }

  #updateTroubles(parts) {
    const key = JSON.stringify(parts.map(({ id, state }) => [id, state]));
    if (this.#troublesKey === key) return;
    this.#troublesKey = key;
    this.#troubles.hidden = parts.length === 0;
    this.#troubles.replaceChildren(...parts.map((part) => {
      const { icon: name, text } = tellCall(part, this.#context.titleOf);
      const reason = part.state === "failed" ? tellFailure(part) : null;
      return h("li", { class: "trouble", "data-state": part.state }, icon(part.state === "failed" ? "alert" : name),
        h("span", { class: "trouble-words" }, text,
          // What was rejected or stopped says so itself.
          part.state === "failed" ? h("span", { class: "visually-hidden", text: ", failed" }) : "",
          reason ? h("span", { class: "trouble-reason", text: reason }) : ""));
    }));
  }

  /** Takes the only change back; if that does not work, the row says why. */
  async #takeBack() {
    const hadFocus = document.activeElement === this.#undo;
    const undoing = this.#only.undo();
    this.#updateRows();
    if (hadFocus) this.#toggle.focus();
    if (!(await undoing)) this.#open(true);
    else this.#updateRows();
  }

  #open(isOpen) {
    this.#isOpen = isOpen;
    this.#updateRows();
    this.#rows.hidden = !isOpen;
    this.element.classList.toggle("is-open", isOpen);
    this.#toggle.setAttribute("aria-expanded", String(isOpen));
  }
}

/** The line in words; the name of the one task that it is about can be clicked. */
function withReference({ text, subject }, rows) {
  const at = subject && rows.length === 1 && rows[0].id && rows[0].verb !== "deleted" ? text.lastIndexOf(subject) : -1;
  if (at < 0) return [text];
  return [text.slice(0, at), taskReference(rows[0].id, subject), text.slice(at + subject.length)].filter((part) => part !== "");
}

// A task of a receipt, as the list has it now: it can be ticked, shown in the list, and what the agent did with it taken back.

import { announce, h, icon, redraw } from "../dom.js";
import { tellError, tellRefusal } from "../phrases.js";
import { chipsOf } from "./chips.js";
import { taskReference } from "./task-reference.js";

const WORDS = { added: "Added", completed: "Completed", reopened: "Reopened", changed: "Changed", restored: "Restored", deleted: "Deleted" };

export class ReceiptRow {
  #tasks;
  #row = null;
  #key = "";
  #isMixed = false;
  /** Null, "undoing" or "undone": whether it has been taken back here. */
  #state = null;
  #tick = h("button", { type: "button", class: "tick", role: "checkbox", icon: "check" });
  #name = h("span", { class: "receipt-name" });
  #chips = h("span", { class: "receipt-chips" });
  #words = h("span", { class: "receipt-task" }, this.#name, this.#chips);
  #verb = h("span", { class: "receipt-verb" });
  #undo = h("button", { type: "button", class: "receipt-undo", icon: "undo" }, "Undo");
  #problem = h("p", { class: "receipt-problem", role: "alert" });

  constructor(tasks) {
    this.#tasks = tasks;
    this.#problem.hidden = true;
    this.element = h("li", { class: "receipt-row" }, this.#tick, this.#words, this.#verb, this.#undo, this.#problem);
    this.#tick.addEventListener("click", () => this.#toggle());
    this.#undo.addEventListener("click", () => this.undo());
  }

  update(row, isMixed) {
    this.#row = row;
    this.#isMixed = isMixed;
    if (this.#state === "undone" && this.#isBack()) this.#state = null;
    const task = this.#task();
    const { canTick, canUndo } = this;
    const key = JSON.stringify([task, row.verb, row.undo, row.title, isMixed, this.#state, canTick, canUndo]);
    if (key === this.#key) return;
    this.#key = key;
    const title = task?.title ?? row.title ?? "A task";
    const isDone = task ? task.completed : row.verb === "completed";
    this.element.classList.toggle("is-done", isDone);
    this.element.classList.toggle("is-gone", this.#isGone());
    this.#tick.setAttribute("aria-checked", String(isDone));
    this.#tick.setAttribute("aria-label", `${title}: done`);
    this.#tick.disabled = !canTick;
    const id = this.#isGone() ? null : row.id;
    redraw(this.#name, JSON.stringify([id, title]), () => [id ? taskReference(id, title) : h("bdi", { class: "receipt-title", text: title })]);
    redraw(this.#chips, JSON.stringify(task), () => [task ? chipsOf(task) : ""]);
    this.#verb.textContent = this.#state !== null ? "Undone" : isMixed || this.#isGone() ? WORDS[row.verb] : "";
    this.#undo.hidden = !canUndo;
    this.#undo.setAttribute("aria-label", `Undo: ${WORDS[row.verb].toLowerCase()} “${title}”`);
  }

  /** Whether it can still be taken back: what has become of the task since then says so. */
  get canUndo() {
    const { undo, id } = this.#row;
    if (this.#state !== null || !undo || !id) return false;
    const task = this.#tasks.get(id);
    if (undo === "untick") return !task || task.completed;
    if (undo === "tick") return !task || !task.completed;
    if (undo === "restore") return !task;
    return true;
  }

  get canTick() {
    return Boolean(this.#row.id) && !this.#isGone();
  }

  get isUndone() {
    return this.#state !== null;
  }

  /** Takes it back; resolves with whether that worked. */
  async undo() {
    const { undo, title } = this.#row;
    const hadFocus = this.element.contains(document.activeElement);
    this.#state = "undoing";
    this.#problem.hidden = true;
    this.#refresh();
    if (hadFocus) (this.element.querySelector(".task-reference, .tick:enabled") ?? this.#fallback())?.focus();
    try {
      await this.#do(undo);
      this.#state = "undone";
      announce(`Undone: “${title ?? "a task"}”`);
      this.#refresh();
      return true;
    } catch (error) {
      this.#state = null;
      this.#fail(error);
      return false;
    }
  }

  /** Whether taking it back was taken back itself: in the list, say. */
  #isBack() {
    const task = this.#tasks.get(this.#row.id);
    return { remove: Boolean(task), restore: !task, untick: task?.completed === true, tick: task?.completed === false }[this.#row.undo];
  }

  async #toggle() {
    const isDone = this.#tick.getAttribute("aria-checked") === "true";
    this.#problem.hidden = true;
    this.#tick.setAttribute("aria-checked", String(!isDone));
    this.element.classList.toggle("is-done", !isDone);
    try {
      await this.#do(isDone ? "untick" : "tick");
    } catch (error) {
      this.#fail(error);
    }
    this.#refresh();
  }

  /** Asks the list for it; what it does not do, it tells the reason of. */
  async #do(what) {
    const { id } = this.#row;
    if ((await this.#tasks[what](id)) !== false) return;
    throw new Error(tellRefusal(this.#tasks.problem?.(id)?.message));
  }

  #fail(error) {
    this.#problem.replaceChildren(icon("alert"), tellError(error));
    this.#problem.hidden = false;
    this.#refresh();
  }

  /** As it is now; as the agent left it, if the list has it not, or not yet. */
  #task() {
    return (this.#row.id && this.#tasks.get(this.#row.id)) ?? this.#row.task;
  }

  /** Whether it is in the trash now, as far as is known here. */
  #isGone() {
    const { id, verb } = this.#row;
    if (this.#tasks.get(id)) return false;
    return verb === "deleted" ? this.#state === null : this.#state !== null && (verb === "added" || verb === "restored");
  }

  #refresh() {
    this.#key = "";
    this.update(this.#row, this.#isMixed);
  }

  /** The receipt that it is in. */
  #fallback() {
    return this.element.closest(".receipt")?.querySelector(".receipt-toggle");
  }
}

// The task panel: views of the list, and what a person does with them by hand.

import { announce, byId, h, remembered, tell } from "../../dom.js";
import { mention, suggestFor } from "../../phrases.js";
import { PAGE } from "../../task-reader.js";
import { VIEWS } from "../../task-views.js";
import { Adder } from "./adder.js";
import { Editor } from "./editor.js";
import { emptyFor, failed, ghosts } from "./empty.js";
import { groupsOf } from "./groups.js";
import { Head } from "./head.js";
import { Rows } from "./rows.js";
import { UndoBar } from "./undo-bar.js";

/** The view that was last looked at. */
const VIEW = "errand.view";
/** Pixels before the end at which more is read. */
const AHEAD = 900;

export class TaskPanel {
  #tasks;
  #suggest;
  #head;
  #adder;
  #rows;
  #body = h("div", { id: "task-panel", class: "tasks-body", role: "tabpanel", tabindex: -1 });
  #list = h("div", { class: "task-groups", role: "group" });
  #note = h("div", { class: "tasks-note" });
  #more = h("div", { class: "tasks-more", "aria-hidden": "true", hidden: true }, h("div", { class: "ghost" }), h("div", { class: "ghost" }));
  #editor = null;
  /** The task that is to be seen as soon as it is there: `id`, what had been `read` when it was asked for, and where the `focus` was. */
  #awaited = null;

  constructor(element, { tasks, suggest }) {
    this.#tasks = tasks;
    this.#suggest = suggest;
    this.#rows = new Rows(this.#list);
    this.#head = new Head({ tasks, chosen: (view) => this.show(view), left: () => this.focusList() });
    this.#adder = new Adder({ tasks, added: () => this.#reveal(), left: () => this.focusList() });
    const undo = new UndoBar({ tasks, lost: (id) => this.#refocus(id) });
    this.#body.append(this.#note, this.#list, this.#more);
    element.append(this.#head.element, this.#adder.element, this.#body, undo.element);
    this.#list.addEventListener("click", (event) => this.#click(event));
    this.#body.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    tasks.addEventListener("change", ({ detail }) => this.#render(detail));
    tasks.addEventListener("refused", ({ detail: { task, message } }) => announce(`${task?.title ? `“${task.title}”: ` : ""}${message}`));
    // What is overdue is so by the clock.
    setInterval(() => this.#render(), 60_000);
    const view = remembered.get("localStorage", VIEW);
    tasks.show({ view: Object.hasOwn(VIEWS, view ?? "") ? view : "all" });
    this.#render();
  }

  // By keys, too.

  show(view) {
    this.#awaited = null;
    this.#close(null);
    this.#head.clear();
    this.#tasks.show({ view });
    remembered.set("localStorage", VIEW, view);
    this.#body.scrollTop = 0;
  }

  /** Shows one task, in a view that has it, and puts the focus on it. */
  reveal(id) {
    const awaited = { id, read: this.#tasks.readings.begun, focus: document.activeElement };
    const view = this.#tasks.get(id)?.completed ? "done" : "all";
    const { query } = this.#tasks;
    if (!this.#keyOf(id)) {
      if (query.view !== view || query.search || query.tag) this.show(view);
      this.#tasks.refresh();
    }
    this.#awaited = awaited;
    this.#seek();
  }

  #seek() {
    if (!this.#awaited) return;
    const { id, read, focus } = this.#awaited;
    const key = this.#keyOf(id);
    if (key) {
      this.#awaited = null;
      // Whoever has gone on to something else meanwhile stays there.
      if ([focus, document.body].includes(document.activeElement)) this.#rows.focus(key);
      else this.#rows.element(key).scrollIntoView({ block: "nearest" });
      this.#rows.highlight(key);
    } else if (this.#tasks.hasFailed || this.#tasks.readings.taken > read) {
      this.#awaited = null;
      const title = this.#tasks.title(id);
      // Far down in a long list, or not there.
      if (title && this.#tasks.hasMore) this.#tasks.show({ search: title.slice(0, 255), tag: null });
      else announce("It is not on the list any more.");
    }
  }

  #keyOf(id) {
    return this.#rows.keys.find((key) => this.#rows.task(key)?.id === id);
  }

  add() {
    this.#adder.focus();
  }

  search() {
    this.#head.focusSearch();
  }

  undo() {
    if (!this.#tasks.lastUndo) return announce("There is nothing to undo");
    announce("Undone");
    this.#tasks.undo();
  }

  focusList() {
    const key = this.#rows.keys[0];
    if (key) this.#rows.focus(key);
    else this.#body.focus();
  }

  /** The key of the row that has the focus. */
  get focused() {
    return this.#rows.keyOf(document.activeElement);
  }

  move(by) {
    const key = this.#rows.step(this.focused, by);
    if (key) this.#rows.focus(key);
  }

  tick(key) {
    const task = this.#rows.task(key);
    if (!task || task.isNew) return;
    // A row that goes is seen to be ticked.
    this.#rows.element(key).classList.toggle("is-done", !task.completed);
    this.#leave(key, task.completed ? () => this.#tasks.untick(task.id) : () => this.#tasks.tick(task.id));
  }

  remove(key) {
    const task = this.#rows.task(key);
    if (!task) return;
    if (task.isNew) return this.#leave(key, () => this.#tasks.dismiss(task.id));
    this.#leave(key, () => this.#tasks.remove(task.id));
  }

  prioritize(key, priority) {
    const task = this.#rows.task(key);
    if (task && !task.isNew) this.#tasks.update(task.id, { priority });
  }

  edit(key, fields) {
    const task = this.#rows.task(key);
    if (!task || task.isNew || this.#editor?.key === key) return;
    this.#close(null);
    const editor = new Editor(task, {
      fields,
      done: (wanted) => this.#close(wanted, key),
      remove: () => {
        this.#close(null);
        this.remove(key);
      },
      mention: () => {
        this.#close(null);
        this.#suggest(suggestFor(task), mention(task));
      },
    });
    this.#editor = { key, editor, task };
    this.#rows.edit(key, editor);
    editor.open();
    this.#rows.element(key).scrollIntoView({ block: "nearest" });
  }

  /** Ends the editing; `wanted` is saved, null leaves everything as it was. */
  #close(wanted, focus = null) {
    if (!this.#editor) return;
    const { key, task } = this.#editor;
    this.#editor = null;
    this.#rows.endEdit();
    if (wanted) this.#tasks.update(task.id, wanted);
    this.#render();
    // With a new date it may be in another view.
    if (focus && !this.#rows.focus(focus)) this.#rows.focus(this.#rows.neighbour(key) ?? this.#rows.keys[0]) || this.#body.focus();
  }

  /** Does something by which a row goes, or may; the focus goes to the next one. */
  #leave(key, act) {
    const next = this.#rows.neighbour(key);
    const { activeElement: focus } = document;
    const part = this.#rows.keyOf(focus) === key || focus === document.body ? focus.dataset?.part ?? "open" : null;
    const isByKeys = focus.matches?.(":focus-visible") ?? false;
    const task = this.#rows.task(key);
    if (task) task.isLeaving = true;
    act();
    if (part === null || this.#rows.keys.includes(key)) return;
    if (!next || !this.#rows.focus(next, part, { scroll: isByKeys })) this.#body.focus({ preventScroll: true });
  }

  #click(event) {
    const key = this.#rows.keyOf(event.target);
    if (!key || event.target.closest(".task-editor")) return;
    const task = this.#rows.task(key);
    const act = event.target.closest("[data-act]")?.dataset.act ?? (event.target.closest("button, a") ? null : "edit");
    const problem = this.#tasks.problem(task.id);
    if (act === "tick") this.tick(key);
    else if (act === "tag") this.#filter(event.target.closest("[data-tag]").dataset.tag);
    else if (act === "retry") problem?.retry?.();
    else if (act === "dismiss") this.#leave(key, () => this.#tasks.dismiss(task.id));
    else if (act === "amend") this.#amend(key, task, problem.fields);
    else if (act === "edit" && getSelection()?.isCollapsed !== false) this.edit(key);
  }

  /** What was refused is there to be put right. */
  #amend(key, task, fields) {
    this.#tasks.dismiss(task.id);
    if (task.isNew) this.#adder.fill(fields);
    else this.edit(key, fields);
  }

  #filter(tag) {
    this.#tasks.show({ tag: this.#tasks.query.tag?.toLowerCase() === tag.toLowerCase() ? null : tag });
    this.focusList();
  }

  #reveal() {
    const { key } = this.#tasks.rows.findLast(({ isNew }) => isNew) ?? {};
    this.#rows.element(key)?.scrollIntoView({ block: "nearest" });
  }

  #refocus(id) {
    const key = this.#keyOf(id);
    if (!key || !this.#rows.focus(key)) this.focusList();
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.#body;
    const seen = Math.ceil(((scrollTop + clientHeight) / scrollHeight) * this.#rows.keys.length);
    const isNear = scrollHeight - scrollTop - clientHeight < AHEAD;
    this.#tasks.need(isNear && this.#tasks.hasMore ? this.#rows.keys.length + PAGE : seen + PAGE / 4);
  }

  #render(changed = []) {
    const { state, counts, query, rows } = this.#tasks;
    this.#head.render();
    tell(byId("open-count"), String(counts?.all ?? 0));
    this.#list.setAttribute("aria-label", query.search ? "Tasks found" : query.view === "done" ? "Done tasks" : "Open tasks");
    if (query.search) this.#body.removeAttribute("aria-labelledby");
    else this.#body.setAttribute("aria-labelledby", `tab-${query.view}`);
    const shown = this.#withEdited(rows);
    this.#rows.render(groupsOf(query, shown), (id) => this.#tasks.problem(id));
    this.#list.hidden = shown.length === 0 && !this.#list.querySelector(".is-going");
    this.#more.hidden = !this.#tasks.hasMore;
    this.#noteFor(state, shown.length, counts);
    for (const key of shown.filter(({ id }) => changed.includes(id)).map(({ key }) => key)) this.#rows.highlight(key);
    if (this.#tasks.hasMore) this.#scrolled();
    this.#seek();
  }

  /** Whoever edits a task goes on doing so, whatever becomes of it meanwhile. */
  #withEdited(rows) {
    if (!this.#editor || rows.some(({ key }) => key === this.#editor.key)) return rows;
    return [...rows, this.#editor.task];
  }

  #noteFor(state, count, counts) {
    const { query } = this.#tasks;
    const kind = state === "failed" && !count ? "failed" : state === "loading" && !count ? "loading" : count ? "" : JSON.stringify([query, counts?.all, Boolean(counts?.done)]);
    if (this.#note.dataset.kind === kind) return;
    this.#note.dataset.kind = kind;
    const act = (name) => {
      if (name === "all") this.show("all");
      else if (name === "clear") this.#head.clear();
      else this.#tasks.refresh();
      this.focusList();
    };
    if (kind === "failed") this.#note.replaceChildren(failed(act));
    else if (kind === "loading") this.#note.replaceChildren(ghosts());
    else if (kind === "") this.#note.replaceChildren();
    else this.#note.replaceChildren(emptyFor(query, { counts, act }));
  }
}

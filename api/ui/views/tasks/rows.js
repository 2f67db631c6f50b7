// The rows in the page: made, moved and taken away as tasks come and go. What does not change does not flicker and keeps its focus.

import { h, tell } from "../../dom.js";
import { now } from "../../zone.js";
import { draw, drawingOf } from "./row.js";

/** A row that goes is seen going. */
const GOING = 240;

export class Rows {
  #element;
  /** By key: `{ element, task, drawing }`. */
  #rows = new Map();
  #sections = new Map();
  #order = [];
  /** The row whose controls the Tab key reaches. */
  #current = null;
  #editing = null;

  constructor(element) {
    this.#element = element;
    element.addEventListener("focusin", ({ target }) => {
      const key = target.closest(".task")?.dataset.key;
      if (key) this.#become(key);
    });
  }

  get keys() {
    return this.#order;
  }

  /** The task of a row, as it was last drawn. */
  task(key) {
    return this.#rows.get(key)?.task;
  }

  /** The key of the row that an element is in. */
  keyOf(element) {
    return element?.closest?.(".task:not(.is-going)")?.dataset.key ?? null;
  }

  element(key) {
    return this.#rows.get(key)?.element;
  }

  /** The key of the row behind this one, or before it if it is the last. */
  neighbour(key) {
    const index = this.#order.indexOf(key);
    return this.#order[index + 1] ?? this.#order[index - 1] ?? null;
  }

  step(key, by) {
    const index = this.#order.indexOf(key);
    if (index < 0) return this.#order[by > 0 ? 0 : this.#order.length - 1] ?? null;
    return this.#order[Math.min(Math.max(index + by, 0), this.#order.length - 1)];
  }

  /** The row with its editor in the place of its words. */
  edit(key, editor) {
    this.#editing = { key, editor };
    const { element } = this.#rows.get(key);
    element.classList.add("is-editing");
    element.replaceChildren(editor.element);
  }

  /** The words of the row that is edited are back. */
  endEdit() {
    const row = this.#rows.get(this.#editing?.key);
    this.#editing = null;
    if (!row) return;
    row.element.classList.remove("is-editing");
    row.drawing = null;
  }

  focus(key, part = "open", { scroll = true } = {}) {
    const row = this.#rows.get(key);
    if (!row) return false;
    const target = row.element.querySelector(`[data-part="${CSS.escape(part)}"]:not(:disabled)`) ?? row.element.querySelector(".task-open");
    target?.focus({ preventScroll: true });
    if (scroll) row.element.scrollIntoView({ block: "nearest" });
    return Boolean(target);
  }

  highlight(key) {
    const element = this.#rows.get(key)?.element;
    if (!element) return;
    element.classList.remove("is-changed");
    // Reading a measure makes the browser notice, so that the animation starts anew.
    void element.offsetWidth;
    element.classList.add("is-changed");
  }

  /** Shows these groups; `problem(id)` knows what went wrong. */
  render(groups, problem) {
    const focus = document.activeElement;
    const focused = this.#element.contains(focus) ? [this.keyOf(focus), focus.dataset?.part] : null;
    const order = groups.flatMap(({ tasks }) => tasks.map(({ key }) => key));
    const there = new Set(order);
    for (const [key, row] of this.#rows) if (!there.has(key)) this.#take(key, row);
    groups.forEach((group, index) => this.#group(group, index, problem));
    for (const [id, { section }] of this.#sections) {
      if (groups.some((group) => group.id === id)) continue;
      if (section.querySelector(".is-going")) section.classList.add("is-going");
      else section.remove();
      this.#sections.delete(id);
    }
    this.#order = order;
    if (!there.has(this.#current)) this.#become(order[0] ?? null);
    // A row that was moved or drawn again has lost it.
    if (focused && document.activeElement !== focus && there.has(focused[0])) {
      if (focus.isConnected) focus.focus({ preventScroll: true });
      else this.focus(focused[0], focused[1] ?? "open", { scroll: false });
    }
  }

  clear() {
    this.#rows.clear();
    this.#sections.clear();
    this.#order = [];
    this.#current = null;
    this.#element.replaceChildren();
  }

  #group({ id, title, tasks }, index, problem) {
    if (!this.#sections.has(id)) {
      const heading = h("h3", { class: "group-title" }, h("span", { text: title }), h("span", { class: "group-count" }));
      const list = h("ul", { class: "task-list" });
      this.#sections.set(id, { section: h("section", { class: `task-group is-${/^\d/.test(id) ? "day" : id}` }, heading, list), heading, list });
    }
    const { section, heading, list } = this.#sections.get(id);
    tell(heading.firstChild, title);
    tell(heading.lastChild, String(tasks.length));
    const sections = [...this.#element.children].filter((child) => !child.classList.contains("is-going"));
    if (sections[index] !== section) this.#element.insertBefore(section, sections[index] ?? null);
    let next = list.firstElementChild;
    for (const task of tasks) {
      const row = this.#row(task, problem(task.id), id);
      while (next?.classList.contains("is-going")) next = next.nextElementSibling;
      if (next === row.element) next = next.nextElementSibling;
      else list.insertBefore(row.element, next);
    }
  }

  #row(task, problem, group) {
    const { key } = task;
    const minute = now().time;
    if (!this.#rows.has(key)) {
      const element = h("li", { class: "task", "data-key": key });
      element.addEventListener("animationend", ({ animationName }) => {
        if (animationName === "changed") element.classList.remove("is-changed");
      });
      this.#rows.set(key, { element, drawing: null });
    }
    const row = this.#rows.get(key);
    // Most are as they were: of ten thousand all but one.
    if (row.drawing && row.task === task && row.problem === problem && row.group === group && row.minute === minute) return row;
    Object.assign(row, { task, problem, group, minute });
    row.element.dataset.id = task.id;
    row.element.dataset.priority = task.priority;
    row.element.classList.toggle("is-done", Boolean(task.completed));
    row.element.classList.toggle("is-new", Boolean(task.isNew) && !problem);
    const drawing = drawingOf(task, problem, group);
    if (row.drawing !== drawing && this.#editing?.key !== key) {
      row.drawing = drawing;
      row.element.replaceChildren(...draw(task, problem, group));
      this.#reach(row.element, key === this.#current);
    }
    return row;
  }

  #take(key, { element, task }) {
    this.#rows.delete(key);
    if (this.#editing?.key === key) this.#editing = null;
    const isSeen = element.isConnected && !matchMedia("(prefers-reduced-motion: reduce)").matches && element.checkVisibility();
    if (!isSeen || !task.isLeaving) return element.remove();
    element.inert = true;
    element.setAttribute("aria-hidden", "true");
    // From its height to none; what is below it follows.
    element.style.height = `${element.offsetHeight}px`;
    void element.offsetHeight;
    element.classList.add("is-going");
    element.style.height = "0";
    setTimeout(() => {
      const section = element.closest(".task-group.is-going");
      element.remove();
      if (section && !section.querySelector(".task")) section.remove();
    }, GOING);
  }

  #become(key) {
    if (key === this.#current) return;
    this.#reach(this.#rows.get(this.#current)?.element, false);
    this.#current = key;
    this.#reach(this.#rows.get(key)?.element, true);
  }

  #reach(element, isReached) {
    for (const part of element?.querySelectorAll("[data-part]") ?? []) part.tabIndex = isReached ? 0 : -1;
  }
}

// The task panel: what the list holds, live. Read-only; a click on a task begins the sentence that would change it.

import { byId, h, icon } from "../dom.js";
import { mention, suggestFor } from "../phrases.js";

export class TaskPanel {
  #tasks;
  #suggest;
  #count = h("span", { class: "tasks-count" });
  #body = h("div", { class: "tasks-body" });
  #open = h("ul", { class: "task-list", "aria-label": "Open tasks" });
  #done = h("ul", { class: "task-list is-done", "aria-label": "Done tasks" });
  #doneHead = h("h3", { class: "day" });
  #allDone = h("p", { class: "all-done", icon: "check" }, "All done. Nothing is left on the list.");
  #rows = new Map();

  constructor(element, { tasks, suggest }) {
    this.#tasks = tasks;
    this.#suggest = suggest;
    const close = h("button", { class: "icon-button drawer-close", "data-closes": "tasks", icon: "close", "aria-label": "Close tasks", title: "Close" });
    element.append(h("header", { class: "tasks-head" }, h("h2", { text: "Tasks" }), this.#count, close), this.#body);
    tasks.addEventListener("change", ({ detail }) => this.#render(detail));
    this.#render([]);
  }

  #render(changed) {
    const { state, rows: list, total } = this.#tasks;
    const open = list.filter(({ completed }) => !completed);
    byId("open-count").textContent = String(open.length);
    const part = total > list.length ? `${list.length} of ${total}` : `${open.length} open`;
    this.#count.textContent = state === "there" && list.length ? part : "";
    if (state === "loading") return this.#body.replaceChildren(ghosts());
    if (state === "failed") return this.#body.replaceChildren(this.#failed());
    if (list.length === 0) {
      this.#rows.clear();
      return this.#body.replaceChildren(this.#empty());
    }
    this.#sync(list, new Set(changed));
    const done = list.length - open.length;
    this.#doneHead.textContent = `Done, ${done}`;
    const parts = [];
    parts.push(open.length ? this.#open : this.#allDone);
    if (done) parts.push(this.#doneHead, this.#done);
    // Only what is missing moves: an element that is put in again would start its animations again.
    for (const node of [...this.#body.childNodes]) if (!parts.includes(node)) node.remove();
    parts.forEach((part, index) => {
      if (this.#body.childNodes[index] !== part) this.#body.insertBefore(part, this.#body.childNodes[index] ?? null);
    });
    const row = changed.length ? this.#rows.get(changed.at(-1))?.element : null;
    if (row?.isConnected && row.offsetParent) row.scrollIntoView({ block: "nearest" });
  }

  /** Rows are kept by id: what does not change does not flicker and keeps its focus. */
  #sync(list, changed) {
    for (const [id, { element }] of this.#rows) {
      if (list.some((task) => task.id === id)) continue;
      element.remove();
      this.#rows.delete(id);
    }
    const next = new Map([[this.#open, this.#open.firstElementChild], [this.#done, this.#done.firstElementChild]]);
    for (const task of list) {
      const home = task.completed ? this.#done : this.#open;
      const row = this.#rows.get(task.id) ?? newRow();
      const key = JSON.stringify([task.title, task.description, task.completed]);
      if (row.key !== key) row.element.replaceChildren(this.#row(task));
      row.key = key;
      this.#rows.set(task.id, row);
      if (next.get(home) === row.element) next.set(home, row.element.nextElementSibling);
      else home.insertBefore(row.element, next.get(home)?.parentElement === home ? next.get(home) : null);
      if (changed.has(task.id)) this.#highlight(row.element);
    }
  }

  #highlight(element) {
    element.classList.remove("is-changed");
    // Reading a measure makes the browser notice, so that the animation starts anew.
    void element.offsetWidth;
    element.classList.add("is-changed");
  }

  #row(task) {
    return h("button", { class: "task", title: "Write about this task", on: { click: () => this.#suggest(suggestFor(task), mention(task)) } },
      h("span", { class: "task-box", "aria-hidden": "true" }, icon("check")),
      h("span", { class: "task-words" },
        h("span", { class: "task-title", dir: "auto", text: task.title }),
        task.description ? h("span", { class: "task-description", dir: "auto", text: task.description }) : null),
      h("span", { class: "visually-hidden", text: task.completed ? ", done" : ", open" }));
  }

  #empty() {
    return h("div", { class: "tasks-empty" },
      h("div", { class: "paper", "aria-hidden": "true" }, ...[0, 1, 2].map(() => h("span", {}))),
      h("p", { class: "tasks-empty-title", text: "An empty list" }),
      h("p", { text: "Say what needs doing and it shows up here, as it happens. Click a task later to talk about it." }));
  }

  #failed() {
    return h("div", { class: "tasks-empty" },
      h("p", { text: "Your tasks could not be loaded." }),
      h("button", { class: "secondary", icon: "retry", on: { click: () => this.#tasks.refresh() } }, "Try again"));
  }
}

function newRow() {
  const element = h("li", {});
  element.addEventListener("animationend", ({ animationName }) => {
    if (animationName === "changed") element.classList.remove("is-changed");
  });
  return { element, key: null };
}

function ghosts() {
  return h("div", { class: "ghosts", "aria-hidden": "true" }, ...[0, 1, 2, 3].map(() => h("div", { class: "ghost" })));
}

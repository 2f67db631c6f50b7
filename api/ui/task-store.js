// What the page knows of tasks: each as the server last told it, and on top of that what is being changed and not yet answered.
// No requests here, and nothing about what is shown.

import { dueInWords } from "./dates.js";
import { now } from "./zone.js";

export class TaskStore {
  #told = new Map();
  /** Changes under way, by task, in their order. */
  #changes = new Map();
  /** Titles of every task ever heard of, deleted ones too. */
  #titles = new Map();

  /** A task as it is to be shown; undefined if nothing is known of it. One with `deleted` is in the trash. */
  get(id) {
    const told = this.#told.get(id);
    const changes = this.#changes.get(id);
    if (!changes) return told;
    const task = Object.assign({}, told, ...changes.map(({ patch }) => patch));
    if (task.title === undefined) return undefined;
    // The server's words are about the task as it was.
    if (changes.some(({ patch }) => "due_date" in patch || "due_time" in patch || "completed" in patch)) task.due = dueInWords(task, now());
    return { ...task, id, isChanging: true };
  }

  /** As the server last told it. */
  told(id) {
    return this.#told.get(id);
  }

  title(id) {
    return this.#titles.get(id);
  }

  learnTitle(id, title) {
    if (typeof title === "string") this.#titles.set(id, title);
  }

  tell(task) {
    this.#told.set(task.id, task);
    this.learnTitle(task.id, task.title);
  }

  /** What a call has made of a task, where its answer does not have it whole. */
  amend(id, patch) {
    const told = this.#told.get(id);
    if (!told) return;
    const task = { ...told, ...patch };
    this.#told.set(id, { ...task, due: dueInWords(task, now()) });
  }

  /** There is none, or no longer. */
  forget(id) {
    this.#told.delete(id);
  }

  /** Shows a task as if this were true already, until `end`. */
  begin(id, patch) {
    const change = { id, patch };
    this.#changes.set(id, [...(this.#changes.get(id) ?? []), change]);
    if (patch.title) this.learnTitle(id, patch.title);
    return change;
  }

  end(change) {
    const left = (this.#changes.get(change.id) ?? []).filter((other) => other !== change);
    if (left.length) this.#changes.set(change.id, left);
    else this.#changes.delete(change.id);
  }

  /** None of the changes of a task are made. */
  endAll(id) {
    this.#changes.delete(id);
  }

  isChanging(id) {
    return this.#changes.has(id);
  }

  /** A task that was made here has got its id. */
  rename(from, to) {
    const changes = this.#changes.get(from);
    if (!changes) return;
    this.#changes.delete(from);
    for (const change of changes) change.id = to;
    this.#changes.set(to, [...changes, ...(this.#changes.get(to) ?? [])]);
  }

  get ids() {
    return new Set([...this.#told.keys(), ...this.#changes.keys()]);
  }
}

/** What a person sees of a task: two that are equal in it look the same. */
export const looksOf = (task) => JSON.stringify(task && [
  task.title, task.description ?? "", task.completed, task.due_date, task.due_time, task.priority, task.tags, task.repeat, Boolean(task.deleted),
]);

// The changes that a person makes by hand: each is a call of a tool and shown at once, the calls of one task one after the other. What is
// refused is taken back, and why is kept; what was made can be undone.

import { dueInWords } from "./dates.js";
import { CallLost, ToolRefused } from "./mcp.js";
import { argumentsFor, patchFor } from "./task-fields.js";
import { now } from "./zone.js";

/** Changes that can be undone, the last ones. */
const MAX_UNDOS = 20;

export class TaskChanges {
  #mcp;
  #reader;
  #store;
  #host;
  #problems = new Map();
  /** The end of what is to be done with a task, by its id. */
  #queues = new Map();
  /** Ids of tasks that were made here: the first one that they had, and the other way round. */
  #keys = new Map();
  #ids = new Map();
  #newest = 0;
  #undos = [];

  /**
   * `host` shows what comes of it: `touch(id, task)` before a task is changed, `renamed(from, to)` when a new one has got its id, `forget(id)`
   * when there will be none, `changed()` when something is to be seen, `refresh(delay)` when it is time to read, `tell(event, detail)`.
   */
  constructor({ mcp, reader, store, host }) {
    this.#mcp = mcp;
    this.#reader = reader;
    this.#store = store;
    this.#host = host;
    /** Goes up with every answer: what was read across one may be older than it. */
    this.version = 0;
    /** Tasks that are being added. */
    this.adding = 0;
  }

  /** What went wrong with the last change of a task. */
  problem(id) {
    return this.#problems.get(id);
  }

  /** The first id of a task: the same as long as it is on the page. */
  key(id) {
    return this.#keys.get(id) ?? id;
  }

  /** The id of a task that had another one before the server gave it this. */
  real(id) {
    return this.#ids.get(id) ?? id;
  }

  get lastUndo() {
    return this.#undos.at(-1);
  }

  /** Adds a task with these fields (see task-fields.js). It is shown at once, under an id of its own until the server gives it one. */
  add(fields) {
    const id = `new-${++this.#newest}`;
    const task = { id, description: null, completed: false, priority: "p4", tags: [], ...patchFor(fields), created_at: new Date().toISOString(), isNew: true };
    return this.#insert(id, { ...task, due: dueInWords(task, now()) }, fields);
  }

  async #insert(id, task, fields) {
    const change = this.#store.begin(id, task);
    this.#host.touch(id, undefined);
    this.adding++;
    let isMade = false;
    await this.#queue(id, async () => {
      try {
        const { task: made } = await this.#mcp.call("add_task", argumentsFor({}, fields));
        this.#store.end(change);
        this.#store.tell(made);
        this.#rename(id, made.id);
        isMade = true;
      } catch (error) {
        // It stays to be seen, with the reason: what was typed is not to be lost.
        const again = () => {
          this.dismiss(id);
          return error instanceof CallLost ? this.#addUnlessThere(fields) : this.add(fields);
        };
        this.#problems.set(id, { message: error.message, fields, retry: error instanceof ToolRefused ? null : again });
        this.#host.tell("refused", { task, message: error.message });
      }
      this.version++;
      this.adding--;
    });
    return isMade;
  }

  /** A call whose answer was lost may have been made. */
  async #addUnlessThere(fields) {
    const found = await this.#reader.more({ search: fields.title.slice(0, 255), view: "all", tag: null }, undefined).catch(() => null);
    const lately = new Date(Date.now() - 600_000).toISOString();
    const known = this.#store.ids;
    const twin = found?.tasks.find(({ id, title, created_at: at }) => title === fields.title && at > lately && !known.has(id));
    if (!twin) return this.add(fields);
    this.#host.touch(twin.id, undefined);
    this.#store.tell(twin);
    this.#host.changed();
    return true;
  }

  #rename(from, to) {
    this.#keys.set(to, from);
    this.#ids.set(from, to);
    this.#store.rename(from, to);
    this.#host.renamed(from, to);
    if (this.#queues.has(from)) this.#queues.set(to, this.#queues.get(from));
  }

  /** Takes away a problem; with it a task that could not be added. */
  dismiss(given) {
    const id = this.real(given);
    const task = this.#store.get(id);
    this.#problems.delete(id);
    if (task?.isNew) {
      this.#store.endAll(id);
      this.#host.forget(id);
    }
    this.#host.changed();
  }

  tick(given) {
    const id = this.real(given);
    const task = this.#store.get(id);
    if (task?.completed) return Promise.resolve(true);
    const entry = this.#entry("completed", id, task);
    return this.#change(id, { completed: true, completed_at: new Date().toISOString() }, {
      entry,
      call: (id) => this.#complete(id, task, entry),
      // A repeating one that was completed by a call whose answer was lost has moved on: once more would be once too often.
      again: () => this.#completeUnlessMoved(id, task),
    });
  }

  async #complete(id, task, entry) {
    const { next_due: next } = await this.#mcp.call("complete_task", { task_id: id });
    if (next) {
      entry.next = next;
      this.#store.amend(id, { due_date: next, completed: false, completed_at: undefined });
    } else {
      this.#store.amend(id, { completed: true, completed_at: new Date().toISOString() });
    }
    entry.undo = next ? () => this.#takeBack(id, task) : () => this.#reopen(id);
  }

  async #completeUnlessMoved(id, task) {
    if (task?.repeat) {
      const { tasks: [current] } = await this.#reader.some([id]).catch(() => ({ tasks: [] }));
      if (current && (current.due_date !== task.due_date || current.completed)) {
        this.#store.tell(current);
        this.dismiss(id);
        return true;
      }
    }
    return this.tick(id);
  }

  /** The task that repeats gets its date back, and what was kept of its being done goes. */
  #takeBack(id, task) {
    return this.#change(id, { due_date: task.due_date, due_time: task.due_time, completed: false }, {
      call: async (id) => {
        const { tasks } = await this.#reader.more({ view: "done", search: "", tag: null }, undefined);
        // The last one that was done of those that it may be.
        const kept = tasks.find((done) => done.id > id && done.title === task.title && done.due_date === task.due_date && !done.repeat);
        const { task: now } = await this.#mcp.call("update_task", { task_id: id, due_date: task.due_date });
        this.#store.tell(now);
        if (kept) await this.#mcp.call("delete_task", { task_id: kept.id });
      },
    });
  }

  untick(given) {
    const id = this.real(given);
    const entry = this.#entry("reopened", id, this.#store.get(id), () => this.tick(id));
    return this.#reopen(id, entry);
  }

  #reopen(id, entry) {
    return this.#change(id, { completed: false, completed_at: undefined }, {
      entry,
      call: async (id) => this.#store.tell((await this.#mcp.call("update_task", { task_id: id, completed: false })).task),
    });
  }

  /** Deletes a task; it can be brought back. */
  remove(given) {
    const id = this.real(given);
    const entry = this.#entry("deleted", id, this.#store.get(id), () => this.restore(id));
    return this.#change(id, { deleted: true }, {
      entry,
      call: async (id) => {
        await this.#mcp.call("delete_task", { task_id: id });
        this.#store.amend(id, { deleted: true });
      },
    });
  }

  restore(given) {
    const id = this.real(given);
    return this.#change(id, { deleted: false }, {
      call: async (id) => this.#store.tell((await this.#mcp.call("update_task", { task_id: id, restore: true })).task),
    });
  }

  /** Changes fields of a task (see task-fields.js); those that are left out, or are as they were, stay. */
  update(given, fields, { isUndo = false } = {}) {
    const id = this.real(given);
    const before = this.#store.get(id) ?? {};
    const wanted = argumentsFor(before, fields);
    if (Object.keys(wanted).length === 0) return Promise.resolve(true);
    // With a date its time and its rule may go.
    const names = "due_date" in fields ? [...Object.keys(fields), "due_time", "repeat"] : Object.keys(fields);
    const back = Object.fromEntries(names.map((name) => [name, before[name] ?? null]));
    const entry = isUndo ? null : this.#entry("changed", id, before, () => this.update(id, back, { isUndo: true }));
    if (entry) Object.assign(entry, { fields, changed: Object.keys(wanted).filter((name) => name !== "clear").concat(wanted.clear ?? []) });
    return this.#change(id, patchFor(fields), {
      entry,
      call: async (id) => this.#store.tell((await this.#mcp.call("update_task", { task_id: id, ...wanted })).task),
      fields,
    });
  }

  /** Undoes the last change that was made here, or this one. */
  async undo(entry = this.#undos.at(-1)) {
    if (!entry || !this.#undos.includes(entry)) return false;
    this.#undos.splice(this.#undos.indexOf(entry), 1);
    this.#host.tell("undid", entry);
    // How depends on the answer.
    await this.#queues.get(entry.id);
    return entry.isMade ? entry.undo() : false;
  }

  #entry(kind, id, task, undo) {
    return { kind, id, task, undo, next: null, isMade: false };
  }

  /** Shows a change at once, makes it when the ones before it are made, and takes it back if it cannot be made. */
  async #change(id, patch, { entry = null, call, again = null, fields = null }) {
    const task = this.#store.get(id);
    const change = this.#store.begin(id, patch);
    this.#problems.delete(id);
    this.#host.touch(id, task);
    if (entry) {
      this.#undos = [...this.#undos, entry].slice(-MAX_UNDOS);
      this.#did(entry);
    }
    let isMade = false;
    await this.#queue(id, async () => {
      try {
        await call(change.id);
        isMade = true;
        if (entry) entry.isMade = true;
      } catch (error) {
        this.#refuse(change.id, task, error, {
          fields,
          again: again ?? (() => this.#change(change.id, patch, { entry: entry && { ...entry }, call, fields })),
        });
        if (entry) {
          this.#undos = this.#undos.filter((other) => other !== entry);
          this.#host.tell("undid", entry);
        }
      }
      this.version++;
      this.#store.end(change);
      if (entry?.next) this.#did(entry);
    });
    return isMade;
  }

  #refuse(id, task, error, { fields, again }) {
    const message = error.message || "Something went wrong.";
    this.#problems.set(id, { message, fields, retry: error instanceof ToolRefused ? null : again });
    this.#host.tell("refused", { id, task, message });
  }

  /** One call of a task at a time, in the order of the clicks. */
  async #queue(id, work) {
    this.#host.changed();
    const mine = (this.#queues.get(id) ?? Promise.resolve()).then(work);
    this.#queues.set(id, mine);
    await mine;
    for (const [key, last] of this.#queues) if (last === mine) this.#queues.delete(key);
    this.#host.changed();
    this.#host.refresh(300);
  }

  #did(entry) {
    this.#host.tell("did", entry);
  }
}

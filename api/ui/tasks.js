// The user's tasks on this page: what is shown of them, and every change a person makes. A change is a call of a tool and shown at once;
// what the server refuses goes back, with the reason.

import { dueInWords } from "./dates.js";
import { CallLost, ToolRefused } from "./mcp.js";
import { argumentsFor, patchFor } from "./task-fields.js";
import { PAGE, TaskReader } from "./task-reader.js";
import { TaskStore, looksOf } from "./task-store.js";
import { VIEWS, isIn, matches, sorted } from "./task-views.js";
import { now } from "./zone.js";

/** Between the end of one reading and the next that somebody else's change is worth. */
const PAUSE = 700;
/** Single tasks that are kept up to date because somebody has asked for them, the last ones. */
const MAX_WATCHED = 200;
/** Changes that can be undone, the last ones. */
const MAX_UNDOS = 20;

/**
 * Events: `change` (`detail`: ids of shown tasks that somebody else has added or changed), `did` (`detail`: a change that was made here: `kind`,
 * `task` as it was, `fields` and which of them `changed`, `next` date of one that repeats; again when more is known of it), `undid` (`detail`: the same),
 * `refused` (`detail`: `task`, `message`).
 */
export class Tasks extends EventTarget {
  #reader;
  #mcp;
  #store = new TaskStore();
  /** What was read of what was asked for: ids in order, and where they go on. */
  #lists = new Map();
  #query = { view: "today", search: "", tag: null };
  #wanted = PAGE;
  #counts = null;
  /** Tasks that were changed here since the last reading, as they were when it was counted. */
  #touched = new Map();
  #problems = new Map();
  /** The end of what is to be done with a task, by its id. */
  #queues = new Map();
  /** Ids of tasks that were made here: the first one that they had, and the other way round. */
  #keys = new Map();
  #ids = new Map();
  #withKeys = new WeakMap();
  #adding = 0;
  #newest = 0;
  #undos = [];
  #watched = new Set();
  /** Goes up with every answer: what was read across one may be older than it. */
  #version = 0;
  #timer = 0;
  #due = Infinity;
  #reading = false;
  #readUntil = 0;

  /** `api` is read from, `mcp` makes the changes. */
  constructor({ api, mcp }) {
    super();
    this.#reader = new TaskReader(api);
    this.#mcp = mcp;
    this.hasFailed = false;
  }

  // What there is.

  /** A task as it is now, changes under way included; undefined if it is not there. It is kept up to date from then on. */
  get(given) {
    const id = this.#real(given);
    this.#watched.delete(id);
    this.#watched.add(id);
    if (this.#watched.size > MAX_WATCHED) this.#watched.delete(this.#watched.values().next().value);
    const task = this.#store.get(id);
    return task && !task.deleted ? task : undefined;
  }

  /** The title of any task that was ever heard of. */
  title(id) {
    return this.#store.title(id);
  }

  /** What is asked for: a `view` of VIEWS, or a text that is looked for in all of them (`search`), perhaps with a `tag`. */
  get query() {
    return this.#query;
  }

  /** "loading", "there" or "failed": of what is asked for. */
  get state() {
    return this.#lists.has(this.#name) ? "there" : this.hasFailed ? "failed" : "loading";
  }

  /** The tasks that are shown, in order. `key` stays the same when a new one gets its id. */
  get rows() {
    const ids = new Set([...(this.#lists.get(this.#name)?.ids ?? []), ...this.#touched.keys()]);
    const found = [...ids].map((id) => this.#store.get(id)).filter((task) => matches(this.#query, task));
    return sorted(this.#query, found).map((task) => this.#keyed(task));
  }

  /** The same object for the same task, as long as it is the same. */
  #keyed(task) {
    if (!this.#withKeys.has(task)) this.#withKeys.set(task, { ...task, key: this.#keys.get(task.id) ?? task.id });
    return this.#withKeys.get(task);
  }

  /** Whether there are more tasks than were read. */
  get hasMore() {
    return Boolean(this.#lists.get(this.#name)?.next);
  }

  /** How many tasks there are of what is asked for. */
  get total() {
    const { search, tag, view } = this.#query;
    const list = this.#lists.get(this.#name);
    return !search && !tag && this.#counts ? this.counts[view] : Math.max(list?.next ? list.total : 0, this.rows.length);
  }

  /** How many tasks each view has; null until that is known. */
  get counts() {
    if (!this.#counts) return null;
    const counts = { ...this.#counts };
    for (const [id, before] of this.#touched) {
      if (id.startsWith("new-") && this.#problems.has(id)) continue;
      const task = this.#store.get(id);
      for (const view of Object.keys(VIEWS)) counts[view] += Number(isIn(view, task)) - Number(isIn(view, before));
    }
    return counts;
  }

  /** What went wrong with the last change of a task: `message`, and `retry()` or `edit` where that makes sense. */
  problem(id) {
    return this.#problems.get(id);
  }

  /** The id of a task that had another one before the server gave it this. */
  #real(id) {
    return this.#ids.get(id) ?? id;
  }

  /** The last change that can be undone. */
  get lastUndo() {
    return this.#undos.at(-1);
  }

  // What is shown.

  show(query) {
    const before = this.#name;
    this.#query = { ...this.#query, ...query };
    if (before === this.#name) return;
    this.#wanted = PAGE;
    this.hasFailed = false;
    this.#version++;
    this.#emit();
    this.refresh();
  }

  /** So many tasks are to be there: reads on if they are not. */
  async need(count) {
    this.#wanted = Math.max(1, Math.ceil(count / PAGE)) * PAGE;
    const list = this.#lists.get(this.#name);
    if (this.#reading || !this.#isShort) return;
    this.#reading = true;
    let hasFailed = false;
    const [query, version] = [this.#query, this.#version];
    try {
      const page = await this.#reader.more(query, list.next);
      if (version === this.#version) {
        for (const task of page.tasks) this.#store.tell(task);
        this.#lists.set(this.#name, { ids: [...list.ids, ...page.tasks.map(({ id }) => id)], total: page.total, next: page.next });
        this.#emit();
      } else {
        this.refresh(100);
      }
    } catch {
      // Whoever scrolls on asks again.
      hasFailed = true;
    }
    this.#reading = false;
    if (!hasFailed && this.#isShort) this.need(this.#wanted);
  }

  /** Whether more tasks are wanted, and there are more, than were read. */
  get #isShort() {
    const list = this.#lists.get(this.#name);
    return Boolean(list?.next) && list.ids.length < this.#wanted;
  }

  /** Reads again soon; several wishes become one reading, and one is under way at a time. */
  refresh(delay = 0) {
    const due = Date.now() + delay;
    // Put off by no later wish: whoever changes tasks without a pause is to be seen, too.
    if (due >= this.#due) return;
    this.#due = due;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), delay);
  }

  /** Somebody else has changed tasks, perhaps many of them. */
  changedElsewhere() {
    this.refresh(Math.max(60, this.#readUntil + PAUSE - Date.now()));
  }

  /** The day or the zone is another: nothing that was read says anything about today. */
  forgetDay() {
    this.#lists.clear();
    this.#version++;
    this.refresh();
    this.#emit();
  }

  /** Takes in an event of a run; `turn` knows the names of its tool calls. */
  receive(turn, event) {
    if (event.type === "STATE_SNAPSHOT" && Array.isArray(event.snapshot?.tasks)) {
      for (const { id, title } of event.snapshot.tasks) this.#store.learnTitle(id, title);
    } else if (event.type === "TOOL_CALL_RESULT") {
      const call = turn.parts.find((part) => part.id === event.toolCallId);
      for (const { id, title } of call?.result?.tasks ?? []) this.#store.learnTitle(id, title);
      if (call?.result?.task_id) this.#store.learnTitle(call.result.task_id, call.args?.title);
      if (call?.result?.task) this.#hear(call.result.task);
      // Where no socket tells of changes, this does.
      this.refresh(150);
    } else if (event.type === "RUN_FINISHED" || event.type === "RUN_ERROR") {
      this.refresh(300);
    }
  }

  /** What a tool has made of a task, unless something newer is known. */
  #hear(task) {
    const told = this.#store.told(task.id);
    if (!this.#lists.has(this.#name) || (told && told.updated_at >= task.updated_at)) return;
    const before = looksOf(this.#store.get(task.id));
    this.#touch(task.id, told);
    this.#store.tell(task);
    this.#version++;
    this.#emit(before === looksOf(this.#store.get(task.id)) ? [] : [task.id]);
  }

  // Changes. Each resolves with whether it was made; what went wrong is at `problem`.

  /** Adds a task with these fields (see task-fields.js). It is shown at once, under an id of its own until the server gives it one. */
  add(fields) {
    const id = `new-${++this.#newest}`;
    const task = { id, description: null, completed: false, priority: "p4", tags: [], ...patchFor(fields), created_at: new Date().toISOString(), isNew: true };
    return this.#insert(id, { ...task, due: dueInWords(task, now()) }, fields);
  }

  async #insert(id, task, fields) {
    const change = this.#store.begin(id, task);
    this.#touch(id, undefined);
    this.#adding++;
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
        this.dispatchEvent(new CustomEvent("refused", { detail: { task, message: error.message } }));
      }
      this.#version++;
      this.#adding--;
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
    this.#touch(twin.id, undefined);
    this.#store.tell(twin);
    this.#emit();
    return true;
  }

  #rename(from, to) {
    this.#keys.set(to, from);
    this.#ids.set(from, to);
    this.#store.rename(from, to);
    this.#touched.set(to, this.#touched.get(from));
    this.#touched.delete(from);
    if (this.#queues.has(from)) this.#queues.set(to, this.#queues.get(from));
  }

  /** Takes away a problem; with it a task that could not be added. */
  dismiss(given) {
    const id = this.#real(given);
    const task = this.#store.get(id);
    this.#problems.delete(id);
    if (task?.isNew) {
      this.#store.endAll(id);
      this.#touched.delete(id);
    }
    this.#emit();
  }

  tick(given) {
    const id = this.#real(given);
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
    const id = this.#real(given);
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
    const id = this.#real(given);
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
    const id = this.#real(given);
    return this.#change(id, { deleted: false }, {
      call: async (id) => this.#store.tell((await this.#mcp.call("update_task", { task_id: id, restore: true })).task),
    });
  }

  /** Changes fields of a task (see task-fields.js); those that are left out, or are as they were, stay. */
  update(given, fields, { isUndo = false } = {}) {
    const id = this.#real(given);
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
    this.dispatchEvent(new CustomEvent("undid", { detail: entry }));
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
    this.#touch(id, task);
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
          this.dispatchEvent(new CustomEvent("undid", { detail: entry }));
        }
      }
      this.#version++;
      this.#store.end(change);
      if (entry?.next) this.#did(entry);
    });
    return isMade;
  }

  #refuse(id, task, error, { fields, again }) {
    const message = error.message || "Something went wrong.";
    this.#problems.set(id, { message, fields, retry: error instanceof ToolRefused ? null : again });
    this.dispatchEvent(new CustomEvent("refused", { detail: { id, task, message } }));
  }

  /** One call of a task at a time, in the order of the clicks. */
  async #queue(id, work) {
    this.#emit();
    const mine = (this.#queues.get(id) ?? Promise.resolve()).then(work);
    this.#queues.set(id, mine);
    await mine;
    for (const [key, last] of this.#queues) if (last === mine) this.#queues.delete(key);
    this.#emit();
    this.refresh(300);
  }

  #touch(id, task) {
    if (!this.#touched.has(id)) this.#touched.set(id, task);
  }

  #did(entry) {
    this.dispatchEvent(new CustomEvent("did", { detail: entry }));
  }

  // Reading.

  get #name() {
    const { view, search, tag } = this.#query;
    return JSON.stringify([search ? "" : view, search, tag?.toLowerCase() ?? null]);
  }

  async #read() {
    this.#due = Infinity;
    if (this.#reading) return this.refresh(100);
    this.#reading = true;
    const [query, name, version] = [this.#query, this.#name, this.#version];
    const isCurrent = () => version === this.#version && this.#adding === 0;
    try {
      const isPlain = !query.search && !query.tag;
      const counting = this.#reader.counts(isPlain ? query.view : null);
      counting.catch(() => {});
      const list = await this.#reader.list(query, this.#wanted);
      const inList = new Set(list.tasks.map(({ id }) => id));
      const others = [...this.#watched].filter((id) => !inList.has(id) && !id.startsWith("new-"));
      const { tasks: found, looked } = await this.#reader.some(others);
      const counts = { ...(isPlain ? { [query.view]: list.total } : {}), ...(await counting) };
      if (isCurrent()) this.#take(name, { list, found, looked, counts });
      else this.refresh(100);
      this.hasFailed = false;
    } catch {
      if (!this.hasFailed && name === this.#name) {
        this.hasFailed = true;
        this.#emit();
      }
    }
    this.#reading = false;
    this.#readUntil = Date.now();
    // Wanted meanwhile.
    if (!this.hasFailed && this.#isShort) this.need(this.#wanted);
  }

  #take(name, { list, found, looked, counts }) {
    const before = new Map(list.tasks.map(({ id }) => [id, looksOf(this.#store.get(id))]));
    const isFirst = !this.#lists.has(name);
    const mine = new Set(this.#touched.keys());
    for (const task of [...list.tasks, ...found]) this.#store.tell(task);
    const there = new Set(found.map(({ id }) => id));
    for (const id of looked) if (!there.has(id)) this.#store.forget(id);
    this.#lists.set(name, { ids: list.tasks.map(({ id }) => id), total: list.total, next: list.next });
    this.#counts = counts;
    // What is still being changed was counted as it is without that.
    for (const id of mine) {
      if (this.#store.isChanging(id)) this.#touched.set(id, this.#store.told(id));
      else this.#touched.delete(id);
    }
    const changed = isFirst ? [] : list.tasks.filter((task) => !mine.has(task.id) && before.get(task.id) !== looksOf(task));
    this.#emit(changed.map(({ id }) => id));
  }

  #emit(changed = []) {
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }
}

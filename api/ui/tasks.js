// The user's tasks on this page: what is shown of them, and every change a person makes. A change is a call of a tool and shown at once;
// what the server refuses goes back, with the reason.

import { TaskChanges } from "./task-changes.js";
import { PAGE, TaskReader } from "./task-reader.js";
import { TaskStore, looksOf } from "./task-store.js";
import { VIEWS, isIn, matches, sorted } from "./task-views.js";

/** Between the end of one reading and the next that somebody else's change is worth. */
const PAUSE = 700;
/** Single tasks that are kept up to date because somebody has asked for them, the last ones. */
const MAX_WATCHED = 200;

/**
 * Events: `change` (`detail`: ids of shown tasks that somebody else has added or changed), `did` (`detail`: a change that was made here: `kind`,
 * `task` as it was, `fields` and which of them `changed`, `next` date of one that repeats; again when more is known of it), `undid` (`detail`: the same),
 * `refused` (`detail`: `task`, `message`).
 */
export class Tasks extends EventTarget {
  #reader;
  #changes;
  #store = new TaskStore();
  /** What was read of what was asked for: ids in order, and where they go on. */
  #lists = new Map();
  #query = { view: "today", search: "", tag: null };
  #wanted = PAGE;
  #counts = null;
  /** Tasks that were changed here since the last reading, as they were when it was counted. */
  #touched = new Map();
  #withKeys = new WeakMap();
  #watched = new Set();
  /** Goes up when something else is asked for, or told by a run. */
  #own = 0;
  #timer = 0;
  #due = Infinity;
  #reading = false;
  #readUntil = 0;
  #begun = 0;
  #taken = 0;

  /** `api` is read from, `mcp` makes the changes. */
  constructor({ api, mcp }) {
    super();
    this.#reader = new TaskReader(api);
    this.#changes = new TaskChanges({
      mcp, reader: this.#reader, store: this.#store,
      host: {
        touch: (id, task) => this.#touch(id, task),
        renamed: (from, to) => {
          this.#touched.set(to, this.#touched.get(from));
          this.#touched.delete(from);
        },
        forget: (id) => this.#touched.delete(id),
        changed: () => this.#emit(),
        refresh: (delay) => this.refresh(delay),
        tell: (event, detail) => this.dispatchEvent(new CustomEvent(event, { detail })),
      },
    });
    this.hasFailed = false;
  }

  // What there is.

  /** A task as it is now, changes under way included; undefined if it is not there. It is kept up to date from then on. */
  get(given) {
    const id = this.#changes.real(given);
    if (!this.#watched.has(id) && !this.#store.get(id)) this.refresh(50);
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
    if (!this.#withKeys.has(task)) this.#withKeys.set(task, { ...task, key: this.#changes.key(task.id) });
    return this.#withKeys.get(task);
  }

  /** How many readings have been `begun`, and which of them was the last one `taken`: that a task is not there is known only by one that began later. */
  get readings() {
    return { begun: this.#begun, taken: this.#taken };
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
      if (id.startsWith("new-") && this.problem(id)) continue;
      const task = this.#store.get(id);
      for (const view of Object.keys(VIEWS)) counts[view] += Number(isIn(view, task)) - Number(isIn(view, before));
    }
    return counts;
  }

  /** What went wrong with the last change of a task: `message`, and `retry()` or `edit` where that makes sense. */
  problem(id) {
    return this.#changes.problem(id);
  }

  /** The last change that can be undone. */
  get lastUndo() {
    return this.#changes.lastUndo;
  }

  // What is shown.

  show(query) {
    const before = this.#name;
    this.#query = { ...this.#query, ...query };
    if (before === this.#name) return;
    this.#wanted = PAGE;
    this.hasFailed = false;
    this.#own++;
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
    this.#own++;
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
    this.#own++;
    this.#emit(before === looksOf(this.#store.get(task.id)) ? [] : [task.id]);
  }

  // Changes, by task-changes.js. Each resolves with whether it was made; what went wrong is at `problem`.

  /** Adds a task with these fields (see task-fields.js). */
  add = (fields) => this.#changes.add(fields);
  tick = (id) => this.#changes.tick(id);
  untick = (id) => this.#changes.untick(id);
  /** Deletes a task; `restore` brings it back. */
  remove = (id) => this.#changes.remove(id);
  restore = (id) => this.#changes.restore(id);
  /** Changes fields of a task; those that are left out, or are as they were, stay. */
  update = (id, fields) => this.#changes.update(id, fields);
  /** Takes away a problem; with it a task that could not be added. */
  dismiss = (id) => this.#changes.dismiss(id);
  /** Undoes the last change that was made here, or this one (of `did`). */
  undo = (entry) => this.#changes.undo(entry);

  #touch(id, task) {
    if (!this.#touched.has(id)) this.#touched.set(id, task);
  }

  /** What was read while this was another number may be older than what is shown. */
  get #version() {
    return this.#own + this.#changes.version;
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
    const number = ++this.#begun;
    const [query, name, version] = [this.#query, this.#name, this.#version];
    const isCurrent = () => version === this.#version && this.#changes.adding === 0;
    try {
      const isPlain = !query.search && !query.tag;
      const counting = this.#reader.counts(isPlain ? query.view : null);
      counting.catch(() => {});
      const list = await this.#reader.list(query, this.#wanted);
      const inList = new Set(list.tasks.map(({ id }) => id));
      const others = [...this.#watched].filter((id) => !inList.has(id) && !id.startsWith("new-"));
      const { tasks: found, looked } = await this.#reader.some(others);
      const counts = { ...(isPlain ? { [query.view]: list.total } : {}), ...(await counting) };
      this.hasFailed = false;
      if (isCurrent()) {
        this.#taken = number;
        this.#take(name, { list, found, looked, counts });
      } else this.refresh(100);
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

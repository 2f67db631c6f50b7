// The task list as the server last told it: read over HTTP, and live from the state events of a run. Read-only: only the
// agent changes tasks.

import { applyPatch } from "./json-patch.js";
import { tookEffect } from "./turn.js";

/** A run tells of so many tasks at most; a list of that length may go on. */
const MOST_TOLD = 200;
/** Between the end of one reading and the next that somebody else's change is worth. */
const PAUSE = 700;

/** Events: `change` (`detail`: ids of tasks that are new or differ; empty on the first load). */
export class Tasks extends EventTarget {
  #api;
  #byId = new Map();
  /** Titles of every task ever heard of, deleted ones too. */
  #titles = new Map();
  /** The list as each run that is followed from its snapshot on last told it: what its patches are about. */
  #told = new Map();
  /** Tasks that are not in the list, as it is too long. */
  #beyond = 0;
  #timer = 0;
  #due = Infinity;
  #reading = false;
  #readUntil = 0;
  #reads = 0;

  constructor(api) {
    super();
    this.#api = api;
    /** "loading", "there" or "failed". */
    this.state = "loading";
  }

  /** Open ones first, each part in the order they were added. */
  get list() {
    const all = [...this.#byId.values()];
    return [...all.filter((task) => !task.completed), ...all.filter((task) => task.completed)];
  }

  get open() {
    return this.list.filter((task) => !task.completed);
  }

  /** All tasks there are, also if the list does not have them all. */
  get total() {
    return this.#byId.size + this.#beyond;
  }

  title(id) {
    return this.#titles.get(id);
  }

  /** Reads the list soon; several wishes become one request, and one is under way at a time. */
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
    this.refresh(Math.max(100, this.#readUntil + PAUSE - Date.now()));
  }

  /** Takes in an event of a run; `turn` knows the names of its tool calls. */
  receive(turn, event) {
    switch (event.type) {
      case "STATE_SNAPSHOT":
        if (Array.isArray(event.snapshot?.tasks)) this.#hear(turn, event.snapshot.tasks);
        break;
      case "STATE_DELTA":
        this.#patch(turn, event.delta);
        break;
      case "CUSTOM":
        // Perhaps a list: without it, what comes behind it means nothing.
        if (event.name !== "errand.too_large") break;
        this.#told.delete(turn.runId);
        this.refresh(150);
        break;
      case "TOOL_CALL_RESULT":
        this.#learn(turn, event.toolCallId);
        break;
      case "RUN_FINISHED":
      case "RUN_ERROR":
        // Another conversation may have changed tasks meanwhile.
        this.#told.delete(turn.runId);
        this.refresh(300);
        break;
    }
  }

  #patch(turn, delta) {
    const before = this.#told.get(turn.runId);
    if (!before) return this.refresh(150);
    try {
      this.#hear(turn, applyPatch({ tasks: before }, delta).tasks, before);
    } catch {
      this.#told.delete(turn.runId);
      this.refresh(150);
    }
  }

  /** Takes over what a run tells, and only that: others change tasks, too, and each run tells what it has seen itself. */
  #hear(turn, now, before) {
    this.#told.set(turn.runId, now);
    if (!before && now.length < MOST_TOLD) {
      this.#beyond = 0;
      return this.#replace(now);
    }
    const old = new Map((before ?? []).map((task) => [task.id, task]));
    const merged = new Map(this.#byId);
    for (const id of old.keys()) if (!now.some((task) => task.id === id)) merged.delete(id);
    for (const task of now) if (differs(old.get(task.id), task)) merged.set(task.id, task);
    const same = merged.size === now.length && now.every(({ id }) => merged.has(id));
    // The order is the run's if there is nothing else; otherwise the list has to be read for it.
    this.#replace(same ? now.map(({ id }) => merged.get(id)) : [...merged.values()]);
    if (!same) this.refresh(150);
  }

  #learn(turn, toolCallId) {
    const call = turn.parts.find((part) => part.id === toolCallId);
    if (!call) return;
    for (const { id, title } of call.result?.tasks ?? []) this.#titles.set(id, title);
    if (call.result?.task_id && call.args?.title) this.#titles.set(call.result.task_id, call.args.title);
    if (tookEffect(call) && !this.#told.has(turn.runId)) this.refresh(150);
  }

  async #read() {
    this.#due = Infinity;
    if (this.#reading) return this.refresh(PAUSE);
    this.#reading = true;
    const read = ++this.#reads;
    try {
      const { rows, total } = await this.#api.tasks();
      if (read === this.#reads) {
        this.#beyond = Math.max(0, (total ?? 0) - rows.length);
        this.#replace(rows);
      } else {
        // What a run told meanwhile may be newer than this answer, or know less of what others did.
        this.refresh(PAUSE);
      }
    } catch {
      if (this.state !== "there") {
        this.state = "failed";
        this.dispatchEvent(new CustomEvent("change", { detail: [] }));
      }
    }
    this.#reading = false;
    this.#readUntil = Date.now();
  }

  #replace(tasks) {
    this.#reads++;
    const before = this.#byId;
    const first = this.state !== "there";
    this.state = "there";
    this.#byId = new Map(tasks.map((task) => [task.id, task]));
    for (const task of tasks) this.#titles.set(task.id, task.title);
    const changed = first ? [] : tasks.filter((task) => differs(before.get(task.id), task)).map((task) => task.id);
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }
}

function differs(old, task) {
  return !old || old.title !== task.title || old.completed !== task.completed || (old.description ?? "") !== (task.description ?? "");
}

// The task list as the server last told it: read over HTTP, and live from the state events of a run. Read-only: only the
// agent changes tasks.

import { applyPatch } from "./json-patch.js";

const CHANGING = new Set(["add_task", "complete_task", "delete_task", "update_task"]);

/** Events: `change` (`detail`: ids of tasks that are new or differ; empty on the first load). */
export class Tasks extends EventTarget {
  #api;
  #byId = new Map();
  /** Titles of every task ever heard of, deleted ones too. */
  #titles = new Map();
  /** Runs whose state events this page follows from their snapshot on. */
  #followed = new Set();
  #timer = 0;
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

  title(id) {
    return this.#titles.get(id);
  }

  /** Reads the list soon; several wishes become one request. */
  refresh(delay = 0) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), delay);
  }

  /** Takes in an event of a run; `turn` knows the names of its tool calls. */
  receive(turn, event) {
    switch (event.type) {
      case "STATE_SNAPSHOT":
        if (!Array.isArray(event.snapshot?.tasks)) break;
        this.#followed.add(turn.runId);
        this.#replace(event.snapshot.tasks);
        break;
      case "STATE_DELTA":
        this.#patch(turn, event.delta);
        break;
      case "TOOL_CALL_RESULT":
        this.#learn(turn, event.toolCallId);
        break;
      case "RUN_FINISHED":
      case "RUN_ERROR":
        // Another conversation may have changed tasks meanwhile.
        this.#followed.delete(turn.runId);
        this.refresh(300);
        break;
    }
  }

  #patch(turn, delta) {
    if (!this.#followed.has(turn.runId)) return this.refresh(150);
    try {
      this.#replace(applyPatch({ tasks: [...this.#byId.values()] }, delta).tasks);
    } catch {
      this.#followed.delete(turn.runId);
      this.refresh(150);
    }
  }

  #learn(turn, toolCallId) {
    const call = turn.parts.find((part) => part.id === toolCallId);
    if (!call) return;
    for (const { id, title } of call.result?.tasks ?? []) this.#titles.set(id, title);
    if (call.result?.task_id && call.args?.title) this.#titles.set(call.result.task_id, call.args.title);
    if (CHANGING.has(call.name) && call.state === "done" && !this.#followed.has(turn.runId)) this.refresh(150);
  }

  async #read() {
    const read = ++this.#reads;
    try {
      const tasks = await this.#api.tasks();
      // Events that came meanwhile are newer than this answer.
      if (read === this.#reads) this.#replace(tasks);
    } catch {
      if (this.state !== "there") {
        this.state = "failed";
        this.dispatchEvent(new CustomEvent("change", { detail: [] }));
      }
    }
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

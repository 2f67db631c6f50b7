// One conversation as it is read: its turns, built from two sources that may overlap, the stored messages and the stream of
// AG-UI events. Pure state, no network and no DOM.

import { Turn } from "./turn.js";

/** The turns of a conversation. Events: `change` (`detail`: the turn, or null for all of them). */
export class Transcript extends EventTarget {
  #turns = new Map();
  /** The last seq seen of each run. */
  #seen = new Map();

  constructor(id, title = null) {
    super();
    /** Null until the server has made the conversation. */
    this.id = id;
    this.title = title;
    /** "new", "loading", "there", "missing", "deleted" or "failed". */
    this.state = id ? "loading" : "new";
    /** What stands before the turns that are there: "none", "more", "loading", or "failed" if that could not be read. */
    this.earlier = "none";
    /** The last event seen, to resume after it. */
    this.last = null;
  }

  get turns() {
    return [...this.#turns.values()];
  }

  get active() {
    return this.turns.filter((turn) => turn.active);
  }

  turn(runId) {
    return this.#turns.get(runId);
  }

  /** A message on its way. */
  add(runId, text, sentAt = new Date().toISOString()) {
    const turn = this.#obtain(runId);
    turn.text = text;
    turn.sentAt = sentAt;
    turn.status = "sending";
    this.changed(turn);
    return turn;
  }

  /** The server knows this run under another id. */
  rename(runId, newId) {
    const turns = this.turns;
    const [turn, known] = [this.turn(runId), this.turn(newId)];
    if (known) {
      // The stream was first, and it knows more.
      known.text ??= turn.text;
      known.sentAt ??= turn.sentAt;
      this.drop(turn);
      if (turn.before) this.goOn(turn.before.runId, newId);
      return;
    }
    turn.runId = newId;
    this.#turns = new Map(turns.map((turn) => [turn.runId, turn]));
    this.changed(null);
  }

  /** Takes a turn back that the server does not want. */
  drop(turn) {
    if (turn.before?.after === turn) turn.before.after = null;
    this.#turns.delete(turn.runId);
    this.changed(null);
  }

  /** Another run goes on from this one: it stands behind it, whenever it was made. Returns its turn. */
  goOn(runId, newId) {
    const [turn, next] = [this.#obtain(runId), this.#obtain(newId)];
    if (turn.after === next || turn === next) return next;
    turn.after = next;
    next.before = turn;
    if (turn.status === "waiting") turn.decided();
    this.#order();
    this.changed(null);
    return next;
  }

  changed(turn) {
    this.dispatchEvent(new CustomEvent("change", { detail: turn }));
  }

  /** Takes an event in. Returns its turn; null for one seen before, false when events before it are missing. */
  receive({ runId, seq, event }) {
    const before = this.#seen.get(runId) ?? 0;
    if (seq <= before) return null;
    if (seq > before + 1) return false;
    this.#seen.set(runId, seq);
    this.last = { runId, seq };
    const turn = this.#obtain(runId);
    if (event.type === "TOOL_CALL_RESULT" && !turn.toolPart(event.toolCallId)) this.#answer(event);
    // Somebody decided or tried again, perhaps in another tab.
    if (event.type === "RUN_STARTED" && event.parentRunId) this.goOn(event.parentRunId, runId);
    turn.apply(event);
    this.changed(turn);
    return turn;
  }

  /** The result of a call that an earlier run had asked for, before it waited for a decision. */
  #answer(event) {
    const turn = this.turns.find((turn) => turn.toolPart(event.toolCallId));
    if (!turn) return;
    turn.answer(event);
    this.changed(turn);
  }

  /** Forgets the stream, not what was read: the active run will be replayed from its start. */
  forgetStream() {
    this.last = null;
    this.#seen.clear();
    for (const turn of this.#turns.values()) if (turn.active) turn.parts = [];
  }

  /**
   * Takes in stored messages, in their order: the newest ones, or (`earlier`) those right before what is there. Turns that are
   * being streamed keep what the stream said.
   */
  merge(messages, { earlier = false } = {}) {
    const stored = new Map();
    for (const { run_id: runId, role, content, partial, created_at: at } of messages) {
      const turn = this.#obtain(runId);
      stored.set(runId, turn);
      turn.isStored = true;
      if (role === "user") {
        turn.text = content;
        turn.sentAt = at;
      } else if (!turn.ended && turn.parts.length === 0) {
        turn.status = partial ? "cancelled" : "completed";
        turn.repliedAt = at;
        turn.parts = [{ kind: "text", id: `${runId}/reply`, text: content, open: false }];
      }
    }
    const others = [...this.#turns].filter(([runId]) => !stored.has(runId));
    // What is stored and not among the newest is older; what is not stored yet is newer than all of it.
    const older = earlier ? [] : others.filter(([, turn]) => turn.isStored);
    const newer = earlier ? others : others.filter(([, turn]) => !turn.isStored);
    this.#turns = new Map([...older, ...stored, ...newer]);
    this.#order();
    this.changed(null);
  }

  /** Forgets what was read, for there is a hole behind it. */
  forgetStored() {
    for (const [runId, turn] of this.#turns) if (turn.isStored && !turn.active) this.#turns.delete(runId);
  }

  /** What goes on from a turn stands right behind it. */
  #order() {
    const ordered = new Map();
    for (const first of this.#turns.values()) {
      if (first.before) continue;
      for (let turn = first; turn && !ordered.has(turn.runId); turn = turn.after) ordered.set(turn.runId, turn);
    }
    for (const [runId, turn] of this.#turns) if (!ordered.has(runId)) ordered.set(runId, turn);
    this.#turns = ordered;
  }

  #obtain(runId) {
    if (!this.#turns.has(runId)) this.#turns.set(runId, new Turn(runId));
    return this.#turns.get(runId);
  }
}

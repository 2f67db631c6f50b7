// What a turn did to the list, told once: a line for all of it, and a row for each task. Pure state, no network and no DOM.

import { tellCall, titleIn } from "./phrases.js";

/** What a call that has been made did; the rest of the tools change nothing. */
const VERBS = {
  add_task: () => "added",
  complete_task: () => "completed",
  delete_task: () => "deleted",
  update_task: ({ completed, restore }) => (restore === true ? "restored" : completed === true ? "completed" : completed === false ? "reopened" : "changed"),
};
const ORDER = ["added", "completed", "reopened", "changed", "restored", "deleted"];

/** What takes each back, as a method of the task list. What a change has overwritten is not known. */
const UNDO = { added: "remove", completed: "untick", reopened: "tick", restored: "remove", deleted: "restore" };

/**
 * `rows`: `{id, title, verb, task, part, undo}` of each task that was changed, in order; `line`: what they come to, as `{icon, text, subject}`;
 * `troubles`: calls that failed, were stopped or rejected; `running`: the call that is being made; `calls`: all calls there are.
 */
export function receiptOf(turn, titleOf) {
  const calls = turn.parts.filter((part) => part.kind === "tool" && !part.superseded);
  const rows = new Map();
  for (const part of calls) {
    const verb = part.state === "done" && Object.hasOwn(VERBS, part.name) ? VERBS[part.name](asked(part)) : null;
    if (verb === null) continue;
    const id = idOf(part);
    const known = rows.get(id);
    rows.set(id ?? part.id, known ? again(known, verb, part) : { id, verb, part, task: part.result?.task ?? null, title: titleIn(part, titleOf), undo: undoOf(verb, part) });
  }
  return {
    calls,
    rows: [...rows.values()],
    line: summary([...rows.values()], titleOf),
    troubles: calls.filter(({ state }) => state === "failed" || state === "stopped" || state === "rejected"),
    running: calls.findLast(({ state }) => state === "running") ?? null,
  };
}

/** One that comes again has moved on to its next date, and its last date is not known here. */
function undoOf(verb, part) {
  const hasMovedOn = verb === "completed" && (part.result?.next_due || part.result?.task?.completed === false);
  return hasMovedOn ? null : UNDO[verb] ?? null;
}

/** A task that one turn changes more than once: what was added is added, whatever came behind; else the last counts. */
function again(known, verb, part) {
  const task = part.result?.task ?? known.task;
  if (known.verb === "added" && verb !== "deleted") return { ...known, task, title: task?.title ?? known.title };
  return { ...known, verb, part, task, undo: verb === "deleted" ? UNDO.deleted : null };
}

function summary(rows, titleOf) {
  if (rows.length === 0) return null;
  if (rows.length === 1) return { ...tellCall(rows[0].part, titleOf), row: rows[0] };
  const counts = ORDER.map((verb) => [verb, rows.filter((row) => row.verb === verb).length]).filter(([, number]) => number > 0);
  const [first, ...others] = counts.map(([verb, number], index) => `${verb} ${number}${index === 0 ? ` task${number === 1 ? "" : "s"}` : ""}`);
  return { icon: counts.length === 1 ? tellCall(rows[0].part, titleOf).icon : "check", text: [capital(first), ...others].join(", ") };
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
const asked = (part) => (part.args !== null && typeof part.args === "object" ? part.args : {});
const idOf = (part) => part.result?.task_id ?? part.result?.task?.id ?? asked(part).task_id ?? null;

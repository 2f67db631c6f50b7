// The views of the list: what belongs into each and in which order, as the server has it. So a change is in its place before the answer is.

import { plusDays } from "./dates.js";
import { today } from "./zone.js";

/** The next days that `upcoming` has. */
const UPCOMING = 7;

/** How each view is asked for. */
export const VIEWS = {
  today: { view: "today" },
  upcoming: { view: "upcoming" },
  all: { completed: false },
  done: { view: "completed" },
};

const WITHIN = {
  today: (task, day) => !task.completed && Boolean(task.due_date) && task.due_date <= day,
  upcoming: (task, day) => !task.completed && Boolean(task.due_date) && task.due_date > day && task.due_date <= plusDays(day, UPCOMING),
  all: (task) => !task.completed,
  done: (task) => task.completed,
};

/** Whether a task is in a view. */
export const isIn = (view, task) => Boolean(task) && !task.deleted && WITHIN[view](task, today());

/** Whether a task is what was asked for; a text is looked for in all views. */
export function matches({ view, search, tag }, task) {
  if (!task || task.deleted) return false;
  if (tag && !(task.tags ?? []).some((own) => own.toLowerCase() === tag.toLowerCase())) return false;
  if (!search) return isIn(view, task);
  return `${task.title}\n${task.description ?? ""}`.toLowerCase().includes(search.toLowerCase());
}

/** The API's query for what is asked for. */
export function queryOf({ view, search, tag }) {
  return { ...(search ? { search } : VIEWS[view]), tags: tag ? [tag] : undefined };
}

const byDue = (task) => `${task.due_date ?? "~"} ${task.due_time ?? "~"} ${task.priority} ${task.id}`;
const byEnd = (task) => `${task.completed_at} ${task.id}`;

/** Puts tasks into the order in which the server gives them; of those that were found the open ones first. */
export function sorted({ view, search }, tasks) {
  const isByEnd = !search && view === "done";
  const key = search ? (task) => `${task.completed ? 1 : 0} ${task.id}` : isByEnd ? byEnd : byDue;
  const keyed = tasks.map((task) => [key(task), task]);
  keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (isByEnd ? -1 : 1));
  return keyed.map(([, task]) => task);
}

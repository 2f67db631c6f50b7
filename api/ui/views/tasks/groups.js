// The headings under which the tasks of a view stand.

import { dayName, daysBetween, isOver, plusDays, shortDate } from "../../dates.js";
import { clockAt, now } from "../../zone.js";

/** Groups of tasks in their order: `id`, `title`, `tasks`; `isPlain` if the title says nothing that the view does not. */
export function groupsOf({ view, search }, tasks) {
  const at = now();
  const group = search ? byState : { today: byUrgency, upcoming: byDay, all: byDistance, done: byEnd }[view];
  const groups = new Map();
  for (const task of tasks) {
    const [id, title] = group(task, at);
    if (!groups.has(id)) groups.set(id, { id, title, tasks: [] });
    groups.get(id).tasks.push(task);
  }
  return [...groups.values()];
}

const byState = ({ completed }) => (completed ? ["done", "Done"] : ["open", "Open"]);
const byUrgency = (task, at) => (isOver(task, at) ? ["overdue", "Overdue"] : ["today", "Today"]);

function byDay({ due_date: date }, at) {
  const name = dayName(date, at.date);
  const exact = shortDate(date, at.date);
  return [date, name === exact ? exact : `${name} · ${exact.split(", ")[1]}`];
}

function byDistance(task, at) {
  const { due_date: date } = task;
  if (!date) return ["undated", "No date"];
  if (isOver(task, at)) return ["overdue", "Overdue"];
  const days = daysBetween(at.date, date);
  if (days === 0) return ["today", "Today"];
  if (days === 1) return ["tomorrow", "Tomorrow"];
  return date <= plusDays(at.date, 7) ? ["week", "Next 7 days"] : ["later", "Later"];
}

function byEnd({ completed_at: end }, at) {
  const date = end ? clockAt(new Date(end)).date : at.date;
  return [date, dayName(date, at.date)];
}

// What a task has besides its name, as small chips: when it is due, how it repeats, how much it matters, its tags.

import { dayName, isOver } from "../dates.js";
import { h, icon } from "../dom.js";
import { inWords } from "../repeat.js";
import { now } from "../zone.js";

/** Tags that are shown; the others are a number. */
const MOST_TAGS = 3;

/** Whether there is anything to show of a task. */
export const hasChips = (task) => Boolean(task && (task.due_date || task.repeat || task.tags?.length || (task.priority && task.priority !== "p4")));

/** The chips of a task, as one element. Days are told as they are seen today, and not as they were when the agent spoke of them. */
export function chipsOf(task) {
  const element = h("span", { class: "task-chips" });
  if (task.due_date) element.append(due(task));
  if (task.repeat) element.append(h("span", { class: "task-chip" }, icon("repeat"), inWords(task.repeat)));
  if (task.priority && task.priority !== "p4") {
    element.append(h("span", { class: `task-chip is-${task.priority}`, title: `Priority ${task.priority.slice(1)}`, text: task.priority.toUpperCase() }));
  }
  const tags = task.tags ?? [];
  for (const tag of tags.slice(0, MOST_TAGS)) element.append(h("span", { class: "task-chip is-tag", dir: "auto", text: `#${tag}` }));
  if (tags.length > MOST_TAGS) element.append(h("span", { class: "task-chip is-tag", title: tags.slice(MOST_TAGS).join(", "), text: `+${tags.length - MOST_TAGS}` }));
  return element;
}

function due(task) {
  const at = now();
  const isLate = !task.completed && isOver(task, at);
  const words = `${dayName(task.due_date, at.date)}${task.due_time ? ` ${task.due_time}` : ""}`;
  const when = `${task.due_date}${task.due_time ? `T${task.due_time}` : ""}`;
  return h("time", { class: isLate ? "task-chip is-late" : "task-chip", datetime: when, title: task.due?.split(", ").slice(0, 2).join(", ") }, isLate ? `${words}, overdue` : words);
}

// One task of the list: its box, its words, what is to be known of it, and what went wrong with it.

import { dueInWords, isOver, shortDate } from "../../dates.js";
import { h, icon } from "../../dom.js";
import { inWords } from "../../repeat.js";
import { now } from "../../zone.js";

export const PRIORITIES = { p1: "Priority 1", p2: "Priority 2", p3: "Priority 3", p4: "No priority" };

/** Changes whenever the row has to be drawn again; `group` is the heading that it stands under. */
export function drawingOf(task, problem, group) {
  const words = whenOf(task, group)?.text;
  return JSON.stringify([
    task.id, task.title, task.description, task.completed, task.due, words, task.priority, task.tags, task.repeat, Boolean(task.isNew), problem?.message,
  ]);
}

/** What stands in a row. `data-part` names what can have the focus. */
export function draw(task, problem, group) {
  const meta = `task-meta-${task.key}`;
  const name = task.title;
  const box = h("button", {
    class: "task-check", type: "button", role: "checkbox", "aria-checked": String(task.completed), "aria-label": name, "aria-describedby": meta,
    "data-part": "check", "data-act": "tick", tabindex: -1, disabled: task.isNew, title: task.completed ? "Open again (x)" : "Done (x)",
  }, h("span", { class: "task-box", "aria-hidden": "true" }, icon("check")));
  const words = h("button", {
    class: "task-open", type: "button", "aria-expanded": "false", "aria-describedby": meta, "data-part": "open", "data-act": "edit", tabindex: -1, title: "Edit (e)",
  },
  h("span", { class: "task-title", dir: "auto", text: task.title }),
  task.description ? h("span", { class: "task-description", dir: "auto", text: task.description }) : null);
  return [box, words, aboutOf(task, group, meta, Boolean(problem)), problem ? problemOf(task, problem) : null].filter(Boolean);
}

function aboutOf(task, group, id, hasFailed) {
  const when = whenOf(task, group);
  const important = task.priority && task.priority !== "p4";
  const parts = [
    task.due_date ? h("span", { class: "visually-hidden", text: `Due ${task.completed ? task.due : dueInWords(task, now())}. ` }) : null,
    when ? h("span", { class: `fact is-when${when.isOver ? " is-over" : ""}`, "aria-hidden": "true", title: task.due }, icon(when.isOver ? "alert" : "calendar"), h("span", { text: when.text })) : null,
    task.repeat ? h("span", { class: "fact is-repeat", title: task.repeat }, icon("repeat"), h("span", { text: inWords(task.repeat) })) : null,
    important ? h("span", { class: "fact is-priority", title: PRIORITIES[task.priority] }, icon("flag"), h("span", { "aria-hidden": "true", text: task.priority.toUpperCase() }), h("span", { class: "visually-hidden", text: `${PRIORITIES[task.priority]}. ` })) : null,
    task.isNew && !hasFailed ? h("span", { class: "fact", text: "Adding…" }) : null,
  ];
  const tags = (task.tags ?? []).map((tag) => h("button", {
    class: "tag", type: "button", "data-act": "tag", "data-tag": tag, "data-part": `tag:${tag}`, tabindex: -1, title: `Only tasks with this tag`,
  }, "#", h("bdi", { text: tag })));
  const facts = parts.filter(Boolean);
  return h("div", { class: facts.length || tags.length ? "task-about" : "task-about is-empty" }, h("span", { id, class: "task-facts" }, ...facts), ...tags);
}

/** When it is due, as shortly as the heading allows; null if there is nothing to add. */
function whenOf(task, group) {
  const { due_date: date, due_time: time } = task;
  if (!date) return null;
  const at = now();
  if (!task.completed && isOver(task, at)) return { text: dueInWords(task, at).split(", ").at(-1), isOver: true };
  const isSaid = ["today", "tomorrow", date].includes(group) && !task.completed;
  const text = [isSaid ? null : date === at.date && !task.completed ? "today" : shortDate(date, at.date), time].filter(Boolean).join(", ");
  return text ? { text, isOver: false } : null;
}

function problemOf(task, { message, retry, fields }) {
  const button = (act, text) => h("button", { class: "text-button", type: "button", "data-act": act, "data-part": act, text });
  return h("div", { class: "task-problem" },
    icon("alert"),
    h("p", { class: "task-problem-words", text: `${task.isNew ? "Not added" : "Not changed"}: ${message}` }),
    h("span", { class: "task-problem-buttons" },
      retry ? button("retry", "Try again") : null,
      fields ? button("amend", "Edit") : null,
      button("dismiss", task.isNew ? "Discard" : "Dismiss")));
}

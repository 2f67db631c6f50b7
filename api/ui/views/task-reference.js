// The name of a task in the conversation: a click shows the task in the list.

import { h } from "../dom.js";

/** A button with a task's name. It asks for the task to be shown; whoever has the list listens to `errand:show-task`. */
export function taskReference(id, title) {
  const show = () => document.dispatchEvent(new CustomEvent("errand:show-task", { detail: { id } }));
  return h("button", { type: "button", class: "task-reference", title: "Show in the list", on: { click: show } }, h("bdi", { text: title }));
}

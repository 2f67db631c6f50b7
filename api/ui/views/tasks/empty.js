// What is said where there are no tasks: in each view something else that helps.

import { h } from "../../dom.js";

const STATES = {
  today: { title: "Nothing is due today", text: "A task shows up here on its day, and stays until it is done. Give it a date when you add it, or say “pay rent tomorrow” in the chat." },
  upcoming: { title: "A free week", text: "Here stands what is due in the next seven days, day by day. Try “call Ann on Friday at 5” in the chat." },
  all: { title: "An empty list", text: "Add a task above, or say what needs doing in the chat: it shows up here, as it happens." },
  done: { title: "Nothing is done yet", text: "Tick a task and it is kept here, with the day on which it was done. One more tick opens it again." },
};

/** `act(name)`: "all", "clear" or "again" was clicked. */
export function emptyFor({ view, search, tag }, { counts, act }) {
  const button = (name, text, icon) => h("button", { class: "secondary", type: "button", icon, on: { click: () => act(name) } }, text);
  if (search) {
    return box({ title: "Nothing found", text: ["No task has ", h("bdi", { text: `“${search}”` }), " in its title or its details. All are looked through: open and done."] }, null, button("clear", "Clear the search"));
  }
  if (tag) return box({ title: "Nothing here", text: ["No task of this view has the tag ", h("bdi", { text: `#${tag}` }), "."] }, null, button("clear", "Show all tags"));
  const left = counts?.all ?? 0;
  if (view === "all" && counts?.done) return box({ title: "All done", text: "Nothing is left on the list. What you add next stands here." }, "done");
  const more = (view === "today" || view === "upcoming") && left ? button("all", left === 1 ? "Show the 1 open task" : `Show all ${left} open tasks`) : null;
  return box(STATES[view], view, more);
}

export function failed(act) {
  return box({ title: "Your tasks could not be loaded", text: "They are safe where they are." }, null,
    h("button", { class: "secondary", type: "button", icon: "retry", on: { click: () => act("again") } }, "Try again"));
}

export function ghosts() {
  return h("div", { class: "ghosts", "aria-hidden": "true" }, ...[0, 1, 2, 3].map(() => h("div", { class: "ghost" })));
}

function box({ title, text }, picture, button = null) {
  return h("div", { class: "tasks-empty" },
    picture ? h("div", { class: `paper is-${picture}`, "aria-hidden": "true" }, ...[0, 1, 2].map(() => h("span", {}))) : null,
    h("p", { class: "tasks-empty-title", text: title }),
    h("p", {}, ...[text].flat()),
    button);
}

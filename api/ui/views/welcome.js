// A conversation in which there is nothing yet: what can be said, or why there is nothing.

import { isOver } from "../dates.js";
import { h } from "../dom.js";
import { tellError } from "../phrases.js";
import { addressOf } from "../router.js";
import { EMPTY, PLAN, suggestionsFor } from "../suggestions.js";
import { now } from "../zone.js";

export class Welcome {
  #tasks;
  #userName;
  #send;
  #draft;
  #reload;
  #shown = null;
  #key = "";
  #chips = h("div", { class: "suggestions", role: "group", "aria-label": "Suggestions: a click sends them" });
  #suggested = "";

  /** `send(text)` sends a message, `draft(text)` puts one into the box, `reload()` reads the conversation again. */
  constructor({ tasks, userName, send, draft, reload }) {
    this.#tasks = tasks;
    this.#userName = userName;
    this.#send = send;
    this.#draft = draft;
    this.#reload = reload;
  }

  /** What stands in place of turns. The same element while it says the same: it keeps its focus. */
  element({ state, error }) {
    if (state === "new" || state === "there") this.#suggest();
    const key = `${state} ${error?.code}`;
    if (this.#key !== key) this.#shown = this.#make(state, error);
    this.#key = key;
    return this.#shown;
  }

  #make(state, error) {
    if (state === "loading") {
      return h("div", { class: "thread-ghosts", "aria-label": "Loading", role: "img" }, h("div", { class: "ghost" }), h("div", { class: "ghost" }), h("div", { class: "ghost" }));
    }
    if (state === "missing") {
      return notice("Nothing here", "This conversation was deleted, never existed, or belongs to somebody else.",
        h("a", { class: "primary", href: addressOf(null), text: "Start a new one" }));
    }
    if (state === "failed") {
      return notice("That did not load", tellError(error), h("button", { class: "primary", text: "Try again", on: { click: () => this.#reload() } }));
    }
    return notice(this.#userName ? `What needs doing, ${this.#userName}?` : "What needs doing?",
      "Say it in your own words. Errand keeps the list, and shows every step it takes.", this.#prompts(), this.#chips);
  }

  /** Where to begin without a thought of one's own: with the day, or with all that is on one's mind. */
  #prompts() {
    const prompt = ({ label, icon, text }, act) => h("button", { type: "button", class: "prompt", icon, on: { click: () => act(text) } }, h("span", { text: label }));
    return h("div", { class: "prompts", role: "group", "aria-label": "Ways to begin" }, prompt(PLAN, this.#send), prompt(EMPTY, this.#draft));
  }

  /** Suggestions that fit the list; none before it is known. */
  #suggest() {
    const { counts, rows } = this.#tasks;
    if (!counts) return;
    const at = now();
    const texts = suggestionsFor(counts, rows.some((task) => !task.completed && isOver(task, at)));
    if (texts.join() === this.#suggested) return;
    this.#suggested = texts.join();
    const hadFocus = this.#chips.contains(document.activeElement);
    this.#chips.replaceChildren(...texts.map((text) => h("button", { type: "button", class: "suggestion", on: { click: () => this.#send(text) } }, h("span", { text }))));
    if (hadFocus) this.#chips.firstChild.focus();
  }
}

/** A large sentence, what it means, and what to do. */
export function notice(title, text, ...actions) {
  return h("div", { class: "welcome" }, h("p", { class: "welcome-title", text: title }), h("p", { class: "welcome-lead", text }), ...actions);
}

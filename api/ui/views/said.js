// What the user said: the message, what it waits for, and what can be done with it.

import { h, icon, time } from "../dom.js";
import { copyButton } from "./copy.js";

export class Said {
  #turn;
  #actions;
  #head = h("h2", { class: "visually-hidden", text: "You" });
  #bubble = h("div", { class: "bubble", dir: "auto" });
  #tools = h("div", { class: "said-tools" });
  #waiting = h("p", { class: "waiting" });
  #key = null;
  #sentAt = null;

  constructor(turn, actions) {
    this.#turn = turn;
    this.#actions = actions;
    this.element = h("div", { class: "from-user" }, this.#head, h("div", { class: "said" }, this.#bubble, this.#tools), this.#waiting);
  }

  /** `waiting`: what the message waits for; null if nothing. */
  update(waiting) {
    const turn = this.#turn;
    const isMessage = turn.text !== null;
    this.element.firstChild.hidden = !isMessage;
    this.#bubble.parentElement.hidden = !isMessage;
    if (isMessage && this.#bubble.textContent !== turn.text) this.#bubble.textContent = turn.text;
    this.element.hidden = !isMessage && waiting === null;
    if (isMessage) this.#updateTools();
    const key = `${waiting} ${turn.status} ${turn.stopping}`;
    if (key === this.#key) return;
    this.#key = key;
    this.#waiting.hidden = waiting === null;
    if (waiting === null) return;
    this.#waiting.replaceChildren(icon("clock"), waiting);
    if (turn.status === "queued" && !turn.stopping) {
      this.#waiting.append(h("button", { type: "button", class: "text-button", text: "Cancel", on: { click: () => this.#actions.cancel() } }));
    }
  }

  #updateTools() {
    const { sentAt } = this.#turn;
    if (this.#sentAt === sentAt && this.#tools.firstChild) return;
    this.#sentAt = sentAt;
    const edit = h("button", {
      type: "button", class: "icon-button is-small edit", icon: "pencil", "aria-label": "Edit and send as a new message",
      title: "Edit and send as a new message", on: { click: () => this.#actions.edit(this.#turn.text) },
    });
    this.#tools.replaceChildren(...(sentAt ? [time(sentAt)] : []), copyButton("Copy the message", () => this.#turn.text), edit);
  }
}

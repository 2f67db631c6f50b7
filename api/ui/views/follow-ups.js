// What may be said next, under the last reply: one click sends it.

import { h } from "../dom.js";

export class FollowUps {
  #turn;
  #send;
  #shown = null;
  element = h("div", { class: "follow-ups", role: "group", "aria-label": "What you may want to say next: a click sends it" });

  /** `send(text)` sends a message. */
  constructor(turn, send) {
    this.#turn = turn;
    this.#send = send;
  }

  update() {
    const { status, suggestions } = this.#turn;
    const shown = status === "completed" ? suggestions : [];
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.element.replaceChildren(...shown.map((text) => h("button", { type: "button", class: "follow-up", on: { click: () => this.#send(text) } }, h("span", { dir: "auto", text }))));
    this.element.hidden = shown.length === 0;
  }
}

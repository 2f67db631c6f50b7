// Exactly what a turn called, with what, and what came back: every call of it, behind one button.

import { h } from "../dom.js";
import { settle } from "./settle.js";
import { ToolCard } from "./tool-card.js";

let all = 0;

export class TurnDetails {
  #cards = new Map();
  #calls = [];
  #titleOf = () => undefined;

  constructor() {
    this.element = h("div", { class: "turn-details", id: `details-${++all}`, role: "group", "aria-label": "What was called" });
    this.element.hidden = true;
    this.button = h("button", {
      type: "button", class: "details-button", "aria-expanded": "false", "aria-controls": this.element.id, on: { click: () => this.#toggle() },
    }, "Details");
  }

  update(calls, titleOf) {
    this.#calls = calls;
    this.#titleOf = titleOf;
    // Nobody sees them; and a long conversation has many.
    if (!this.element.hidden) this.#render();
  }

  #toggle() {
    this.element.hidden = !this.element.hidden;
    this.button.setAttribute("aria-expanded", String(!this.element.hidden));
    this.#render();
  }

  #render() {
    settle(this.element, this.#calls.map((part) => {
      const card = this.#cards.get(part.id) ?? new ToolCard();
      this.#cards.set(part.id, card);
      card.update(part, this.#titleOf);
      return card.element;
    }));
  }
}

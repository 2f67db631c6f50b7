// What a run waits for: each call with a yes and a no. The decision goes out when there is an answer for every call.

import { h } from "../dom.js";
import { tellError, tellWish } from "../phrases.js";

export class ApprovalView {
  #turn;
  #decide;
  #answers = new Map();
  #error = h("p", { class: "approval-error", role: "alert" });

  /** `decide(decisions)`: a promise that is rejected if the decision did not arrive. */
  constructor(turn, decide) {
    this.#turn = turn;
    this.#decide = decide;
    this.#error.hidden = true;
    this.element = h("div", { class: "approval", role: "group", "aria-label": "Your answer is needed" },
      ...turn.interrupts.map((interrupt) => this.#row(interrupt)), this.#error);
  }

  #row(interrupt) {
    const { text, hint, changes, yes, no, isDanger } = tellWish(interrupt);
    const words = h("div", { class: "approval-words" }, h("p", { class: "approval-question", text }),
      hint ? h("p", { class: "approval-hint", text: hint }) : null, ...this.#changes(changes));
    const choose = (approved) => () => this.#answer(interrupt.id, approved, buttons);
    // The name of each says what it is about: a screen reader may come to it without the question.
    const buttons = [
      h("button", { type: "button", class: isDanger ? "danger-button approve" : "primary approve", "aria-label": `${yes}: ${text}`, on: { click: choose(true) } }, yes),
      h("button", { type: "button", class: "secondary reject", "aria-label": `${no}: ${text}`, on: { click: choose(false) } }, no),
    ];
    return h("div", { class: "approval-row" }, words, h("span", { class: "approval-buttons" }, ...buttons));
  }

  /** What becomes of each field: the old value first, because it is what goes. */
  #changes(changes) {
    if (changes.length === 0) return [];
    const row = ({ field, old, now }) => h("li", {}, h("span", { class: "approval-field", text: `${field}: ` }),
      ...(old === null ? [] : [h("span", { class: "approval-old", dir: "auto", text: old }), " → "]), h("span", { class: "approval-new", dir: "auto", text: now }));
    return [h("ul", { class: "approval-changes" }, ...changes.map(row))];
  }

  async #answer(id, approved, buttons) {
    this.#answers.set(id, approved);
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(approved === (index === 0))));
    if (this.#answers.size < this.#turn.interrupts.length) return;
    this.#disable(true);
    this.#error.hidden = true;
    try {
      await this.#decide(Object.fromEntries(this.#answers));
    } catch (error) {
      this.#disable(false);
      this.#error.textContent = tellError(error);
      this.#error.hidden = false;
    }
  }

  #disable(disabled) {
    for (const button of this.element.querySelectorAll("button")) button.disabled = disabled;
  }
}

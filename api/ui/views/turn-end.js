// How a turn ended, what can be done about it, and the line below it: copy, time, details.

import { h, time } from "../dom.js";
import { tellError, tellInterrupted } from "../phrases.js";
import { ApprovalView } from "./approval.js";
import { copyButton } from "./copy.js";
import { settle } from "./settle.js";

export class TurnEnd {
  #turn;
  #actions;
  #details;
  #key = "";
  #copy = copyButton("Copy the reply", () => this.#turn.reply);
  #time = null;

  /** `details`: what the button below opens. */
  constructor(turn, actions, details) {
    this.#turn = turn;
    this.#actions = actions;
    this.#details = details;
    this.element = h("div", { class: "turn-end" });
    this.foot = h("div", { class: "turn-foot" });
  }

  /** `calls`: how many there were. */
  update(calls) {
    const turn = this.#turn;
    const key = [turn.status, turn.error?.code, turn.refusal?.code, turn.reply.length, turn.detail, turn.interrupts.length,
      turn.after !== null, turn.tookEffect, calls > 0, turn.repliedAt].join();
    if (key === this.#key) return;
    this.#key = key;
    this.element.replaceChildren(...this.#verdict());
    this.element.hidden = this.element.childNodes.length === 0;
    this.#updateFoot(calls);
  }

  #updateFoot(calls) {
    const turn = this.#turn;
    const isOver = turn.ended && !turn.rejected;
    // A turn that goes on has its reply, and when it came, further down.
    const isRead = isOver && turn.reply !== "" && !turn.after;
    if (isRead && turn.repliedAt) this.#time ??= time(turn.repliedAt);
    const foot = [isRead ? this.#copy : null, isRead ? this.#time : null, isOver && calls > 0 ? this.#details.button : null].filter(Boolean);
    settle(this.foot, foot);
    this.foot.hidden = foot.length === 0;
  }

  #verdict() {
    const turn = this.#turn;
    if (turn.status === "failed" && turn.after) return [h("p", { class: "stopped", icon: "alert" }, tellInterrupted(turn))];
    if (turn.status === "failed") {
      return [h("div", { class: "failure" },
        h("p", { class: "failure-words", icon: "alert" }, h("span", { text: tellError(turn.error) })), this.#again(), ...this.#refusal())];
    }
    if (turn.status === "cancelled") {
      return [h("p", { class: "stopped", icon: "stop" }, tellInterrupted(turn), turn.known && !turn.after ? this.#again() : ""), ...this.#refusal()];
    }
    if (turn.status === "waiting" && turn.interrupts.length) return [new ApprovalView(turn, this.#actions.decide).element];
    if (turn.status === "waiting") return [h("p", { class: "stopped", icon: "approve" }, "Waiting for your answer.")];
    return [];
  }

  /** What was done stays done: then it goes on from there, and says so. */
  #again() {
    const [name, label] = this.#turn.tookEffect && !this.#turn.rejected ? ["play", "Continue"] : ["retry", "Try again"];
    return h("button", { class: "secondary", icon: name, on: { click: () => this.#actions.retry() } }, label);
  }

  #refusal() {
    const { refusal } = this.#turn;
    return refusal ? [h("p", { class: "refusal", role: "alert", text: tellError(refusal) })] : [];
  }
}

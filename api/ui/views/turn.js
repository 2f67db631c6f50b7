// One turn: the user's message, tool cards and texts of the agent in their order, and how it stands.

import { h, icon, time } from "../dom.js";
import { MarkdownView } from "../markdown.js";
import { tellError, tellInterrupted, tellWaiting } from "../phrases.js";
import { ApprovalView } from "./approval.js";
import { copyButton } from "./copy.js";
import { ToolCard } from "./tool-card.js";

export class TurnView {
  #turn;
  #actions;
  #user = h("div", { class: "from-user" });
  #bubble = h("div", { class: "bubble", dir: "auto" });
  #waiting = h("p", { class: "waiting" });
  #agent = h("div", { class: "from-agent" });
  #attempt = h("p", { class: "attempt" });
  #parts = h("div", { class: "parts" });
  #thinking = h("p", { class: "thinking" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", { class: "visually-hidden", text: "Errand is thinking" }));
  #end = h("div", { class: "turn-end" });
  #foot = h("div", { class: "turn-foot" });
  #views = new Map();
  #endKey = "";
  #userKey = "";

  /** `actions`: retry(turn), cancel(turn), decide(decisions); `context`: online(), titleOf(id). */
  constructor(turn, actions, context) {
    this.#turn = turn;
    this.#actions = actions;
    this.context = context;
    this.#user.append(h("h2", { class: "visually-hidden", text: "You" }), this.#bubble, this.#waiting);
    this.#agent.append(h("h2", { class: "visually-hidden", text: "Errand" }), this.#attempt, this.#parts, this.#thinking, this.#end, this.#foot);
    this.element = h("article", { class: "turn" }, this.#user, this.#agent);
    this.update();
  }

  update() {
    const turn = this.#turn;
    this.element.dataset.status = turn.status;
    // What goes on from another turn belongs to it.
    this.element.classList.toggle("goes-on", turn.before !== null);
    this.#updateUser();
    this.#updateParts();
    this.#attempt.hidden = !(turn.attempt > 1 && turn.active);
    this.#attempt.replaceChildren(icon("retry"), `The first try was interrupted. Going on where it was (attempt ${turn.attempt}).`);
    const writing = turn.parts.at(-1);
    this.#thinking.hidden = turn.status !== "running" || (writing?.kind === "text" && writing.open && writing.text !== "" && !writing.superseded)
      || (writing?.kind === "tool" && writing.state === "running" && !writing.superseded);
    this.#updateEnd();
    const said = [this.#attempt, this.#thinking, this.#end, this.#foot].some((element) => !element.hidden);
    this.#agent.hidden = turn.status === "sending" || turn.status === "queued" || !(said || this.#parts.firstChild);
  }

  #updateUser() {
    const turn = this.#turn;
    this.#bubble.hidden = turn.text === null;
    this.#user.firstChild.hidden = turn.text === null;
    if (turn.text !== null && this.#bubble.textContent !== turn.text) this.#bubble.textContent = turn.text;
    const waiting = tellWaiting(turn, this.context.online());
    const key = `${waiting} ${turn.status} ${turn.stopping}`;
    this.#user.hidden = turn.text === null && waiting === null;
    if (key === this.#userKey) return;
    this.#userKey = key;
    this.#waiting.hidden = waiting === null;
    if (waiting === null) return;
    this.#waiting.replaceChildren(icon("clock"), waiting);
    if (turn.status === "queued" && !turn.stopping) {
      this.#waiting.append(h("button", { class: "text-button", text: "Cancel", on: { click: () => this.#actions.cancel(turn) } }));
    }
  }

  #updateParts() {
    const parts = this.#turn.parts.filter((part) => !part.superseded && (part.kind === "tool" || part.text.trim() !== ""));
    const kept = new Set(parts.map((part) => part.id));
    for (const [id, view] of this.#views) {
      if (kept.has(id)) continue;
      view.element.remove();
      this.#views.delete(id);
    }
    let place = this.#parts.firstChild;
    for (const part of parts) {
      const view = this.#views.get(part.id) ?? this.#view(part);
      if (view.element === place) place = place.nextSibling;
      else this.#parts.insertBefore(view.element, place);
      if (part.kind === "tool") {
        view.update(part, this.context.titleOf);
      } else {
        view.update(part.text);
        view.element.classList.toggle("is-streaming", part.open);
      }
    }
  }

  #view(part) {
    const view = part.kind === "tool" ? new ToolCard() : new MarkdownView(h("div", { class: "md" }));
    this.#views.set(part.id, view);
    return view;
  }

  #updateEnd() {
    const turn = this.#turn;
    const key = [turn.status, turn.error?.code, turn.refusal?.code, turn.reply.length, turn.detail, turn.interrupts.length,
      turn.after !== null, turn.tookEffect].join();
    if (key === this.#endKey) return;
    this.#endKey = key;
    this.#end.replaceChildren(...this.#verdict());
    this.#end.hidden = this.#end.childNodes.length === 0;
    // A turn that goes on has its end, and what belongs there, further down.
    const foot = turn.ended && turn.reply && !turn.after ? [copyButton("Copy the reply", () => turn.reply), turn.repliedAt ? time(turn.repliedAt) : null] : [];
    this.#foot.replaceChildren(...foot.filter(Boolean));
    this.#foot.hidden = foot.length === 0;
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
    if (turn.status === "waiting") return [h("p", { class: "stopped", icon: "approve" }, "Waiting for an approval.")];
    return [];
  }

  /** What was done stays done: then it goes on from there, and says so. */
  #again() {
    const [name, label] = this.#turn.tookEffect && !this.#turn.rejected ? ["play", "Continue"] : ["retry", "Try again"];
    return h("button", { class: "secondary", icon: name, on: { click: () => this.#actions.retry(this.#turn) } }, label);
  }

  #refusal() {
    const { refusal } = this.#turn;
    return refusal ? [h("p", { class: "refusal", role: "alert", text: tellError(refusal) })] : [];
  }
}

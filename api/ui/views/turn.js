// One turn: the user's message, what the agent did and said, and how it stands.

import { h, icon } from "../dom.js";
import { MarkdownView } from "../markdown.js";
import { tellCall, tellWaiting } from "../phrases.js";
import { FollowUps } from "./follow-ups.js";
import { Receipt } from "./receipt.js";
import { Said } from "./said.js";
import { settle } from "./settle.js";
import { TurnDetails } from "./turn-details.js";
import { TurnEnd } from "./turn-end.js";

export class TurnView {
  #turn;
  #context;
  #said;
  #agent = h("div", { class: "from-agent" });
  #attempt = h("p", { class: "attempt" });
  #parts = h("div", { class: "parts" });
  #doing = h("span", { class: "doing" });
  #thinking = h("p", { class: "thinking" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), this.#doing);
  #end;
  #details = new TurnDetails();
  #receipt;
  #followUps;
  #texts = new Map();

  /** `actions`: retry(), cancel(), decide(decisions), edit(text), send(text); `context`: online(), titleOf(id), tasks. */
  constructor(turn, actions, context) {
    this.#turn = turn;
    this.#context = context;
    this.#receipt = new Receipt(context);
    this.#said = new Said(turn, actions);
    this.#followUps = new FollowUps(turn, actions.send);
    this.#end = new TurnEnd(turn, actions, this.#details);
    this.#agent.append(h("h2", { class: "visually-hidden", text: "Errand" }), this.#attempt, this.#parts, this.#thinking,
      this.#end.element, this.#end.foot, this.#details.element, this.#followUps.element);
    this.element = h("article", { class: "turn" }, this.#said.element, this.#agent);
    this.update();
  }

  update() {
    const turn = this.#turn;
    this.element.dataset.status = turn.status;
    // What goes on from another turn belongs to it.
    this.element.classList.toggle("goes-on", turn.before !== null);
    this.#said.update(tellWaiting(turn, this.#context.online()));
    const { calls, running } = this.#updateParts();
    this.#attempt.hidden = !(turn.attempt > 1 && turn.active);
    this.#attempt.replaceChildren(icon("retry"), `The first try was interrupted. Going on where it was (attempt ${turn.attempt}).`);
    this.#updateThinking(running);
    this.#end.update(calls.length);
    this.#details.update(calls, this.#context.titleOf);
    this.#followUps.update();
    const said = [this.#attempt, this.#thinking, this.#end.element, this.#end.foot].some((element) => !element.hidden);
    this.#agent.hidden = turn.status === "sending" || turn.status === "queued" || !(said || this.#parts.firstChild);
  }

  /** Texts in their order, and one receipt for all calls: where the first of them stands that has something to show. */
  #updateParts() {
    const turn = this.#turn;
    const receipt = this.#receipt.update(turn);
    const shown = new Set([...receipt.rows.map(({ part }) => part), ...receipt.troubles]);
    const elements = [];
    const texts = new Set();
    for (const part of turn.parts) {
      if (part.superseded) continue;
      if (shown.has(part) && !elements.includes(this.#receipt.element)) elements.push(this.#receipt.element);
      if (part.kind !== "text" || part.text.trim() === "") continue;
      texts.add(part.id);
      const view = this.#texts.get(part.id) ?? new MarkdownView(h("div", { class: "md" }));
      this.#texts.set(part.id, view);
      view.update(part.text);
      view.element.classList.toggle("is-streaming", part.open);
      elements.push(view.element);
    }
    for (const id of this.#texts.keys()) if (!texts.has(id)) this.#texts.delete(id);
    settle(this.#parts, elements);
    return receipt;
  }

  /** What it is at while no words come. */
  #updateThinking(running) {
    const turn = this.#turn;
    const writing = turn.parts.at(-1);
    this.#thinking.hidden = turn.status !== "running" || (writing?.kind === "text" && writing.open && writing.text.trim() !== "" && !writing.superseded);
    const doing = running ? tellCall(running, this.#context.titleOf).text : "Thinking…";
    if (this.#doing.textContent !== doing) this.#doing.textContent = doing;
    // Three dots say it to those who see them.
    this.#doing.classList.toggle("visually-hidden", !running);
  }
}

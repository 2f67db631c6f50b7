// A tool call as a card: a sentence, and on demand exactly what was called with what and what came back.

import { h, icon } from "../dom.js";
import { tellCall, tellFailure } from "../phrases.js";

export class ToolCard {
  #icon = h("span", { class: "tool-icon", "aria-hidden": "true" });
  #state = h("span", { class: "visually-hidden" });
  #name = h("code");
  #args = h("pre", { tabindex: 0, "aria-label": "Arguments" });
  #result = h("pre", { tabindex: 0, "aria-label": "Result" });
  #sentence = h("span", {});
  #failure = h("span", { class: "tool-failure" });
  #key = null;

  constructor() {
    this.element = h("details", { class: "tool" },
      h("summary", {}, this.#icon, h("span", { class: "tool-words" }, this.#sentence, this.#state, this.#failure),
        h("span", { class: "tool-chevron", "aria-hidden": "true" }, icon("chevron"))),
      h("dl", { class: "tool-detail" },
        h("dt", { text: "Tool" }), h("dd", {}, this.#name),
        h("dt", { text: "Arguments" }), h("dd", {}, this.#args),
        h("dt", { text: "Result" }), h("dd", {}, this.#result)));
  }

  update(part, titleOf) {
    const { icon: name, text } = tellCall(part, titleOf);
    const key = `${part.state} ${text} ${part.argsText.length} ${part.result?.shortened}`;
    if (key === this.#key) return;
    this.#key = key;
    this.element.dataset.state = part.state;
    this.#icon.replaceChildren(part.state === "running" ? h("span", { class: "spinner" }) : icon(part.state === "failed" ? "alert" : name));
    this.#sentence.textContent = text;
    // A rejection is told by the sentence.
    this.#state.textContent = part.state === "rejected" ? "" : `, ${part.state}`;
    this.#failure.textContent = part.state === "failed" ? tellFailure(part) ?? "" : "";
    this.#failure.hidden = this.#failure.textContent === "";
    this.#name.textContent = part.name;
    this.#args.textContent = pretty(part.args ?? part.argsText);
    this.#result.textContent = part.result === null ? (part.state === "running" || part.state === "waiting" ? "Not yet." : "None.") : pretty(part.result);
  }
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

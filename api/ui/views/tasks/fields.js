// The fields of a task to fill in: date, time, priority, repeat, tags. What the adder and the editor have in common.

import { nextWeek, plusDays, weekdayName } from "../../dates.js";
import { h, icon } from "../../dom.js";
import { choices, inWords } from "../../repeat.js";
import { today } from "../../zone.js";
import { PRIORITIES } from "./row.js";

let forms = 0;

export class Fields {
  #form = ++forms;
  #date = h("input", { type: "date", class: "pick", "aria-label": "Due date", min: "1900-01-01", max: "9999-12-31", "data-field": "due_date" });
  #time = h("input", { type: "time", class: "pick", "aria-label": "Time", "data-field": "due_time" });
  #repeat = h("select", { class: "pick", "aria-label": "Repeat", "data-field": "repeat" });
  #rule = h("input", { type: "text", class: "pick is-rule", "aria-label": "Rule (RFC 5545)", placeholder: "FREQ=WEEKLY;BYDAY=MO,TH", maxlength: 255, spellcheck: "false", autocapitalize: "none", "data-field": "rule" });
  #ruleWords = h("p", { class: "rule-words" });
  #tags = h("input", { type: "text", class: "pick is-tags", "aria-label": "Tags, separated by commas", placeholder: "Tags: home, work", autocomplete: "off", dir: "auto", "data-field": "tags" });
  #quick;
  #priorities;
  /** The rule that the task came with: it stays, wherever the task is moved. */
  #own = null;
  #offered = [];

  constructor() {
    this.#quick = [["Today", () => today()], ["Tomorrow", () => plusDays(today(), 1)], ["Next week", () => nextWeek(today())]].map(([text, date]) =>
      ({ date, button: h("button", { class: "chip", type: "button", text, "data-quick": text, on: { click: () => this.#choose(this.#date.value === date() ? "" : date()) } }) }));
    this.#priorities = Object.keys(PRIORITIES).map((name) => h("input", { type: "radio", name: `priority-${this.#form}`, value: name, class: "visually-hidden", "aria-label": PRIORITIES[name] }));
    this.element = h("div", { class: "fields" },
      h("div", { class: "field-line", role: "group", "aria-label": "Due" }, ...this.#quick.map(({ button }) => button)),
      // Their pickers have icons of their own.
      h("div", { class: "field-line" }, h("label", { class: "with-icon" }, this.#date), h("label", { class: "with-icon" }, this.#time)),
      h("div", { class: "field-line" },
        h("div", { class: "priorities", role: "radiogroup", "aria-label": "Priority" }, ...this.#priorities.map((radio) =>
          h("label", { class: "priority", "data-priority": radio.value, title: PRIORITIES[radio.value] }, radio, h("span", { "aria-hidden": "true", text: radio.value.toUpperCase() })))),
        h("label", { class: "with-icon is-wide" }, this.#tags)),
      h("div", { class: "field-line" }, h("label", { class: "with-icon is-wide" }, icon("repeat"), this.#repeat)),
      h("div", { class: "field-line is-custom", hidden: true }, this.#rule, this.#ruleWords));
    this.#date.addEventListener("change", () => this.#dated());
    this.#time.addEventListener("change", () => {
      // A time is one of a day.
      if (this.#time.value && !this.#date.value) this.#choose(today());
    });
    this.#repeat.addEventListener("change", () => {
      this.#showRule();
      if (this.#repeat.value === "custom") this.#rule.focus();
    });
    this.#rule.addEventListener("input", () => this.#tellRule());
    this.show({});
  }

  show({ due_date: date, due_time: time, priority, repeat, tags }) {
    this.#date.value = date ?? "";
    this.#time.value = time ?? "";
    this.#own = repeat ?? null;
    for (const radio of this.#priorities) radio.checked = radio.value === (priority ?? "p4");
    this.#tags.value = (tags ?? []).join(", ");
    this.#rule.value = repeat ?? "";
    this.#offer(repeat ?? "");
    this.#press();
  }

  /** What was filled in, as task-fields.js has it. */
  get value() {
    const rule = this.#repeat.value === "custom" ? this.#rule.value.trim() : this.#repeat.value;
    const date = this.#date.value || null;
    return {
      due_date: date,
      due_time: (date && this.#time.value.slice(0, 5)) || null,
      priority: this.#priorities.find(({ checked }) => checked)?.value ?? "p4",
      repeat: rule || null,
      tags: tagsOf(this.#tags.value),
    };
  }

  /** Puts the focus on what is wrong. */
  focus(field) {
    this.element.querySelector(`[data-field="${CSS.escape(field)}"]`)?.focus();
  }

  #choose(date) {
    this.#date.value = date;
    this.#dated();
  }

  #dated() {
    if (!this.#date.value) this.#time.value = "";
    const chosen = this.#offered.findIndex(([rule]) => rule === this.#repeat.value && rule !== this.#own);
    const kept = this.#repeat.value;
    // "Every week" that was chosen just now is meant of whatever day it is.
    this.#offer(chosen >= 0 ? choices(this.#date.value || today())[chosen][0] : kept);
    this.#press();
  }

  #press() {
    for (const { button, date } of this.#quick) button.setAttribute("aria-pressed", String(this.#date.value === date()));
    if (this.#quick[2]) this.#quick[2].button.title = weekdayName(nextWeek(today()));
  }

  #offer(rule) {
    this.#offered = choices(this.#date.value || today());
    const isKnown = rule === "" || rule === "custom" || this.#offered.some(([known]) => known === rule);
    const options = [["", "Does not repeat"], ...(isKnown ? [] : [[rule, inWords(rule)]]), ...this.#offered, ["custom", "Custom…"]];
    this.#repeat.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
    this.#repeat.value = rule;
    this.#showRule();
  }

  #showRule() {
    const isCustom = this.#repeat.value === "custom";
    this.#rule.closest(".field-line").hidden = !isCustom;
    this.#tellRule();
  }

  #tellRule() {
    const rule = this.#rule.value.trim();
    const words = rule ? inWords(rule) : "";
    this.#ruleWords.textContent = words && words !== rule ? words : "An RFC 5545 rule of days, without DTSTART.";
  }
}

const tagsOf = (text) => [...new Set(text.split(/[,#]/).map((tag) => tag.trim()).filter(Boolean))];

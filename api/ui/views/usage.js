// What the model took on the last days: tokens, how much of them came from the provider's cache, dollars where the installation knows prices.

import { h } from "../dom.js";

/** Days that are shown. */
const DAYS = 7;
const COUNT = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" });

export class Usage {
  #api;
  element = h("div", { class: "usage" });

  constructor(api) {
    this.#api = api;
  }

  async read() {
    this.#show(hint("Looking…"));
    try {
      this.#tell(await this.#api.usage(DAYS));
    } catch {
      this.#show(hint("It could not be read."));
    }
  }

  #tell({ usage, tokens_per_day: budget }) {
    if (usage.length === 0) return this.#show(hint("The model was not used on the last days."));
    const hasCost = usage.some(({ cost }) => cost !== undefined);
    const most = Math.max(...usage.map(({ tokens }) => tokens));
    const head = h("tr", {}, h("th", { scope: "col", text: "Day" }), h("th", { scope: "col", text: "Tokens" }), h("th", { scope: "col", text: "From cache" }), hasCost ? h("th", { scope: "col", text: "Cost" }) : null);
    const rows = usage.map((day) => row(day, most, hasCost));
    const note = budget === null ? "Days are counted in UTC." : `Days are counted in UTC. ${COUNT.format(budget)} tokens may be used in a day.`;
    this.#show(h("table", { class: "usage-table" }, h("thead", {}, head), h("tbody", {}, ...rows)), hint(note));
  }

  #show(...elements) {
    this.element.replaceChildren(...elements);
  }
}

function row({ day, tokens, models, cost }, most, hasCost) {
  const read = models.reduce((sum, model) => sum + model.input_tokens, 0);
  const cached = models.reduce((sum, model) => sum + model.cached_input_tokens, 0);
  const bar = h("span", { class: "usage-bar", "aria-hidden": "true" });
  bar.style.inlineSize = `${Math.max(2, (tokens / most) * 100)}%`;
  return h("tr", { title: models.map(({ model }) => model).join(", ") },
    h("th", { scope: "row" }, h("time", { datetime: day, text: DAY.format(new Date(`${day}T00:00:00Z`)) })),
    h("td", {}, h("span", { text: COUNT.format(tokens) }), bar),
    h("td", { text: read > 0 ? `${Math.round((cached / read) * 100)} %` : "–" }),
    hasCost ? h("td", { text: cost === undefined ? "–" : dollars(cost) }) : null);
}

/** Cents where there are some, else as many places as show something. */
function dollars(cost) {
  if (cost === 0 || cost >= 0.01) return `$${cost.toFixed(2)}`;
  return cost < 0.0001 ? "< $0.0001" : `$${cost.toFixed(4)}`;
}

function hint(text) {
  return h("p", { class: "field-hint", text });
}

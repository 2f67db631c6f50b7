// What the model took on the last days: tokens, how much of what it read came from the provider's cache, how much of what it wrote was reasoning,
// dollars where the installation knows prices.

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
    const shown = {
      cost: usage.some(({ cost }) => cost !== undefined),
      reasoning: usage.some(({ reasoning_tokens }) => reasoning_tokens > 0),
      most: Math.max(...usage.map(({ tokens }) => tokens)),
    };
    const titles = ["Day", "Tokens", "From cache", ...(shown.reasoning ? ["Reasoning"] : []), ...(shown.cost ? ["Cost"] : [])];
    const head = h("tr", {}, ...titles.map((text) => h("th", { scope: "col", text })));
    const rows = usage.map((day) => row(day, shown));
    const note = budget === null ? "Days are counted in UTC." : `Days are counted in UTC. ${COUNT.format(budget)} tokens may be used in a day.`;
    this.#show(h("table", { class: "usage-table" }, h("thead", {}, head), h("tbody", {}, ...rows)), hint(note));
  }

  #show(...elements) {
    this.element.replaceChildren(...elements);
  }
}

function row({ day, tokens, models, cost, cached_input_tokens: cached, reasoning_tokens: reasoning }, shown) {
  const read = models.reduce((sum, model) => sum + model.input_tokens, 0);
  const written = models.reduce((sum, model) => sum + model.output_tokens, 0);
  const bar = h("span", { class: "usage-bar", "aria-hidden": "true" });
  bar.style.inlineSize = `${Math.max(2, (tokens / shown.most) * 100)}%`;
  return h("tr", { title: models.map(({ model }) => model).join(", ") },
    h("th", { scope: "row" }, h("time", { datetime: day, text: DAY.format(new Date(`${day}T00:00:00Z`)) })),
    h("td", {}, h("span", { text: COUNT.format(tokens) }), bar),
    h("td", { text: share(cached, read) }),
    shown.reasoning ? h("td", { text: share(reasoning, written) }) : null,
    shown.cost ? h("td", { text: cost === undefined ? "–" : dollars(cost) }) : null);
}

function share(part, whole) {
  return whole > 0 ? `${Math.round((part / whole) * 100)} %` : "–";
}

/** Cents where there are some, else as many places as show something. */
function dollars(cost) {
  if (cost === 0 || cost >= 0.01) return `$${cost.toFixed(2)}`;
  return cost < 0.0001 ? "< $0.0001" : `$${cost.toFixed(4)}`;
}

function hint(text) {
  return h("p", { class: "field-hint", text });
}

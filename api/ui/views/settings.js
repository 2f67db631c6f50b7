// The settings sheet: theme, time zone, other apps, files of all tasks, what the model took, what was deleted lately.

import { askBeforeDeleting, asksBeforeDeleting } from "../asking.js";
import { announce, byId, h, icon } from "../dom.js";
import { FORMATS, allTasks } from "../export.js";
import { THEMES, setTheme, theme, watchTheme } from "../theme.js";
import { browserZone, chooseZone, chosenZone, now, timeZone, zones } from "../zone.js";
import { connectedApps } from "./connected-apps.js";
import { Usage } from "./usage.js";

/** Deleted tasks that are shown. */
const SHOWN = 50;

export class Settings {
  #dialog = byId("settings");
  #api;
  #tasks;
  #zone = h("select", { id: "zone", class: "field-input", "aria-describedby": "zone-hint" });
  #zoneHint = h("p", { id: "zone-hint", class: "field-hint" });
  #trash = h("div", { class: "trash" });
  #usage;
  #exporting = h("p", { class: "field-hint", role: "status" });

  /** `zoneChanged()` is called when another one counts from now on. */
  constructor({ api, tasks, zoneChanged }) {
    this.#api = api;
    this.#tasks = tasks;
    this.#usage = new Usage(api);
    const close = h("button", { class: "icon-button", type: "button", icon: "close", "aria-label": "Close", on: { click: () => this.#dialog.close() } });
    this.#dialog.append(
      h("div", { class: "help-head" }, h("h2", { id: "settings-title", text: "Settings" }), close),
      h("div", { class: "settings-body", tabindex: -1 }, this.#appearance(), this.#place(zoneChanged), this.#asking(), this.#files(), section("Usage", this.#usage.element), connectedApps(`${location.origin}/mcp`), this.#deleted()));
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId("settings-button").addEventListener("click", () => this.open());
  }

  open() {
    this.#tellZone();
    this.#exporting.textContent = "";
    this.#trash.replaceChildren(h("p", { class: "field-hint", text: "Looking…" }));
    this.#dialog.showModal();
    this.#readTrash();
    this.#usage.read();
  }

  #appearance() {
    const radios = THEMES.map(({ name }) => h("input", { type: "radio", name: "theme", value: name, class: "visually-hidden", on: { change: () => setTheme(name) } }));
    watchTheme(() => {
      for (const radio of radios) radio.checked = radio.value === theme();
    });
    const labels = THEMES.map(({ label, icon: picture }, index) => h("label", { class: "choice" }, radios[index], icon(picture), h("span", { text: label })));
    return section("Theme", h("div", { class: "choices", role: "radiogroup", "aria-label": "Theme" }, ...labels));
  }

  #place(zoneChanged) {
    const options = zones().map((zone) => h("option", { value: zone, text: zone.replaceAll("_", " ") }));
    this.#zone.append(h("option", { value: "", text: `As this browser: ${browserZone().replaceAll("_", " ")}` }), ...options);
    this.#zone.addEventListener("change", () => {
      chooseZone(this.#zone.value || null);
      this.#tellZone();
      zoneChanged();
    });
    return section("Time zone", h("label", { class: "visually-hidden", for: "zone", text: "Time zone" }), this.#zone, this.#zoneHint);
  }

  #asking() {
    const box = h("input", { id: "ask", type: "checkbox", checked: asksBeforeDeleting(), on: { change: () => askBeforeDeleting(box.checked) } });
    return section("Deleting",
      h("label", { class: "check-line" }, box, h("span", { text: "Let the agent ask me before it deletes a task" })),
      h("p", { class: "field-hint", text: "What you delete yourself is deleted at once. Either can be taken back for 30 days." }));
  }

  #tellZone() {
    this.#zone.value = chosenZone() ?? "";
    const { time } = now();
    const day = new Intl.DateTimeFormat("en-GB", { timeZone: timeZone(), weekday: "long", day: "numeric", month: "long" }).format();
    this.#zoneHint.textContent = `There it is ${day}, ${time}. “Today” is that day; due dates stay where they are.`;
  }

  #files() {
    const buttons = Object.entries(FORMATS).map(([name, { label }]) => h("button", { class: "secondary", type: "button", "data-export": name, text: label, on: { click: ({ currentTarget }) => this.#export(name, currentTarget) } }));
    return section("Export",
      h("p", { class: "settings-text", text: "All your tasks, done ones too, as a file: JSON with everything, CSV for a spreadsheet, iCalendar for a calendar." }),
      h("div", { class: "settings-buttons" }, ...buttons), this.#exporting);
  }

  async #export(name, button) {
    const { file, type, write } = FORMATS[name];
    button.disabled = true;
    try {
      const tasks = await allTasks(this.#api, (count, total) => { this.#exporting.textContent = `Reading ${count} of ${total}…`; });
      save(new Blob([write(tasks)], { type }), file);
      this.#exporting.textContent = `${tasks.length} ${tasks.length === 1 ? "task" : "tasks"} in ${file}`;
    } catch {
      this.#exporting.textContent = "The tasks could not be read. Try again.";
    }
    button.disabled = false;
    button.focus();
  }

  #deleted() {
    return section("Deleted lately", h("p", { class: "settings-text", text: "Deleted tasks can be brought back for 30 days." }), this.#trash);
  }

  async #readTrash() {
    try {
      const { tasks, total } = await this.#api.tasks({ view: "deleted", limit: SHOWN });
      const rows = tasks.map((task) => this.#deletedTask(task));
      this.#trash.replaceChildren(
        tasks.length ? h("ul", { class: "trash-list" }, ...rows) : h("p", { class: "field-hint", text: "Nothing was deleted." }),
        ...(total > tasks.length ? [h("p", { class: "field-hint", text: `These are the last ${tasks.length} of ${total}.` })] : []));
    } catch {
      this.#trash.replaceChildren(h("p", { class: "field-hint", text: "They could not be read." }));
    }
  }

  #deletedTask(task) {
    const button = h("button", { class: "text-button", type: "button", "aria-label": `Restore ${task.title}` }, "Restore");
    const row = h("li", { class: "trash-row" }, h("span", { class: "trash-title", dir: "auto", text: task.title }), button);
    button.addEventListener("click", async () => {
      button.disabled = true;
      if (await this.#tasks.restore(task.id)) {
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        announce(`Restored “${task.title}”`);
        (next?.querySelector("button") ?? this.#dialog.querySelector(".help-head button")).focus();
      } else {
        button.disabled = false;
        row.append(h("p", { class: "trash-problem", text: this.#tasks.problem(task.id)?.message ?? "It could not be restored." }));
      }
    });
    return row;
  }
}

function section(title, ...children) {
  return h("section", { class: "settings-section" }, h("h3", { text: title }), ...children);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  // The browser may still be reading.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

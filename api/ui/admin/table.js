// A table whose rows stay the same elements for as long as what they show is there: so focus and clicks outlive a new look.

import { h, tell } from "../dom.js";

/**
 * A section with a table. `columns`: name, whether it is a number, and what a row's item shows there: a text, or an element, which is made once
 * for the row. `empty`: what is said of none.
 */
export function makeTable({ title, columns, id, empty }) {
  const rows = new Map();
  const count = h("span", { class: "list-count" });
  const body = h("tbody");
  const nothing = h("p", { class: "list-empty", text: empty });
  const table = h("table", {},
    h("thead", {}, h("tr", {}, ...columns.map(({ name, isNumber, isHidden }) =>
      h("th", { scope: "col", class: isNumber ? "is-number" : null }, isHidden ? h("span", { class: "visually-hidden", text: name }) : name)))),
    body);
  // What is wider than the window is scrolled, also with the keyboard.
  const frame = h("div", { class: "list-frame", role: "region", "aria-label": title, tabindex: "0" }, table);
  const element = h("section", { class: "list" }, h("h2", {}, title, " ", count), frame, nothing);

  function make(item) {
    const cells = columns.map(({ name, isNumber, element: of }) => h("td", { class: isNumber ? "is-number" : null, "data-name": name }, of ? of(item) : null));
    const row = h("tr", {}, ...cells);
    return { row, cells, isNew: true };
  }

  function show(items, now, total = items.length) {
    tell(count, total > items.length ? `${items.length} of ${total}` : `${items.length}`);
    nothing.hidden = items.length > 0;
    frame.hidden = items.length === 0;
    const keys = new Set(items.map(id));
    for (const [key, { row }] of rows) {
      if (!keys.has(key)) { row.remove(); rows.delete(key); }
    }
    items.forEach((item, place) => {
      const key = id(item);
      if (!rows.has(key)) rows.set(key, make(item));
      const { row, cells } = rows.get(key);
      columns.forEach(({ text, update }, column) => {
        if (text) tell(cells[column], text(item, now));
        if (update) update(cells[column].firstChild, item);
      });
      if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
    });
  }
  return { element, show };
}

// What can be done with a conversation of the list, behind the three dots of its row.

import { h } from "../dom.js";

/** Opens a menu at a button. `items`: `{label, icon, danger, act}`. Closed without a choice, the focus goes back to the button. */
export function openMenu(button, label, items) {
  const choose = (act) => () => {
    menu.hidePopover();
    act();
  };
  const entries = items.map(({ label, icon, danger, act }) =>
    h("button", { type: "button", role: "menuitem", class: danger ? "menu-item is-danger" : "menu-item", icon, tabindex: -1, on: { click: choose(act) } }, label));
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label, popover: "auto" }, ...entries);
  menu.addEventListener("keydown", (event) => {
    const at = entries.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[event.key];
    if (to !== undefined) entries[to % entries.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") {
      menu.hidePopover();
      button.focus();
    } else return;
    event.preventDefault();
    // Nothing else is to be closed or stopped by the same key.
    event.stopPropagation();
  });
  menu.addEventListener("toggle", ({ newState }) => {
    button.setAttribute("aria-expanded", String(newState === "open"));
    if (newState === "closed") menu.remove();
  });
  button.after(menu);
  menu.showPopover();
  place(menu, button);
  entries[0].focus();
}

/** Below the button, or above it where there is no room; and never beyond the edge of the page. */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + 4 + height < innerHeight;
  menu.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - 4 - height)}px`;
  menu.style.left = `${Math.min(Math.max(8, at.right - width), innerWidth - width - 8)}px`;
}

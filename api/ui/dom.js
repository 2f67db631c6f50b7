// Making elements, icons and small texts for them. Nothing here knows what Errand is about.

const SVG = "http://www.w3.org/2000/svg";

/** Paths of 20 × 20 line icons. */
const ICONS = {
  alert: "M10 6.5v4.2M10 13.6v.1M10 2.8 2.6 16.2h14.8L10 2.8z",
  approve: "M10 2.8 4 5v4.6c0 3.7 2.6 6.2 6 7.6 3.4-1.4 6-3.9 6-7.6V5l-6-2.2z",
  bubble: "M4 5.5h12v8.2H9.4L6 16.4v-2.7H4z",
  calendar: "M4 5.2h12v11H4zM4 8.6h12M7.2 3.4v3M12.8 3.4v3",
  check: "M4.5 10.5 8.3 14.2 15.5 6.2",
  chevron: "M8 6l4 4-4 4",
  clock: "M10 6v4.2l2.6 1.6M10 17.2a7.2 7.2 0 1 0 0-14.4 7.2 7.2 0 0 0 0 14.4z",
  close: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  compose: "M10.5 4H5.8A1.8 1.8 0 0 0 4 5.8v8.4A1.8 1.8 0 0 0 5.8 16h8.4A1.8 1.8 0 0 0 16 14.2V9.5M8.5 11.5l.4-2.3 6-6 1.9 1.9-6 6z",
  copy: "M7.5 7.5h7.7v7.7H7.5zM12.4 7.3V4.8H4.8v7.6h2.5",
  down: "M10 4.5v11M5.5 11 10 15.5 14.5 11",
  flag: "M5.5 16.5v-13M5.5 4.2c3-1.6 5.5 1.6 9 0v6.6c-3.5 1.6-6-1.6-9 0",
  gear: "M3.5 6.5h6.2M14.3 6.5h2.2M3.5 13.5h2.2M10.3 13.5h6.2M12 8.8a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6zM8 15.8a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6z",
  keyboard: "M3 5.5h14v9H3zM6 8.5h.1M8.7 8.5h.1M11.3 8.5h.1M14 8.5h.1M7 11.7h6",
  list: "M8 5.5h8M8 10h8M8 14.5h8M4 5.5h.1M4 10h.1M4 14.5h.1",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h9",
  minus: "M5 10h10",
  more: "M5 10h.1M10 10h.1M15 10h.1",
  moon: "M15.8 11.8A6.3 6.3 0 0 1 8.2 4.2a6.3 6.3 0 1 0 7.6 7.6z",
  offline: "M3 3l14 14M6 11.8a6 6 0 0 1 2.2-1.4M3.5 8.8a9.6 9.6 0 0 1 3-1.9M14 11.8a6 6 0 0 0-2.3-1.5M16.5 8.8a9.6 9.6 0 0 0-7-2.6M10 15h.1",
  pencil: "M4.5 15.5l.6-3.1L13 4.5l2.5 2.5-7.9 7.9z",
  play: "M7 5l8 5-8 5z",
  plus: "M10 4.5v11M4.5 10h11",
  repeat: "M4.5 9V7.8A2.3 2.3 0 0 1 6.8 5.5h8M12.6 3.2l2.3 2.3-2.3 2.3M15.5 11v1.2a2.3 2.3 0 0 1-2.3 2.3h-8M7.4 16.8l-2.3-2.3 2.3-2.3",
  retry: "M15.5 10a5.5 5.5 0 1 1-1.7-4M15.7 3.5v3.2h-3.2",
  search: "M9 14.2A5.2 5.2 0 1 0 9 3.8a5.2 5.2 0 0 0 0 10.4zM13 13l3.5 3.5",
  send: "M10 15.5v-11M5.5 9 10 4.5 14.5 9",
  signOut: "M8 4H4.5v12H8M12 6.5l3.5 3.5L12 13.5M15.3 10H8",
  stop: "M6.5 6.5h7v7h-7z",
  sun: "M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 3v1.3M10 15.7V17M3 10h1.3M15.7 10H17M5 5l1 1M14 14l1 1M5 15l1-1M14 6l1-1",
  system: "M3.5 4.5h13v8.5h-13zM7.5 16.5h5M10 13v3.5",
  tag: "M3.8 4.2h6l6.4 6.4-5.6 5.6-6.8-6.6zM7.2 7.4h.1",
  tool: "M12.2 3.6a3.8 3.8 0 0 0-3.5 5.2l-5 5 2.5 2.5 5-5a3.8 3.8 0 0 0 5-4.6l-2.3 2.3-2.3-.3-.3-2.3 2.2-2.3a4 4 0 0 0-1.3-.5z",
  trash: "M4.5 6h11M8 6V4.2h4V6M6 6l.7 9.8h6.6L14 6",
  undo: "M7.5 5 4 8.5 7.5 12M4.4 8.5h7.1a4 4 0 0 1 0 8H8.5",
};

/** An icon of `ICONS`, hidden from screen readers: the text beside it speaks. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.tool);
  svg.append(path);
  return svg;
}

/**
 * An element. `props`: `class`, `text`, `icon`, `on` (an object of listeners); anything else is an attribute,
 * left out when null, undefined or false. Strings always become text, never markup.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "icon") element.prepend(icon(value));
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text that may be there already: then the browser has nothing to lay out. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const drawn = new WeakMap();

/** Draws the children of an element anew if `key` has changed: what is there keeps its focus, and the click that has begun on it. */
export function redraw(element, key, draw) {
  if (drawn.get(element) === key) return;
  drawn.set(element, key);
  element.replaceChildren(...draw());
}

/** The element with this id; the page always has it. */
export const byId = (id) => document.getElementById(id);

/** Puts the icons into the page's own buttons (`data-icon`). */
export function fillIcons(root) {
  for (const element of root.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
}

/** Says it to screen readers, once they are done with what they are saying. */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  // A change is announced, the same text again is not; hence the emptying and the pause.
  setTimeout(() => { region.textContent = text; }, 60);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A `<time>`: the hour for today, the date for earlier; all of it on hover. */
export function time(value) {
  const date = new Date(value);
  const today = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: date.toISOString(), title: full.format(date), text: today ? clock.format(date) : full.format(date) });
}

/** A UUID; also where the page is not served from a secure origin and `randomUUID` is missing. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Browser storage that may be switched off, full or forbidden: then nothing is remembered. */
export const remembered = {
  get(storage, key) {
    try { return window[storage].getItem(key); } catch { return null; }
  },
  set(storage, key, value) {
    try {
      if (value === null) window[storage].removeItem(key);
      else window[storage].setItem(key, value);
    } catch {
      // Not remembered, then.
    }
  },
};

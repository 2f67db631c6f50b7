// Light, dark, or as the system has it. The choice is remembered in this browser; early-theme.js applies it before anything is drawn.

import { remembered } from "./dom.js";

const KEY = "errand.theme";

export const THEMES = [
  { name: "system", label: "System", icon: "system" },
  { name: "light", label: "Light", icon: "sun" },
  { name: "dark", label: "Dark", icon: "moon" },
];

const watchers = new Set();

export const theme = () => document.documentElement.dataset.theme ?? "system";

export function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  remembered.set("localStorage", KEY, name === "system" ? null : name);
  for (const changed of watchers) changed();
}

/** Calls back now and whenever the theme changes. */
export function watchTheme(changed) {
  watchers.add(changed);
  changed();
}

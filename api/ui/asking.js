// Whether the agent asks before it deletes a task: this browser's choice, which goes with each message.

import { remembered } from "./dom.js";

const KEY = "errand.ask";

export const asksBeforeDeleting = () => remembered.get("localStorage", KEY) === "yes";

export function askBeforeDeleting(wanted) {
  remembered.set("localStorage", KEY, wanted ? "yes" : null);
}

// A question that stands in front of everything else until it is answered.

import { h } from "../dom.js";

/**
 * Asks before something is done that cannot be taken back. `act()` does it while the question stays, and is rejected if it
 * did not work; `tell(error)` says why. Resolves with whether it was done; the focus goes back to where it was.
 */
export function confirm({ title, text, yes, no, act, tell }) {
  return new Promise((resolve) => {
    let done = false;
    const problem = h("p", { class: "confirm-problem", role: "alert" });
    const heading = h("h2", { id: "confirm-title", dir: "auto", text: title });
    const yesButton = h("button", { type: "button", class: "danger-button", text: yes });
    const noButton = h("button", { type: "button", class: "secondary", text: no, on: { click: () => dialog.close() } });
    const dialog = h("dialog", { class: "confirm", "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" },
      heading, h("p", { id: "confirm-text", text }), problem, h("div", { class: "confirm-buttons" }, noButton, yesButton));
    yesButton.addEventListener("click", async () => {
      yesButton.disabled = true;
      problem.textContent = "";
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = tell(error);
        yesButton.disabled = false;
        yesButton.focus();
      }
    });
    dialog.addEventListener("click", ({ target }) => {
      if (target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    noButton.focus();
  });
}

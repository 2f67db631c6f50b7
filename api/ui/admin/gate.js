// The way in: the operator's token, sent once. It is kept nowhere in the page.

import { h } from "../dom.js";
import { ApiError, ask, signIn } from "./api.js";

/** Shows the form in `gate`; resolves once there is a session. `isOver`: there was one. */
export function askForToken(gate, isOver) {
  return new Promise((resolve) => {
    const token = h("input", {
      class: "field-input", id: "token", name: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false",
      "aria-describedby": "token-hint",
    });
    const problem = h("p", { class: "gate-problem", role: "alert", text: isOver ? "The session is over." : "" });
    const button = h("button", { class: "primary", type: "submit", text: "Sign in" });
    const form = h("form", { class: "gate-form" },
      h("div", { class: "field" },
        h("label", { for: "token", text: "Operator's token" }), token,
        h("p", { class: "field-hint", id: "token-hint", text: "The one that the API was started with (ADMIN_TOKEN)." })),
      problem, button);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      problem.textContent = "";
      try {
        await signIn(token.value);
        token.value = "";
        await kept();
        gate.replaceChildren();
        resolve();
      } catch (error) {
        problem.textContent = error instanceof ApiError ? error.message : "The server cannot be reached.";
        button.disabled = false;
        token.select();
      }
    });
    gate.replaceChildren(h("div", { class: "gate-card" },
      h("p", { class: "gate-brand" }, h("img", { src: "/ui/icon.svg", alt: "", width: 30, height: 30 }), "Errand"),
      h("h1", { text: "Operations" }),
      h("p", { class: "gate-lead", text: "The queue, the workers and every run of this installation." }),
      form));
    gate.hidden = false;
    token.focus();
  });
}

/** A browser does not keep a cookie for TLS that came without it. */
async function kept() {
  const { is_signed_in: is } = await ask("GET", "session");
  if (!is) throw new ApiError(401, "The browser did not keep the session: open this page over HTTPS, or on localhost.");
}

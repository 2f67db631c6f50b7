// The start: signing in. What the page is for comes behind it, in modules that load meanwhile.

import { byId, fillIcons, h } from "./dom.js";
import { Identity } from "./identity.js";
import { IdentityError } from "./provider.js";
import { askToSignIn } from "./views/sign-in.js";

async function main() {
  watchTheWayBack();
  fillIcons(document);
  const identity = new Identity(configuration());
  if (!(await identity.resume())) {
    byId("splash").remove();
    await askToSignIn(byId("gate"), identity);
  }
  const { run } = await import("./signed-in.js");
  document.getElementById("splash")?.remove();
  byId("gate").hidden = true;
  byId("app").hidden = false;
  run(identity);
}

/** What the server has written into the page. */
function configuration() {
  return JSON.parse(document.querySelector('meta[name="errand-configuration"]').content);
}

/** Going back may show a page as it was left, without a word to the server: whoever sits there now need not be who left it. */
function watchTheWayBack() {
  window.addEventListener("pagehide", ({ persisted }) => {
    if (persisted) document.body.hidden = true;
  });
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) location.reload();
  });
}

main().catch((error) => {
  console.warn("Errand could not start:", error);
  const again = h("button", { class: "primary", text: "Try again", on: { click: () => location.reload() } });
  const [title, lead] = error instanceof IdentityError
    ? ["Signing in is not possible now", "The sign-in service does not answer. Your tasks are safe where they are."]
    : ["Errand cannot be reached", "The server does not answer. Your tasks are safe where they are."];
  const notice = h("div", { class: "gate-card" }, h("h1", { text: title }), h("p", { class: "gate-lead", text: lead }), again);
  document.getElementById("splash")?.remove();
  byId("gate").replaceChildren(notice);
  byId("gate").hidden = false;
  again.focus();
});

// The sign-in page: a name for the stand-in provider of development, e-mail and password for the real one.

import { h } from "../dom.js";

/** Better Auth's least, unless it is told otherwise. */
const SHORTEST_PASSWORD = 8;

/** Shows the page in `gate`; resolves once the user is signed in, and nothing that was typed is left in the page. */
export async function askToSignIn(gate, identity) {
  await new Promise((resolve) => {
    show(gate, identity.standIn ? nameCard(identity, resolve) : accountCard(identity, resolve, {}));
  });
  gate.replaceChildren();
}

function show(gate, card) {
  gate.replaceChildren(card);
  gate.hidden = false;
  const inputs = [...card.querySelectorAll("input")];
  (inputs.find(({ value }) => value === "") ?? inputs[0]).focus();
}

function brand() {
  return h("p", { class: "gate-brand" }, h("img", { src: "/ui/icon.svg", alt: "", width: 30, height: 30 }), "Errand");
}

function nameCard(identity, done) {
  const name = field("Your name", { name: "name", dir: "auto", autocomplete: "username", required: true, maxlength: 64, spellcheck: "false", autocapitalize: "none" });
  return card({
    title: "Pick a name",
    lead: "This is a development set-up: whoever you say you are, you are.",
    fields: [name],
    action: "Continue",
    submit: () => identity.signInAs(name.input.value.trim()),
    done,
  });
}

/** Signing in, or `creating` an account; an e-mail that was typed in the one is kept for the other. */
function accountCard(identity, done, { creating = false, typed = "" }) {
  const name = field("Name", { name: "name", dir: "auto", autocomplete: "name", required: true, maxlength: 100 });
  const email = field("E-mail", { name: "email", type: "email", autocomplete: creating ? "email" : "username", required: true, spellcheck: "false" });
  email.input.value = typed;
  const password = field("Password", {
    name: "password", type: "password", required: true, minlength: creating ? SHORTEST_PASSWORD : null,
    autocomplete: creating ? "new-password" : "current-password",
  }, creating ? `At least ${SHORTEST_PASSWORD} characters.` : null);
  const other = h("button", { class: "text-button", type: "button", text: creating ? "Sign in" : "Create an account" });
  const element = card({
    title: creating ? "Create your account" : "Welcome back",
    lead: "Errand keeps your to-do list while you talk.",
    fields: creating ? [name, email, password] : [email, password],
    action: creating ? "Create account" : "Sign in",
    busy: creating ? "Creating your account…" : "Signing in…",
    submit: () => creating
      ? identity.signUp(name.input.value.trim(), email.input.value.trim(), password.input.value)
      : identity.signIn(email.input.value.trim(), password.input.value),
    done,
    extra: h("p", { class: "gate-other" }, creating ? "Been here before? " : "New here? ", other),
  });
  other.addEventListener("click", () => {
    show(element.parentElement, accountCard(identity, done, { creating: !creating, typed: email.input.value }));
  });
  return element;
}

function field(label, attributes, hint = null) {
  const id = `sign-in-${attributes.name}`;
  const input = h("input", { class: "field-input", id, "aria-describedby": hint && `${id}-hint`, ...attributes });
  // Corrected or not: once it is touched, the complaint is over.
  input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
  const element = h("div", { class: "field" },
    h("label", { for: id, text: label }), input, hint && h("p", { class: "field-hint", id: `${id}-hint`, text: hint }));
  return { element, input };
}

function card({ title, lead, fields, action, busy = action, submit, done, extra }) {
  const problem = h("p", { class: "gate-problem", role: "alert" });
  const button = h("button", { class: "primary", type: "submit", text: action });
  const form = h("form", { class: "gate-form" }, ...fields.map(({ element }) => element), problem, button, extra);
  const wait = (waiting) => {
    button.disabled = waiting;
    button.textContent = waiting ? busy : action;
    form.setAttribute("aria-busy", String(waiting));
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    for (const { input } of fields) input.removeAttribute("aria-invalid");
    wait(true);
    try {
      await submit();
      done();
    } catch (error) {
      wait(false);
      problem.textContent = error.message;
      const wrong = fields.find(({ input }) => input.name === error.field)?.input;
      wrong?.setAttribute("aria-invalid", "true");
      wrong?.select();
      (wrong ?? button).focus();
    }
  });
  return h("div", { class: "gate-card" }, brand(), h("h1", { text: title }), h("p", { class: "gate-lead", text: lead }), form);
}

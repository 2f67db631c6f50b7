// The sign-in page: a name for the stand-in provider of development, e-mail and password for the real one.

import { h } from "../dom.js";

/** Shows the page in `gate`; resolves once the user is signed in. */
export function askToSignIn(gate, identity) {
  return new Promise((resolve) => {
    const card = identity.standIn ? nameCard(identity, resolve) : accountCard(identity, resolve, false);
    show(gate, card);
  });
}

function show(gate, card) {
  gate.replaceChildren(card);
  gate.hidden = false;
  card.querySelector("input").focus();
}

function brand() {
  return h("p", { class: "gate-brand" }, h("img", { src: "/ui/icon.svg", alt: "", width: 30, height: 30 }), "Errand");
}

function nameCard(identity, done) {
  const name = field("Your name", { name: "name", autocomplete: "username", required: true, maxlength: 64, spellcheck: "false", autocapitalize: "none" });
  return card({
    title: "Pick a name",
    lead: "This is a development set-up: whoever you say you are, you are.",
    fields: [name],
    action: "Continue",
    submit: () => identity.signInAs(name.input.value.trim()),
    done,
  });
}

function accountCard(identity, done, creating) {
  const name = field("Name", { name: "name", autocomplete: "name", required: true, maxlength: 100 });
  const email = field("E-mail", { name: "email", type: "email", autocomplete: "email", required: true });
  const password = field("Password", {
    name: "password", type: "password", required: true, minlength: creating ? 8 : null,
    autocomplete: creating ? "new-password" : "current-password",
  });
  const other = h("button", { class: "text-button", type: "button", text: creating ? "I have an account" : "Create an account" });
  const element = card({
    title: creating ? "Create your account" : "Welcome back",
    lead: "Errand keeps your to-do list while you talk.",
    fields: creating ? [name, email, password] : [email, password],
    action: creating ? "Create account" : "Sign in",
    submit: () => creating
      ? identity.signUp(name.input.value.trim(), email.input.value.trim(), password.input.value)
      : identity.signIn(email.input.value.trim(), password.input.value),
    done,
    extra: other,
  });
  other.addEventListener("click", () => show(element.parentElement, accountCard(identity, done, !creating)));
  return element;
}

function field(label, attributes) {
  const input = h("input", { class: "field-input", id: `sign-in-${attributes.name}`, ...attributes });
  const element = h("div", { class: "field" }, h("label", { for: input.id, text: label }), input);
  return { element, input };
}

function card({ title, lead, fields, action, submit, done, extra }) {
  const problem = h("p", { class: "gate-problem", role: "alert" });
  const button = h("button", { class: "primary", type: "submit", text: action });
  const form = h("form", { class: "gate-form" }, ...fields.map(({ element }) => element), problem, button, extra);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    button.disabled = true;
    try {
      await submit();
      done();
    } catch (error) {
      problem.textContent = error.message;
      button.disabled = false;
      fields[0].input.focus();
    }
  });
  return h("div", { class: "gate-card" }, brand(), h("h1", { text: title }), h("p", { class: "gate-lead", text: lead }), form);
}

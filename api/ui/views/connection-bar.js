// The state of the connection, said where it can be seen: nothing while all is well.

import { h } from "../dom.js";

/** A connection that is back sooner than this was never worth a word. */
const GRACE = 400;
const GOOD_NEWS = 1_600;

export class ConnectionBar {
  #element;
  #connection;
  #timer = 0;
  #shown = false;
  /** Whether there was a connection before: the first one is none that is back. */
  #before = false;

  constructor(element, connection) {
    this.#element = element;
    this.#connection = connection;
    connection.addEventListener("state", () => this.#update());
  }

  #update() {
    clearTimeout(this.#timer);
    const { state, online, unplugged } = this.#connection;
    if (state === "stopped") return this.#hide();
    if (unplugged) return this.#trouble();
    if (!online) {
      this.#timer = setTimeout(() => this.#trouble(), this.#shown ? 0 : GRACE);
      return;
    }
    if (this.#shown && this.#before) {
      this.#say("is-good", "check", "Connected again");
      this.#timer = setTimeout(() => this.#hide(), GOOD_NEWS);
    } else {
      this.#hide();
    }
    this.#before = true;
  }

  #trouble() {
    const { state, wasOnline, retryAt, unplugged } = this.#connection;
    this.#shown = true;
    if (unplugged) {
      return this.#say("is-offline", "offline", "You are offline. Messages you write are kept and sent later.");
    }
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    const what = wasOnline ? "Reconnecting" : "Connecting";
    if (state === "connecting" || seconds <= 1) {
      this.#say("is-busy", "retry", `${what}…`);
      return;
    }
    this.#say("is-busy", "retry", `No connection. ${what} in ${seconds} s`,
      h("button", { class: "text-button", text: "Try now", on: { click: () => this.#connection.retry() } }));
    this.#timer = setTimeout(() => this.#trouble(), 1000);
  }

  #say(kind, icon, text, action) {
    // The number counts down for the eye only; a screen reader would never get to the end of it.
    const steady = text.replace(/ in \d+ s$/, " soon");
    const words = steady === text ? [h("span", { text })] : [h("span", { "aria-hidden": "true", text }), h("span", { class: "visually-hidden", text: steady })];
    if (this.#element.className === `connection ${kind}` && this.#element.textContent.includes(steady) && steady !== text) {
      this.#element.querySelector("[aria-hidden]:not(svg)").textContent = text;
      return;
    }
    this.#element.className = `connection ${kind}`;
    this.#element.replaceChildren(h("span", { class: "connection-words", icon }, ...words), ...(action ? [action] : []));
  }

  #hide() {
    this.#shown = false;
    this.#element.className = "connection";
    this.#element.replaceChildren();
  }
}

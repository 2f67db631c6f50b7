// The message box: growing, sending, stopping, counting.

import { h } from "../dom.js";

const MAX = 8000;
const COUNT_FROM = 7500;
const TALLEST = 220;

export class Composer {
  #send;
  #stop;
  #turn = null;
  #last = "";
  #text = h("textarea", {
    id: "composer-text", class: "composer-text", rows: 1, placeholder: "Tell Errand what needs doing…", "aria-label": "Message",
    "aria-describedby": "composer-note", enterkeyhint: "send", autocomplete: "off",
  });
  #note = h("p", { id: "composer-note", class: "composer-note" });
  #sendButton = h("button", { class: "send", type: "submit", icon: "send", "aria-label": "Send", title: "Send" });
  #stopButton = h("button", { class: "stop", type: "button", icon: "stop", "aria-label": "Stop the answer", title: "Stop (Esc)", hidden: true });

  constructor(form, { send, stop }) {
    this.#send = send;
    this.#stop = stop;
    form.append(
      h("div", { class: "composer-box", on: { click: (event) => { if (event.target === event.currentTarget) this.focus(); } } },
        this.#text, h("div", { class: "composer-actions" }, this.#stopButton, this.#sendButton)),
      this.#note);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#stopButton.addEventListener("click", () => this.#stopRun());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && this.#turn && !document.querySelector("dialog[open]")) this.#stopRun();
    });
    window.addEventListener("resize", () => this.#grow());
    this.#changed();
  }

  /** Puts the cursor into the box; on a touch screen that would open the keyboard. */
  focus({ unlessTouch = false } = {}) {
    if (unlessTouch && matchMedia("(pointer: coarse)").matches) return;
    this.#text.focus({ preventScroll: true });
  }

  fill(text) {
    this.#text.value = text;
    this.#changed();
    this.#text.focus();
    this.#text.setSelectionRange(text.length, text.length);
  }

  /** The run that the stop button stops; null hides the button. */
  setActive(turn) {
    this.#turn = turn;
    const hadFocus = document.activeElement === this.#stopButton;
    this.#stopButton.hidden = turn === null;
    this.#stopButton.disabled = turn?.stopping ?? false;
    if (hadFocus && turn === null) this.focus();
    this.#buttons();
  }

  warn(text) {
    this.#note.textContent = text;
    this.#note.classList.add("is-warning");
  }

  #submit() {
    const text = this.#text.value.trim();
    if (text === "" || length(text) > MAX) return;
    this.#last = text;
    this.#text.value = "";
    this.#changed();
    this.#send(text);
  }

  #stopRun() {
    if (this.#turn && !this.#turn.stopping) this.#stop(this.#turn);
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "ArrowUp" && this.#text.value === "" && this.#last) {
      event.preventDefault();
      this.fill(this.#last);
    }
  }

  #changed() {
    this.#grow();
    this.#buttons();
    const used = length(this.#text.value.trim());
    const over = used > MAX;
    this.#note.classList.toggle("is-warning", over);
    this.#text.setAttribute("aria-invalid", String(over));
    if (over) this.#note.textContent = `${used - MAX} characters too many; ${MAX} fit into a message.`;
    else if (used >= COUNT_FROM) this.#note.textContent = `${MAX - used} characters left`;
    else this.#note.replaceChildren(h("kbd", { text: "Enter" }), " sends, ", h("kbd", { text: "Shift" }), " ", h("kbd", { text: "Enter" }), " makes a new line");
  }

  #buttons() {
    const used = length(this.#text.value.trim());
    this.#sendButton.disabled = used === 0 || used > MAX;
    // While a run is active, the stop button has the place; a message that is typed can still be queued.
    this.#sendButton.hidden = this.#turn !== null && used === 0;
  }

  #grow() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, TALLEST)}px`;
    this.#text.style.overflowY = this.#text.scrollHeight > TALLEST ? "auto" : "hidden";
  }
}

/** Characters as the server counts them, not UTF-16 units. */
function length(text) {
  return text.length < COUNT_FROM ? text.length : [...text].length;
}

// The message box: growing, sending, stopping, counting, and whose draft is in it.

import { announce, h } from "../dom.js";

const MAX = 8000;
const COUNT_FROM = 7500;
const TALLEST = 220;

export class Composer {
  #send;
  #stop;
  #drafts;
  #lastMessage;
  #turn = null;
  /** The conversation whose draft is in the box; null for a new one, undefined before there is any. */
  #place;
  /** What was last put into the box and not by typing. */
  #suggested = "";
  #text = h("textarea", {
    id: "composer-text", class: "composer-text", rows: 1, placeholder: "Tell Errand what needs doing…", "aria-label": "Message", dir: "auto",
    "aria-describedby": "composer-note", enterkeyhint: "send", autocomplete: "off",
  });
  /** What was in the box before a message was put in to be edited; null while none is. */
  #before = null;
  #editing = h("div", { class: "composer-editing", icon: "pencil" }, h("span", {}, "Your edit is sent as a new message. The first one, and what it did, stay."),
    h("button", { type: "button", class: "icon-button is-small", icon: "close", "aria-label": "Do not edit it", title: "Do not edit it (Esc)", on: { click: () => this.#stopEditing(true) } }));
  #note = h("p", { id: "composer-note", class: "composer-note" });
  #sendButton = h("button", { class: "send", type: "submit", icon: "send", "aria-label": "Send", title: "Send" });
  #stopButton = h("button", { class: "stop", type: "button", icon: "stop", "aria-label": "Stop the answer", title: "Stop (Esc)", hidden: true });

  /** `lastMessage()`: what was last said in the conversation that is shown. */
  constructor(form, { send, stop, drafts, lastMessage }) {
    this.#send = send;
    this.#stop = stop;
    this.#drafts = drafts;
    this.#lastMessage = lastMessage;
    this.#editing.hidden = true;
    form.append(
      this.#editing,
      h("div", { class: "composer-box", on: { click: (event) => { if (event.target === event.currentTarget) this.focus(); } } },
        this.#text, h("div", { class: "composer-actions" }, this.#stopButton, this.#sendButton)),
      this.#note);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#edited());
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

  /** Shows the draft of a conversation; null stands for the new one. */
  show(place) {
    this.#place = place;
    this.#suggested = "";
    this.#stopEditing(false);
    this.#put(this.#drafts.of(place));
  }

  /** The conversation whose draft this is has got its id. */
  name(place) {
    this.#place = place;
  }

  /** The conversation whose draft this was is gone; the new one has it. Whoever is typing goes on. */
  rehouse() {
    if (this.isEmpty) return;
    this.#place = null;
    const text = this.#drafts.of(null);
    if (!this.#text.value.startsWith(text)) this.#put(text);
  }

  get isEmpty() {
    return this.#text.value.trim() === "";
  }

  /**
   * Puts a sentence into the empty box, or in place of another suggestion. What somebody has written stays: then only the
   * `mention` goes in, where the cursor is.
   */
  suggest(sentence, mention) {
    const { value, selectionEnd: cursor } = this.#text;
    this.#text.focus();
    if (value.trim() === "" || value === this.#suggested) {
      this.#text.select();
      this.#insert(sentence);
      this.#suggested = this.#text.value;
      return;
    }
    // Behind what is selected, not in its place.
    this.#text.setSelectionRange(cursor, cursor);
    const [before, behind] = [value.slice(0, cursor), value.slice(cursor)];
    if (mention) this.#insert(`${/\S$/.test(before) ? " " : ""}${mention}${/^[\p{L}\p{N}]/u.test(behind) ? " " : ""}`);
    else {
      this.#text.setSelectionRange(value.length, value.length);
      this.#insert(`${/\n$/.test(value) ? "" : "\n"}${sentence}`);
    }
  }

  /** Puts a message into the box that has been sent, to be sent otherwise. What was in the box comes back if it is not. */
  edit(text) {
    this.#before ??= this.#text.value;
    this.#editing.hidden = false;
    this.#text.focus();
    this.#text.select();
    this.#insert(text);
    announce("The message is in the box. It will be sent as a new message.");
  }

  #stopEditing(isBack) {
    if (this.#before === null) return;
    const before = this.#before;
    this.#before = null;
    this.#editing.hidden = true;
    if (!isBack) return;
    this.#text.value = before;
    this.#edited();
    this.focus();
  }

  #put(text) {
    if (this.#text.value === text) return;
    this.#text.value = text;
    this.#text.setSelectionRange(text.length, text.length);
    this.#changed();
  }

  /** Inserts as typing does, so that it can be undone as typing can. */
  #insert(text) {
    if (document.execCommand("insertText", false, text)) return;
    this.#text.setRangeText(text, this.#text.selectionStart, this.#text.selectionEnd, "end");
    this.#edited();
  }

  #edited() {
    this.#drafts.keep(this.#place, this.#text.value);
    this.#changed();
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
    this.#stopEditing(false);
    this.#text.value = "";
    this.#edited();
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
    } else if (event.key === "ArrowUp" && this.#text.value === "" && this.#lastMessage()) {
      event.preventDefault();
      this.#insert(this.#lastMessage());
    } else if (event.key === "Escape" && this.#before !== null) {
      event.preventDefault();
      this.#stopEditing(true);
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

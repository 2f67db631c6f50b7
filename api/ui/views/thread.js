// The conversation in the middle: its turns, its empty states, and where it is scrolled to.

import { namePage } from "../badge.js";
import { announce, byId, h } from "../dom.js";
import { SUGGESTIONS, tellError } from "../phrases.js";
import { addressOf } from "../router.js";
import { Place } from "./place.js";
import { TurnView } from "./turn.js";

/** Turns shown at first; earlier ones on demand. */
const WINDOW = 60;

export class Thread {
  #conversations;
  #connection;
  #composer;
  #suggest;
  #userName;
  #context;
  #element = byId("thread");
  #scroller = byId("scroller");
  #place = new Place(this.#scroller, this.#element, () => this.#showJump());
  #jump = byId("jump");
  #title = byId("chat-title");
  #views = new Map();
  #dirty = new Set();
  #frame = 0;
  #window = WINDOW;
  /** Turns there were when it was last drawn. */
  #length = 0;
  #earlier = h("button", { class: "secondary earlier", on: { click: () => this.#showEarlier() } }, "Show earlier messages");
  #onChange = ({ detail: turn }) => this.#schedule(turn);
  #visible = new IntersectionObserver((entries) => this.#seen(entries), { root: byId("scroller"), rootMargin: "300px" });

  constructor({ connection, conversations, tasks, composer, userName, suggest }) {
    this.#connection = connection;
    this.#conversations = conversations;
    this.#composer = composer;
    this.#suggest = suggest;
    this.#userName = userName;
    this.transcript = null;
    this.#context = { online: () => connection.online && !connection.unplugged, titleOf: (id) => tasks.title(id) };
    connection.addEventListener("state", () => this.#schedule(null));
    tasks.addEventListener("change", () => this.#schedule(null));
    conversations.addEventListener("ended", ({ detail: turn }) => this.#announce(turn));
    this.#jump.addEventListener("click", () => this.#place.toEnd(true));
  }

  show(transcript) {
    this.transcript?.removeEventListener("change", this.#onChange);
    this.transcript = transcript;
    transcript.addEventListener("change", this.#onChange);
    this.#views.clear();
    this.#visible.disconnect();
    this.#window = WINDOW;
    this.#length = 0;
    this.#element.replaceChildren();
    this.#place.toEnd();
    this.#render();
    this.#place.toEnd();
  }

  /** The message was sent just now: whoever wrote it wants to see it. */
  follow() {
    this.title();
    this.#render();
    this.#place.toEnd();
  }

  title(title) {
    const text = title ?? this.transcript.title ?? (this.transcript.id ? "Conversation" : "New conversation");
    this.#title.textContent = text;
    this.#title.classList.toggle("is-new", this.transcript.state === "new" && this.transcript.turns.length === 0);
    namePage(this.transcript.state === "new" ? null : text);
  }

  #schedule(turn) {
    // What goes on from a turn tells of it, too.
    if (turn) for (let it = turn; it; it = it.after) this.#dirty.add(it);
    else this.#dirty = new Set([...this.#dirty, ...(this.transcript?.turns ?? [])]);
    // At most once a frame, however many words arrive.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const { transcript } = this;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const running = transcript.active.find((turn) => turn.status === "running") ?? transcript.active[0] ?? null;
    this.#composer.setActive(running);
    // Nothing can be said in a conversation that does not exist.
    byId("composer").hidden = transcript.state === "missing";
    if (transcript.turns.length === 0) {
      this.#showJump();
      this.#views.clear();
      this.#element.replaceChildren(this.#placeholder());
      this.#element.classList.add("is-empty");
      return;
    }
    this.#element.classList.remove("is-empty");
    // A new turn at the end takes none away from under whoever reads further up.
    if (!this.#place.atEnd) this.#window += Math.max(0, transcript.turns.length - this.#length);
    this.#length = transcript.turns.length;
    const turns = transcript.turns.slice(-this.#window);
    const kept = new Set(turns);
    for (const [turn, view] of this.#views) {
      if (kept.has(turn)) continue;
      this.#visible.unobserve(view.element);
      this.#views.delete(turn);
    }
    const elements = turns.map((turn) => {
      const view = this.#views.get(turn);
      if (view && dirty.has(turn)) {
        view.update();
        // What it is may be known only now that it is in view.
        this.#fetch(view.element);
      }
      return (view ?? this.#view(turn)).element;
    });
    if (turns.length < transcript.turns.length) elements.unshift(this.#earlier);
    settle(this.#element, elements);
    this.#showJump();
  }

  #view(turn) {
    const actions = {
      retry: () => {
        this.#conversations.retry(this.transcript, turn);
        // It goes on behind the turn, and most often that is at the end.
        if (this.transcript.turns.slice(-2).includes(turn)) this.follow();
        else this.#render();
        this.#composer.focus({ unlessTouch: true });
      },
      cancel: () => this.#conversations.cancel(this.transcript, turn).catch(() => {}),
      decide: (decisions) => this.#conversations.decide(this.transcript, turn, decisions),
    };
    const view = new TurnView(turn, actions, this.#context);
    view.element.turn = turn;
    this.#views.set(turn, view);
    this.#visible.observe(view.element);
    return view;
  }

  #seen(entries) {
    for (const { isIntersecting, target } of entries) {
      target.isNear = isIntersecting;
      this.#fetch(target);
    }
  }

  /** Tool calls of stored replies are fetched once they come into view. */
  #fetch({ isNear, turn }) {
    if (isNear && turn.ended && !turn.rejected && turn.detail === "none") this.#conversations.loadDetail(this.transcript, turn);
  }

  #showEarlier() {
    this.#place.hold(this.#element.querySelector("article"));
    this.#window += WINDOW;
    this.#render();
    this.#place.keep();
    if (!this.#earlier.isConnected) this.#scroller.focus({ preventScroll: true });
  }

  #placeholder() {
    const { state, error } = this.transcript;
    if (state === "loading") return h("div", { class: "thread-ghosts", "aria-label": "Loading", role: "img" }, h("div", { class: "ghost" }), h("div", { class: "ghost" }), h("div", { class: "ghost" }));
    if (state === "missing") {
      return notice("Nothing here", "This conversation does not exist, or it belongs to somebody else.",
        h("a", { class: "primary", href: addressOf(null), text: "Start a new one" }));
    }
    if (state === "failed") {
      return notice("That did not load", tellError(error),
        h("button", { class: "primary", text: "Try again", on: { click: () => this.#conversations.reload(this.transcript) } }));
    }
    const chips = SUGGESTIONS.map((text) => h("button", { class: "chip", text, on: { click: () => this.#suggest(text) } }));
    return h("div", { class: "welcome" },
      h("p", { class: "welcome-title", text: this.#userName ? `What needs doing, ${this.#userName}?` : "What needs doing?" }),
      h("p", { class: "welcome-lead", text: "Say it in your own words. Errand keeps the list, and shows every step it takes." }),
      h("div", { class: "chips", role: "group", "aria-label": "Suggestions" }, ...chips));
  }

  #showJump() {
    this.#jump.hidden = this.#place.atEnd || !this.transcript || this.transcript.turns.length === 0;
    const writing = !this.#jump.hidden && this.transcript.active.length > 0;
    this.#jump.classList.toggle("is-writing", writing);
  }

  #announce(turn) {
    if (!this.transcript.turns.includes(turn)) return;
    if (turn.status === "completed") announce(`Errand: ${turn.reply.replace(/[*_`#>|[\]]/g, "")}`);
    else if (turn.status === "cancelled") announce("Stopped.");
    else if (turn.status === "failed") announce(`${tellError(turn.error)} You can ${turn.tookEffect ? "continue" : "try again"}.`);
  }
}

/** Makes these the children, in this order. What is in its place is not touched: it keeps its focus, and its scroll position. */
function settle(parent, elements) {
  const kept = new Set(elements);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

function notice(title, text, action) {
  return h("div", { class: "welcome" }, h("p", { class: "welcome-title", text: title }), h("p", { class: "welcome-lead", text }), action);
}

// The conversation in the middle: its turns, and where it is scrolled to.

import { namePage } from "../badge.js";
import { announce, byId, h } from "../dom.js";
import { dayOf, dayWords } from "../days.js";
import { tellError, tellWish } from "../phrases.js";
import { receiptOf } from "../receipt.js";
import { addressOf } from "../router.js";
import { today } from "../zone.js";
import { Place } from "./place.js";
import { settle } from "./settle.js";
import { TurnView } from "./turn.js";
import { notice, Welcome } from "./welcome.js";

/** Turns shown at first; earlier ones as they are scrolled to. */
const WINDOW = 60;
/** How far above the screen earlier ones are fetched (pixels). */
const AHEAD = 1200;

export class Thread {
  #conversations;
  #composer;
  #context;
  #send;
  #welcome;
  #element = byId("thread");
  #scroller = byId("scroller");
  #place = new Place(this.#scroller, this.#element, () => this.#showJump());
  #jump = byId("jump");
  #title = byId("chat-title");
  #views = new Map();
  #lines = new Map();
  #days = new WeakMap();
  #dirty = new Set();
  #frame = 0;
  #window = WINDOW;
  /** Turns there were when it was last drawn. */
  #length = 0;
  #earlier = h("button", { type: "button", class: "secondary earlier", on: { click: () => this.#showEarlier() } });
  #gone = notice("This conversation was deleted", "In another tab, or on another device. The tasks that came of it are still on your list.",
    h("a", { class: "primary", href: addressOf(null), text: "Start a new one" }));
  #onChange = ({ detail: turn }) => this.#schedule(turn);
  #visible = new IntersectionObserver((entries) => this.#seen(entries), { root: byId("scroller"), rootMargin: "300px" });
  #reached = new IntersectionObserver((entries) => this.#reach(entries), { root: byId("scroller"), rootMargin: `${AHEAD}px 0px 0px 0px` });

  /** `send(text)`: what a click on a suggestion does. */
  constructor({ connection, conversations, tasks, composer, userName, send }) {
    this.#conversations = conversations;
    this.#composer = composer;
    this.#send = send;
    this.#welcome = new Welcome({ tasks, userName, send, draft: (text) => composer.suggest(text), reload: () => conversations.reload(this.transcript) });
    this.transcript = null;
    this.#context = { online: () => connection.online && !connection.unplugged, titleOf: (id) => tasks.title(id), tasks };
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
    this.#lines.clear();
    this.#visible.disconnect();
    this.#reached.disconnect();
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
    // What it was called last is what it is called when it is gone.
    if (title) this.transcript.title = title;
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
    // Nothing can be said in a conversation that does not exist. But the box does not go from under the fingers: the keys that follow would be commands.
    byId("composer").hidden = transcript.state === "missing" || (transcript.state === "deleted" && this.#composer.isEmpty);
    const isEmpty = transcript.turns.length === 0;
    this.#element.classList.toggle("is-empty", isEmpty);
    if (isEmpty) {
      this.#views.clear();
      settle(this.#element, [transcript.state === "deleted" ? this.#gone : this.#welcome.element(transcript)]);
      this.#showJump();
      return;
    }
    // A new turn at the end takes none away from under whoever reads further up.
    if (!this.#place.atEnd) this.#window += Math.max(0, transcript.turns.length - this.#length);
    this.#length = transcript.turns.length;
    settle(this.#element, this.#elements(transcript.turns.slice(-this.#window), dirty));
    this.#showJump();
  }

  #elements(turns, dirty) {
    const kept = new Set(turns);
    for (const [turn, view] of this.#views) {
      if (kept.has(turn)) continue;
      this.#visible.unobserve(view.element);
      this.#views.delete(turn);
    }
    const lastSaid = this.transcript.turns.findLast(({ text }) => text !== null);
    const elements = [];
    let day = null;
    for (const turn of turns) {
      const its = this.#dayOf(turn) ?? day;
      // Of a conversation of today nobody has to be told that.
      if (its !== day && (day !== null || its !== today())) elements.push(this.#line(turn, its));
      day = its;
      const view = this.#views.get(turn) ?? this.#view(turn);
      if (dirty.has(turn)) {
        view.update();
        // What it is may be known only now that it is in view.
        this.#fetch(view.element);
      }
      view.element.classList.toggle("is-last-said", turn === lastSaid);
      elements.push(view.element);
    }
    if (turns.length < this.transcript.turns.length || this.transcript.earlier !== "none") elements.unshift(this.#before());
    if (this.transcript.state === "deleted") elements.push(this.#gone);
    return elements;
  }

  /** The day of a turn, where it is known. */
  #dayOf(turn) {
    if (!turn.sentAt) return null;
    const known = this.#days.get(turn);
    if (known?.sentAt === turn.sentAt) return known.day;
    const day = dayOf(turn.sentAt);
    this.#days.set(turn, { sentAt: turn.sentAt, day });
    return day;
  }

  #line(turn, day) {
    const known = this.#lines.get(turn);
    if (known?.dataset.day === day) return known;
    const line = h("p", { class: "day-line", "data-day": day }, h("time", { datetime: day, text: dayWords(day) }));
    this.#lines.set(turn, line);
    return line;
  }

  /** What stands above the first turn that is shown. */
  #before() {
    const { earlier } = this.transcript;
    const label = { loading: "Loading earlier messages…", failed: "Earlier messages could not be loaded. Try again" }[earlier] ?? "Show earlier messages";
    if (this.#earlier.textContent !== label) this.#earlier.textContent = label;
    if (!this.#earlier.isConnected) requestAnimationFrame(() => this.#reached.observe(this.#earlier));
    return this.#earlier;
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
      edit: (text) => this.#composer.edit(text),
      send: (text) => this.#send(text),
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

  #reach(entries) {
    if (!entries.at(-1).isIntersecting || this.transcript.earlier === "failed") return;
    // Before it is first scrolled to its end, a conversation shows its beginning for a moment, to nobody.
    const { clientHeight, scrollHeight } = this.#scroller;
    if (this.#place.atEnd && scrollHeight - clientHeight > AHEAD + this.#earlier.offsetHeight) return;
    this.#showEarlier();
  }

  /** Shows what stands before the first turn; what is read stays where it is. */
  async #showEarlier() {
    const { transcript } = this;
    const hadFocus = document.activeElement === this.#earlier;
    this.#window += WINDOW;
    if (this.#window > transcript.turns.length && transcript.earlier !== "none") {
      const reading = this.#conversations.loadEarlier(transcript);
      this.#render();
      await reading;
      if (transcript !== this.transcript) return;
    }
    this.#render();
    this.#place.keep();
    if (!this.#earlier.isConnected) return hadFocus && this.#scroller.focus({ preventScroll: true });
    // Whether it is still in reach is told anew.
    this.#reached.unobserve(this.#earlier);
    this.#reached.observe(this.#earlier);
  }

  #showJump() {
    this.#jump.hidden = this.#place.atEnd || !this.transcript || this.transcript.turns.length === 0;
    const writing = !this.#jump.hidden && this.transcript.active.length > 0;
    this.#jump.classList.toggle("is-writing", writing);
  }

  /** How a turn ended, for those who do not see it: what was done, what was said, or what is wanted of them. */
  #announce(turn) {
    if (!this.transcript.turns.includes(turn)) return;
    const { line, troubles } = receiptOf(turn, this.#context.titleOf);
    const say = (text) => announce([line && `${line.text}, done.`, troubles.length && `${troubles.length} did not work.`, text].filter(Boolean).join(" "));
    if (turn.status === "completed" && turn.reply) say(`Errand: ${turn.reply.replace(/[*_`#>|[\]]/g, "")}`);
    else if (turn.status === "cancelled") say("Stopped.");
    else if (turn.status === "failed") say(`Failed: ${tellError(turn.error)} You can ${turn.tookEffect ? "continue" : "try again"}.`);
    else if (turn.status === "waiting") say(`Waiting for your answer: ${turn.interrupts.map((it) => tellWish(it).text).join(" ")}`);
  }
}

// Messages, and wishes to go on, that the server has not accepted yet. They outlive a lost connection and a reload of the tab; the run id made
// here is the idempotency key, so sending one twice is harmless.

import { remembered } from "./dom.js";

export class Outbox {
  #items = [];
  #key;

  constructor(userId) {
    this.#key = `errand.outbox.${userId}`;
    try {
      const items = JSON.parse(remembered.get("sessionStorage", this.#key) ?? "[]");
      this.#items = items.map((item) => ({ ...item, busy: false }));
    } catch {
      // Unreadable: as if there were none.
    }
  }

  get items() {
    return [...this.#items];
  }

  has(runId) {
    return this.#items.some((item) => item.runId === runId);
  }

  /** `threadId` is null in a conversation that the server has yet to make; `retryOf` is there instead of a message. */
  add({ runId, threadId, message, retryOf, sentAt }) {
    this.#items.push({ runId, threadId, message, retryOf, sentAt, tried: false, busy: false });
    this.#save();
  }

  remove(runId) {
    this.#items = this.#items.filter((item) => item.runId !== runId);
    this.#save();
  }

  /** The conversation of these messages has got its id. */
  address(runIds, threadId) {
    for (const item of this.#items) if (runIds.includes(item.runId)) item.threadId = threadId;
    this.#save();
  }

  /** It may have arrived, whatever happens next. */
  mark(item) {
    item.tried = true;
    item.busy = true;
    this.#save();
  }

  clear() {
    this.#items = [];
    this.#save();
  }

  #save() {
    const items = this.#items.map(({ busy: _busy, ...item }) => item);
    remembered.set("sessionStorage", this.#key, items.length ? JSON.stringify(items) : null);
  }
}

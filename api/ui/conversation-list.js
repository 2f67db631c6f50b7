// The user's conversations as a list: read page by page, renamed, deleted. State and the API's requests, no DOM.

import { ApiError } from "./rest.js";

/** When a better title may be there than the first message that a conversation begins with (milliseconds). */
const TITLES_AFTER = [2_000, 6_000, 15_000];

/** Events: `change`, when rows may differ; `gone` (`detail`: {id, here}), when one is not there any more; `here`: deleted by this tab. */
export class ConversationList extends EventTarget {
  #api;
  #rows = new Map();
  #next = null;
  #timer = 0;
  /** Titles that are on their way to the server, by id. */
  #renaming = new Map();
  #deleted = new Set();
  /** Tells the other tabs of this browser; other devices see it when they read the list. */
  #channel;

  constructor({ api, userId }) {
    super();
    this.#api = api;
    /** "loading", "there" or "failed". */
    this.state = "loading";
    this.#channel = new BroadcastChannel(`errand.conversations.${userId}`);
    this.#channel.addEventListener("message", ({ data: { deleted, id, title } }) => {
      if (deleted) this.#drop(deleted);
      else this.#put(id, { title });
    });
  }

  /** The last used first. */
  get rows() {
    return [...this.#rows.values()].sort((a, b) => b.updated_at.localeCompare(a.updated_at));
  }

  /** Whether there are older ones that have not been read. */
  get hasOlder() {
    return this.#next !== null;
  }

  title(id) {
    return this.#rows.get(id)?.title ?? null;
  }

  /** Reads the first page soon. */
  refresh(delay = 0) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), delay);
  }

  /** A conversation that was made just now. */
  add({ id, title }) {
    if (this.#rows.has(id)) return;
    this.#rows.set(id, { id, title: title ?? "New conversation", updated_at: new Date().toISOString() });
    this.state = "there";
    this.#changed();
  }

  /** Its first reply is there: a title of its own may follow. */
  expectTitle(id) {
    const before = this.title(id);
    for (const delay of TITLES_AFTER) setTimeout(() => this.title(id) === before && this.refresh(), delay);
  }

  /** Seen at once; taken back if the server refuses, and then the promise is rejected. */
  async rename(id, title) {
    const before = this.title(id);
    this.#renaming.set(id, title);
    this.#put(id, { title });
    try {
      const row = await this.#api.renameConversation(id, title);
      this.#put(id, row);
      this.#channel.postMessage({ id, title: row.title });
    } catch (error) {
      if (isGone(error)) this.#drop(id);
      else this.#put(id, { title: before });
      throw error;
    } finally {
      if (this.#renaming.get(id) === title) this.#renaming.delete(id);
    }
  }

  /** Gone when the server says so. What was deleted elsewhere is no error. */
  async remove(id) {
    try {
      await this.#api.deleteConversation(id);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    this.#channel.postMessage({ deleted: id });
    this.#drop(id, true);
  }

  /** Reads one page of older ones; rejected if that fails. */
  async readOlder() {
    const { conversations, next_cursor: next } = await this.#api.conversations(this.#next);
    this.#next = next;
    for (const row of conversations) this.#take(row);
    this.#changed();
  }

  close() {
    clearTimeout(this.#timer);
    this.#channel.close();
  }

  async #read() {
    const known = [...this.#rows.values()];
    try {
      const { conversations, next_cursor: next } = await this.#api.conversations();
      // Older pages that were opened stay open.
      if (this.#rows.size <= conversations.length) this.#next = next;
      for (const row of conversations) this.#take(row);
      this.state = "there";
      // What was there before it was asked, and belongs among these, has been deleted.
      const last = next ? conversations.at(-1)?.updated_at ?? "" : "";
      const listed = new Set(conversations.map(({ id }) => id));
      for (const { id, updated_at: at } of known) if (!listed.has(id) && at > last) this.#drop(id);
    } catch {
      if (this.state !== "there") this.state = "failed";
    }
    this.#changed();
  }

  #take(row) {
    if (this.#deleted.has(row.id)) return;
    this.#rows.set(row.id, { ...row, title: this.#renaming.get(row.id) ?? row.title });
  }

  #put(id, fields) {
    if (!this.#rows.has(id)) return;
    this.#rows.set(id, { ...this.#rows.get(id), ...fields });
    this.#changed();
  }

  #drop(id, here = false) {
    if (this.#deleted.has(id)) return;
    this.#deleted.add(id);
    this.#rows.delete(id);
    this.dispatchEvent(new CustomEvent("gone", { detail: { id, here } }));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const isGone = (error) => error instanceof ApiError && error.status === 404;

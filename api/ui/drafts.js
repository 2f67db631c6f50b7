// What was typed and not sent, by conversation. It outlives a reload and the tab; signing out takes it away.
//
// Each tab keeps its own (a reload finds them), and all share what was typed last (a new tab finds that): two tabs in which
// something is typed for the same conversation take nothing from each other.

import { remembered } from "./dom.js";

/** Drafts that are kept: the last edited ones. */
const MAX_DRAFTS = 50;
/** UTF-16 units of one draft, of which the rest stays in the box only, and of all together. */
const MAX_LENGTH = 20_000;
const MAX_TOTAL = 200_000;

/** The place of the conversation that its first message will make. */
const NEW = "new";

export class Drafts {
  #key;

  constructor(userId) {
    this.#key = `errand.drafts.${userId}`;
  }

  /** The draft of a conversation (null: of the new one); "" if there is none. */
  of(id) {
    const place = id ?? NEW;
    return this.#read("sessionStorage").get(place) ?? this.#read("localStorage").get(place) ?? "";
  }

  /** Keeps a draft; a blank one is forgotten. */
  keep(id, text) {
    const place = id ?? NEW;
    const before = this.of(id);
    const now = text.trim() === "" ? "" : text.slice(0, MAX_LENGTH);
    const shared = this.#read("localStorage");
    // What another tab has typed since is that tab's to forget.
    if (now !== "" || shared.get(place) === before) this.#put("localStorage", shared, place, now);
    // Forgotten here, whatever the others share.
    this.#put("sessionStorage", this.#read("sessionStorage"), place, now, this.#read("localStorage").has(place));
  }

  /** The new conversation of this tab has got its id. */
  name(id) {
    const text = this.#read("sessionStorage").get(NEW) ?? "";
    if (text === "") return;
    this.keep(null, "");
    this.keep(id, text);
  }

  /** The conversation is gone: what this tab has for it waits for the next one, behind what waits there already. */
  rehouse(id) {
    const text = this.#read("sessionStorage").get(id) ?? "";
    this.keep(id, "");
    if (text !== "") this.keep(null, [this.of(null), text].filter(Boolean).join("\n"));
  }

  clear() {
    for (const storage of ["sessionStorage", "localStorage"]) remembered.set(storage, this.#key, null);
  }

  /** Drafts by place, the last edited one last. */
  #read(storage) {
    try {
      const pairs = JSON.parse(remembered.get(storage, this.#key) ?? "[]");
      return new Map(pairs.filter(([place, text]) => typeof place === "string" && typeof text === "string"));
    } catch {
      return new Map();
    }
  }

  /** Writes the last edited ones, within the bounds. */
  #put(storage, drafts, place, text, keepEmpty = false) {
    drafts.delete(place);
    if (text !== "" || keepEmpty) drafts.set(place, text);
    let total = MAX_TOTAL;
    const kept = [...drafts].slice(-MAX_DRAFTS).reverse().filter(([, { length }]) => (total -= length) >= 0).reverse();
    remembered.set(storage, this.#key, kept.length ? JSON.stringify(kept) : null);
  }
}

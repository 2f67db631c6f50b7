// A search in the titles and messages of all conversations. The server looks as far as one request's time allows; this goes on
// from there, up to a bound, and tells what has been found meanwhile. State and the API's requests, no DOM.

/** Between the last key and the first request (milliseconds). */
const PAUSE = 250;
/** Requests in a row; then the user is asked whether to look further. */
const MAX_REQUESTS = 20;
/** Conversations found in a row, likewise. */
const ENOUGH = 50;
/** Pause before asking again when the server has too much to do (milliseconds). */
const AGAIN = 1_500;

/** Events: `change`. */
export class Search extends EventTarget {
  #api;
  #next = null;
  #timer = 0;
  #abort = null;

  constructor(api) {
    super();
    this.#api = api;
    this.text = "";
    this.rows = [];
    /** "none", "looking", "paused" (there is more to look at), "done" or "failed". */
    this.state = "none";
  }

  /** Looks for another text; an empty one ends it. */
  find(text) {
    const wanted = text.trim();
    if (wanted === this.text) return;
    this.stop();
    this.text = wanted;
    this.rows = [];
    this.#next = null;
    this.state = wanted === "" ? "none" : "looking";
    if (wanted !== "") this.#timer = setTimeout(() => this.#look(), PAUSE);
    this.#changed();
  }

  /** Looks further: behind the bound, or after a failure. */
  goOn() {
    if (this.state !== "paused" && this.state !== "failed") return;
    this.state = "looking";
    this.#changed();
    this.#look();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  /** A conversation is called otherwise, or is gone (`fields` null). */
  update(id, fields) {
    this.rows = this.rows.flatMap((row) => (row.id !== id ? [row] : fields ? [{ ...row, ...fields }] : []));
  }

  async #look() {
    const abort = new AbortController();
    this.#abort = abort;
    const before = this.rows.length;
    try {
      for (let request = 0; request < MAX_REQUESTS; request++) {
        const page = await this.#page(abort.signal);
        if (abort.signal.aborted) return;
        const known = new Set(this.rows.map(({ id }) => id));
        this.rows = [...this.rows, ...page.conversations.filter(({ id }) => !known.has(id))];
        this.#next = page.next_cursor;
        if (!this.#next || this.rows.length - before >= ENOUGH) break;
        this.#changed();
      }
      this.state = this.#next ? "paused" : "done";
    } catch {
      if (abort.signal.aborted) return;
      this.state = "failed";
    }
    this.#changed();
  }

  async #page(signal) {
    const ask = () => this.#api.conversations(this.#next, { search: this.text, signal });
    try {
      return await ask();
    } catch (error) {
      // Another search of the same user, perhaps the one before this.
      if (error.code !== "rate_limited" || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
      return ask();
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

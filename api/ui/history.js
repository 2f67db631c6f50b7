// What is stored of a conversation, read from its end: the newest messages first, older ones page by page as they are asked for;
// and what the messages do not tell, run by run.

/** Pages at most that are read to find what is known already, after a long time without a connection. */
const MAX_PAGES = 10;

export class History {
  #api;
  #isUnsent;
  /** Where the older messages of each transcript go on. */
  #cursors = new WeakMap();

  /** `isUnsent(runId)`: whether the server has yet to accept it. */
  constructor(api, isUnsent) {
    this.#api = api;
    this.#isUnsent = isUnsent;
  }

  /** Takes in the newest messages, as far as they are not known; the run of this id is being streamed. Throws what the API throws. */
  async readNewest(transcript, activeRunId) {
    const rows = [];
    const isNew = !transcript.turns.some((turn) => turn.isStored);
    let cursor;
    let meets = false;
    for (let page = 0; page < MAX_PAGES; page++) {
      const { messages, next_cursor: next } = await this.#api.messages(transcript.id, cursor);
      rows.push(...messages);
      cursor = next;
      meets = messages.some(({ run_id: runId }) => transcript.turn(runId)?.isStored);
      if (!next || isNew || meets) break;
    }
    if (!isNew && !meets && cursor) transcript.forgetStored();
    // What is known goes back as far as it did, and no further.
    if (isNew || !meets) {
      this.#cursors.set(transcript, cursor);
      transcript.earlier = cursor ? "more" : "none";
    }
    transcript.merge(rows.reverse());
    this.#readOpen(transcript, activeRunId);
  }

  /** Takes in the messages right before those that are there. */
  async readEarlier(transcript) {
    if (transcript.earlier !== "more" && transcript.earlier !== "failed") return;
    transcript.earlier = "loading";
    try {
      const { messages, next_cursor: next } = await this.#api.messages(transcript.id, this.#cursors.get(transcript));
      this.#cursors.set(transcript, next);
      transcript.earlier = next ? "more" : "none";
      transcript.merge(messages.reverse(), { earlier: true });
      this.#readOpen(transcript);
    } catch {
      transcript.earlier = "failed";
      transcript.changed(null);
    }
  }

  /** Fetches a turn's tool calls and how it ended. */
  async readRun(transcript, turn) {
    if (turn.detail === "there" || turn.detail === "loading") return;
    turn.detail = "loading";
    try {
      const run = await this.#api.run(turn.runId);
      // The stream may have been faster, and it knows more.
      if (turn.detail === "loading") turn.settle(run);
      if (run.continued_by) this.#readAfter(transcript, transcript.goOn(turn.runId, run.continued_by));
      else if (turn.interrupted && turn.text === null && !turn.before) this.#readBefore(transcript, turn);
    } catch {
      turn.detail = "failed";
    }
    transcript.changed(turn);
  }

  /** Messages without a reply: their runs failed, were stopped, or still go on. */
  #readOpen(transcript, activeRunId) {
    const open = transcript.turns.filter((turn) => turn.isStored && !turn.ended && turn.runId !== activeRunId && !this.#isUnsent(turn.runId));
    for (const turn of open) {
      turn.detail = "none";
      this.readRun(transcript, turn);
    }
  }

  /** A run that went on and left no message is known by the one before it only. */
  #readAfter(transcript, turn) {
    if (turn.status === "unknown" && !this.#isUnsent(turn.runId)) this.readRun(transcript, turn);
  }

  /** Whether something took effect for a turn's message is known by the runs before it, too. */
  #readBefore(transcript, turn) {
    const { turns } = transcript;
    for (const earlier of turns.slice(0, turns.indexOf(turn)).reverse()) {
      this.readRun(transcript, earlier);
      if (earlier.text !== null) return;
    }
  }
}

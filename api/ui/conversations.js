// The conversations this page knows: which are followed, what is sent, what comes back. Joins the socket, the HTTP API and
// the transcripts; decides nothing about how it looks.

import { Delivery } from "./delivery.js";
import { uuid } from "./dom.js";
import { History } from "./history.js";
import { ApiError } from "./rest.js";
import { RequestError } from "./socket.js";
import { Transcript } from "./transcript.js";
import { timeZone } from "./zone.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const POLL_SECONDS = 20;
const FOLLOW_AGAIN = 5_000;

/**
 * Events: `named` (a new conversation got its id; `detail`: transcript), `event` (`detail`: {turn, event}, seen for the
 * first time), `ended` (`detail`: turn), `accepted` (`detail`: transcript), `activity` (`detail`: ids in which runs are active),
 * `deleted` (`detail`: id of a conversation that was there and is gone), `homeless` (`detail`: a message that was sent to one).
 */
export class Conversations extends EventTarget {
  #api;
  #connection;
  #outbox;
  #delivery;
  #history;
  #transcripts = new Map();
  #drafts = new Set();
  #current = null;
  #followed = new Set();
  #activity = "";

  constructor({ api, connection, outbox }) {
    super();
    this.#api = api;
    this.#connection = connection;
    this.#outbox = outbox;
    this.#history = new History(api, (runId) => outbox.has(runId));
    this.#delivery = new Delivery({ api, connection, outbox }, {
      accepted: (runId, answer) => this.#accept(runId, answer),
      rejected: (runId, error) => this.#reject(runId, error),
      posted: (runId, answer) => this.#poll(runId, answer),
    });
    connection.addEventListener("online", () => this.#resume());
    connection.addEventListener("frame", ({ detail }) => this.#receive(detail));
    connection.addEventListener("state", () => {
      if (!connection.online) this.#followed.clear();
    });
    this.#restore();
  }

  /** The conversation to show; without an id, one that its first message will make. */
  open(id) {
    this.#leave();
    if (!id) {
      this.#current = [...this.#drafts].at(-1) ?? this.#draft();
    } else {
      this.#current = this.#transcripts.get(id) ?? this.#transcript(id);
      this.#follow(this.#current, true);
    }
    return this.#current;
  }

  /** Loads the shown conversation again, after an error. */
  reload(transcript) {
    transcript.state = "loading";
    transcript.changed(null);
    this.#follow(transcript, true);
  }

  send(transcript, message) {
    const runId = uuid();
    const turn = transcript.add(runId, message);
    transcript.title ??= message;
    this.#outbox.add({ runId, threadId: transcript.id, message, sentAt: turn.sentAt });
    this.#delivery.flush();
    return turn;
  }

  /**
   * Once more, for a turn that did not come to its end. A message that the server never accepted is sent again as it was.
   * Otherwise another run goes on behind what has taken effect; nothing is said or done twice.
   */
  retry(transcript, turn) {
    if (turn.rejected) return this.#sendAgain(transcript, turn);
    if (!turn.interrupted) return;
    turn.refusal = null;
    const next = transcript.goOn(turn.runId, uuid());
    next.status = "sending";
    this.#outbox.add({ runId: next.runId, threadId: transcript.id, retryOf: turn.runId, sentAt: new Date().toISOString() });
    transcript.changed(null);
    this.#delivery.flush();
  }

  #sendAgain(transcript, turn) {
    if (turn.error.code === "idempotency_key_reused") return this.send(transcript, turn.text);
    turn.status = "sending";
    turn.rejected = false;
    turn.error = null;
    this.#outbox.add({ runId: turn.runId, threadId: transcript.id, message: turn.text, sentAt: turn.sentAt });
    transcript.changed(turn);
    this.#delivery.flush();
  }

  /** Only this cancels a run; a closed tab or a lost connection never does. */
  async cancel(transcript, turn) {
    turn.stopping = true;
    transcript.changed(turn);
    try {
      if (this.#connection.online) await this.#connection.request("run.cancel", { runId: turn.runId });
      else await this.#api.cancel(turn.runId);
    } finally {
      turn.stopping = false;
      transcript.changed(turn);
    }
  }

  /** Decides about the calls that a turn waits for; `decisions` by the id of each interrupt. */
  async decide(transcript, turn, decisions) {
    try {
      if (this.#connection.online) await this.#connection.request("run.decide", { runId: turn.runId, decisions, timeZone: timeZone() });
      else await this.#api.decide(turn.runId, decisions);
    } catch (error) {
      // It may have been decided or cancelled elsewhere: then that is what is to be seen, and no error.
      turn.detail = "none";
      await this.loadDetail(transcript, turn);
      if (turn.status === "waiting") throw error;
      return;
    }
    this.#followed.add(transcript);
    turn.decided();
    transcript.changed(turn);
  }

  /** Fetches a turn's tool calls and how it ended. */
  loadDetail(transcript, turn) {
    return this.#history.readRun(transcript, turn);
  }

  /** Fetches what stands before the turns that are there. */
  loadEarlier(transcript) {
    return this.#history.readEarlier(transcript);
  }

  /** It was deleted: here, in another tab or by another device. */
  deleted(id) {
    const transcript = this.#transcripts.get(id);
    if (!transcript || transcript.state === "deleted") return;
    this.#followed.delete(transcript);
    transcript.state = "deleted";
    // What nobody can answer any more is not waited for.
    for (const turn of transcript.active) turn.end("cancelled");
    this.dispatchEvent(new CustomEvent("deleted", { detail: id }));
    transcript.changed(null);
  }

  #draft() {
    const transcript = this.#watched(new Transcript(null));
    this.#drafts.add(transcript);
    return transcript;
  }

  #transcript(id) {
    const transcript = this.#watched(new Transcript(id));
    this.#transcripts.set(id, transcript);
    return transcript;
  }

  #watched(transcript) {
    transcript.addEventListener("change", () => {
      const ids = [...this.#transcripts.values()].filter(({ active }) => active.length).map(({ id }) => id);
      if (ids.join() === this.#activity) return;
      this.#activity = ids.join();
      this.dispatchEvent(new CustomEvent("activity", { detail: ids }));
    });
    return transcript;
  }

  /** Messages that an earlier page of this tab could not send. */
  #restore() {
    for (const { runId, threadId, message, retryOf, sentAt } of this.#outbox.items) {
      const transcript = threadId
        ? this.#transcripts.get(threadId) ?? this.#transcript(threadId)
        : [...this.#drafts].at(-1) ?? this.#draft();
      if (retryOf) transcript.goOn(retryOf, runId).status = "sending";
      else transcript.add(runId, message, sentAt);
    }
  }

  /** What is no longer shown is followed for as long as a run is active in it. */
  #leave() {
    const left = this.#current;
    if (!left?.id || left.active.length || !this.#followed.delete(left)) return;
    this.#connection.request("unsubscribe", { threadId: left.id }).catch(() => {});
  }

  #resume() {
    const wanted = [...this.#transcripts.values()].filter((transcript) => transcript === this.#current || transcript.active.length);
    for (const transcript of wanted) this.#follow(transcript, transcript === this.#current);
    this.#delivery.flush();
  }

  /** Subscribes, then reads what is stored: in this order nothing falls between the two. */
  async #follow(transcript, load) {
    if (!UUID.test(transcript.id)) return this.#missing(transcript);
    let activeRunId;
    if (this.#connection.online && !this.#followed.has(transcript)) {
      this.#followed.add(transcript);
      try {
        const after = transcript.last ?? undefined;
        ({ activeRunId } = await this.#connection.request("subscribe", { threadId: transcript.id, after }));
      } catch (error) {
        this.#followed.delete(transcript);
        if (error.code === "not_found") return this.#missing(transcript);
        // Refused for now. A lost connection needs no care: the next one follows again.
        if (error instanceof RequestError) setTimeout(() => transcript === this.#current && this.#follow(transcript, true), FOLLOW_AGAIN);
      }
    }
    if (load) await this.#load(transcript, activeRunId);
  }

  async #load(transcript, activeRunId) {
    try {
      await this.#history.readNewest(transcript, activeRunId);
      transcript.state = "there";
      transcript.changed(null);
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return this.#missing(transcript);
      if (transcript.state === "loading") transcript.state = "failed";
      transcript.error = error;
      transcript.changed(null);
    }
  }

  /** What was there and is not any more has been deleted. */
  #missing(transcript) {
    if (transcript.state === "deleted") return;
    if (transcript.state === "there" && transcript.turns.length > 0) return this.deleted(transcript.id);
    transcript.state = "missing";
    transcript.changed(null);
  }

  #accept(runId, { threadId, status }) {
    const transcript = this.#home(threadId, runId);
    const turn = transcript?.turn(runId);
    if (turn) {
      if (this.#connection.online) this.#followed.add(transcript);
      if (turn.status === "sending") turn.status = status === "running" ? "running" : "queued";
      transcript.changed(turn);
      // Accepted long ago, and over: a repeated message whose first answer was lost.
      if (!turn.ended && ["completed", "failed", "cancelled"].includes(status)) this.#load(transcript);
      this.dispatchEvent(new CustomEvent("accepted", { detail: transcript }));
    }
  }

  #reject(runId, error) {
    const transcript = this.#byRun(runId);
    const turn = transcript?.turn(runId);
    if (!turn) return;
    if (turn.before) return this.#refuse(transcript, turn, error);
    turn.status = "failed";
    turn.rejected = true;
    turn.error = { code: error.code, message: error.message };
    transcript.changed(turn);
    this.dispatchEvent(new CustomEvent("ended", { detail: turn }));
    if (error.code !== "not_found" || !transcript.id) return;
    this.deleted(transcript.id);
    this.dispatchEvent(new CustomEvent("homeless", { detail: turn.text }));
  }

  /** No run may go on from there: perhaps one does, started elsewhere. Otherwise the offer stands, and why it did not work. */
  async #refuse(transcript, turn, error) {
    const { before } = turn;
    transcript.drop(turn);
    before.detail = "none";
    await this.loadDetail(transcript, before);
    if (!before.after) before.refusal = { code: error.code, message: error.message };
    transcript.changed(before);
  }

  /** Accepted over plain HTTP, where no event will ever tell: ask until it is over. */
  async #poll(runId, accepted) {
    const transcript = this.#byRun(runId);
    if (!transcript) return;
    transcript.rename(runId, accepted.run_id);
    const turn = transcript.turn(accepted.run_id);
    while (!turn.ended && !this.#connection.online) {
      try {
        turn.settle(await this.#api.run(turn.runId, POLL_SECONDS));
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 3000));
      }
      transcript.changed(turn);
    }
    if (turn.ended) this.dispatchEvent(new CustomEvent("ended", { detail: turn }));
  }

  #receive(frame) {
    const transcript = this.#home(frame.threadId, frame.runId);
    if (!transcript) return;
    if (frame.type === "event") this.#take(transcript, frame);
    else if (frame.type === "run.queued") this.#control(transcript, frame, (turn) => {
      turn.status = "queued";
      turn.position = frame.position;
    });
    else if (frame.type === "run.attempt") this.#control(transcript, frame, (turn) => turn.takenOver(frame.attempt));
    else if (frame.type === "resync_required") this.#resync(transcript);
  }

  #take(transcript, frame) {
    const known = transcript.turn(frame.runId)?.text;
    const turn = transcript.receive(frame);
    if (turn === false) this.#resync(transcript);
    if (!turn) return;
    // The event overtook the answer.
    if (this.#outbox.has(frame.runId)) this.#delivery.arrived(frame.runId, { threadId: frame.threadId, status: "running" });
    // Somebody wrote from another tab or program: the stream has the answer, the message itself is stored.
    if (known === undefined && transcript.state !== "loading") this.#load(transcript, frame.runId);
    this.dispatchEvent(new CustomEvent("event", { detail: { turn, event: frame.event } }));
    if (turn.ended) this.dispatchEvent(new CustomEvent("ended", { detail: turn }));
  }

  #control(transcript, { runId }, change) {
    const turn = transcript.turn(runId);
    if (!turn) return this.#load(transcript, runId);
    if (turn.ended) return;
    change(turn);
    transcript.changed(turn);
  }

  /** The stream has a hole: start over from what is stored. */
  #resync(transcript) {
    transcript.forgetStream();
    this.#followed.delete(transcript);
    this.#follow(transcript, true);
  }

  #byRun(runId) {
    return [...this.#transcripts.values(), ...this.#drafts].find((transcript) => transcript.turn(runId));
  }

  /** The transcript of a frame. The first frame about a new conversation tells its id. */
  #home(threadId, runId) {
    const known = this.#transcripts.get(threadId);
    if (known) return known;
    const draft = this.#byRun(runId);
    if (!draft || draft.id || !threadId) return draft ?? null;
    draft.id = threadId;
    draft.state = "there";
    this.#drafts.delete(draft);
    this.#transcripts.set(threadId, draft);
    this.#outbox.address(draft.turns.map((turn) => turn.runId), threadId);
    this.dispatchEvent(new CustomEvent("named", { detail: draft }));
    return draft;
  }
}

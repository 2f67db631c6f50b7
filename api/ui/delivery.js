// Gets the outbox's messages and retries accepted by the server: over the socket, or over plain HTTP where no socket gets through.

import { asksBeforeDeleting } from "./asking.js";
import { ConnectionLost } from "./socket.js";
import { timeZone } from "./zone.js";

/** Failed connects, without any success, after which messages go over plain HTTP. */
const FALLBACK_AFTER = 3;

export class Delivery {
  #api;
  #connection;
  #outbox;
  #told;

  /** `told`: what to call with (runId, answer or error) when a message was `accepted`, `rejected` or `posted` over HTTP. */
  constructor({ api, connection, outbox }, told) {
    this.#api = api;
    this.#connection = connection;
    this.#outbox = outbox;
    this.#told = told;
    connection.addEventListener("state", () => {
      // Once online, whoever follows conversations subscribes first and flushes then.
      if (!connection.online) this.flush();
    });
  }

  /** Sends what can be sent now. */
  flush() {
    const { online, wasOnline, failures } = this.#connection;
    if (online) {
      for (const item of this.#sendable()) this.#start(item);
    } else if (!wasOnline && failures >= FALLBACK_AFTER && !this.#connection.unplugged) {
      // What may have arrived over a socket must not go another way: the ids of the two ways differ.
      for (const item of this.#sendable()) if (!item.tried) this.#post(item);
    }
  }

  /** The server has it, as an event shows before the answer does. */
  arrived(runId, answer) {
    this.#outbox.remove(runId);
    this.#told.accepted(runId, answer);
    this.flush();
  }

  /** Of a conversation without an id only the first message: its answer brings the id for the others. */
  #sendable() {
    const unnamed = this.#outbox.items.find((item) => !item.threadId);
    return this.#outbox.items.filter((item) => !item.busy && (item.threadId || item === unnamed));
  }

  async #start(item) {
    this.#outbox.mark(item);
    const { runId, threadId, message, retryOf } = item;
    try {
      const answer = retryOf
        ? await this.#connection.request("run.retry", { runId: retryOf, newRunId: runId, timeZone: timeZone() })
        : await this.#connection.request("run.start", { message, threadId: threadId ?? undefined, runId, timeZone: timeZone(), autoTitle: !threadId, askBeforeDeleting: asksBeforeDeleting() });
      this.arrived(runId, answer);
    } catch (error) {
      item.busy = false;
      // Otherwise it stays: the next connection sends it again under the same id.
      if (!(error instanceof ConnectionLost)) this.#refused(runId, error);
    }
  }

  async #post(item) {
    item.busy = true;
    const { runId, retryOf } = item;
    try {
      const answer = await (retryOf ? this.#api.retry(retryOf, runId) : this.#api.chat(item));
      this.arrived(runId, { threadId: answer.conversation_id, status: "running" });
      this.#told.posted(runId, answer);
    } catch (error) {
      item.busy = false;
      if (error.code !== "network") this.#refused(runId, error);
    }
  }

  #refused(runId, error) {
    this.#outbox.remove(runId);
    this.#told.rejected(runId, error);
    this.flush();
  }
}

// The HTTP API: one method per request the page makes. Lists are walked page by page.

import { asksBeforeDeleting } from "./asking.js";
import { refuseZone, timeZone } from "./zone.js";

/** An error answer of the API, or none at all (`code` "network"). */
export class ApiError extends Error {
  constructor(status, { code, message, details } = {}) {
    super(message ?? "The server gave no reason.");
    this.name = "ApiError";
    this.status = status;
    this.code = code ?? "internal_error";
    this.details = details ?? {};
  }
}

const PAGE = 200;
/** Pages of one list at most: a bound on work, not on what may exist. */
const MAX_PAGES = 25;

export class Api {
  #identity;

  constructor(identity) {
    this.#identity = identity;
  }

  /** One page, the last used first; with `search` only those in which it is found, and then a page may be short or empty. */
  conversations(cursor, { search, signal } = {}) {
    return this.#get("/conversations", { limit: 50, cursor, search }, { signal });
  }

  renameConversation(id, title) {
    return this.#request(`/conversations/${encodeURIComponent(id)}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ title }),
    });
  }

  deleteConversation(id) {
    return this.#request(`/conversations/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /** One page of a conversation's messages, the newest first. */
  messages(conversationId, cursor) {
    return this.#get(`/conversations/${encodeURIComponent(conversationId)}/messages`, { order: "desc", limit: 100, cursor });
  }

  /** The last days on which the model was used: `usage` (`day`, `tokens`, `models`, `cost`?), `tokens_per_day`. */
  usage(limit) {
    return this.#get("/usage", { limit });
  }

  /** A page of tasks: `tasks`, `total`, `next_cursor`. `query` has the filters of the API, and `limit` and `cursor`. */
  tasks(query) {
    return this.#get("/tasks", query);
  }

  /** A run; with `wait` (seconds), as soon as it has ended. */
  run(runId, wait) {
    return this.#get(`/runs/${encodeURIComponent(runId)}`, { wait });
  }

  cancel(runId) {
    return this.#request(`/runs/${encodeURIComponent(runId)}/cancel`, { method: "POST" });
  }

  /** Goes on from a run that was stopped or failed. The key makes it safe to repeat. */
  retry(runId, key) {
    return this.#request(`/runs/${encodeURIComponent(runId)}/retry`, {
      method: "POST",
      headers: { "idempotency-key": key, prefer: "respond-async" },
    });
  }

  decide(runId, decisions) {
    return this.#request(`/runs/${encodeURIComponent(runId)}/decision`, {
      method: "POST",
      headers: { "content-type": "application/json", prefer: "respond-async" },
      body: JSON.stringify({ decisions }),
    });
  }

  /** The plain way in, for networks that let no WebSocket through. The key makes it safe to repeat. */
  chat({ message, threadId, runId }) {
    return this.#request("/chat", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": runId, prefer: "respond-async" },
      body: JSON.stringify({ message, conversation_id: threadId ?? undefined, metadata: { auto_title: !threadId, ask_before_deleting: asksBeforeDeleting() } }),
    });
  }

  #get(path, query, init = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const pairs = given.flatMap(([name, value]) => (Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]]));
    const text = new URLSearchParams(pairs).toString();
    return this.#request(text ? `${path}?${text}` : path, init);
  }

  async #request(path, init) {
    let response = await this.#send(path, init);
    if (response.status === 401) {
      await this.#identity.renew();
      response = await this.#send(path, init);
    }
    const answer = await response.json().catch(() => null);
    // The first requests of the page are of this kind: what follows, by whatever way, says another zone.
    const zone = timeZone();
    if (response.status === 400 && answer?.error?.details?.field === "X-Time-Zone" && zone !== "UTC") {
      refuseZone(zone);
      return this.#request(path, init);
    }
    if (!response.ok) throw new ApiError(response.status, answer?.error);
    return answer;
  }

  async #send(path, init) {
    const token = await this.#identity.token();
    const url = `/api/${encodeURIComponent(this.#identity.userId)}${path}`;
    try {
      return await fetch(url, { ...init, headers: { accept: "application/json", "x-time-zone": timeZone(), ...init.headers, authorization: `Bearer ${token}` } });
    } catch {
      throw new ApiError(0, { code: "network", message: "The server cannot be reached." });
    }
  }
}

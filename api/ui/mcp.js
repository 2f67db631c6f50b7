// The smallest possible client of the tools at /mcp: one call, one answer. What the page changes of tasks it changes here.

import { timeZone } from "./zone.js";

const PROTOCOL = "2025-11-25";
/** A call that hangs is a call that failed. */
const ANSWER_WITHIN = 20_000;
/** Waits that the server asks for and that are waited for, instead of telling anybody. In seconds, and how often. */
const PATIENCE = 10;
const TRIES = 3;

/** The tool was called and refused: nothing was changed. `type` is the tool's, `message` says why. */
export class ToolRefused extends Error {
  constructor({ type, message, details } = {}) {
    super(message ?? "The server gave no reason.");
    this.name = "ToolRefused";
    this.type = type ?? "invalid_parameters";
    this.details = details ?? {};
  }
}

/** Nobody knows whether the call arrived: no network, no answer, or none that makes sense. */
export class CallLost extends Error {
  constructor(message = "The server cannot be reached.") {
    super(message);
    this.name = "CallLost";
  }
}

/** The server would not even look at it: too many calls, or something of ours is wrong. `after`: seconds to wait, if it says so. */
export class CallDenied extends Error {
  constructor(status, message, after) {
    super(message);
    this.name = "CallDenied";
    this.status = status;
    this.after = after;
  }
}

export class Mcp {
  #identity;
  #nextId = 1;

  constructor(identity) {
    this.#identity = identity;
  }

  /** Calls a tool for the user who is signed in. Resolves with its structured result; rejects with one of the errors above. */
  async call(name, parameters) {
    for (let left = TRIES; ; left--) {
      try {
        return await this.#once(name, parameters);
      } catch (error) {
        const pause = error instanceof CallDenied && error.status === 429 ? error.after : null;
        if (pause === null || pause > PATIENCE || left === 1) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause * 1000));
      }
    }
  }

  async #once(name, parameters) {
    let response = await this.#send(name, parameters);
    if (response.status === 401) {
      // Whoever is signed out for good is told so elsewhere.
      await this.#identity.renew().catch(() => {});
      response = await this.#send(name, parameters);
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw denial(response, answer);
    const result = answer?.result;
    if (answer?.error || !result?.structuredContent) throw new CallDenied(response.status, answer?.error?.message ?? "The server's answer makes no sense.");
    if (result.isError) throw new ToolRefused(result.structuredContent.error);
    return result.structuredContent;
  }

  async #send(name, parameters) {
    try {
      const token = await this.#identity.token();
      return await fetch("/mcp", {
        method: "POST",
        headers: {
          accept: "application/json, text/event-stream",
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
          "mcp-protocol-version": PROTOCOL,
          "x-time-zone": timeZone(),
        },
        body: JSON.stringify({
          jsonrpc: "2.0", id: this.#nextId++, method: "tools/call",
          params: { name, arguments: { user_id: this.#identity.userId, ...parameters } },
        }),
        signal: AbortSignal.timeout(ANSWER_WITHIN),
      });
    } catch {
      throw new CallLost();
    }
  }
}

function denial(response, answer) {
  // A gateway that has lost its server knows as little as nobody at all.
  if (response.status >= 502 && response.status <= 504) return new CallLost("The server is not available right now.");
  const after = Number.parseInt(response.headers.get("retry-after"), 10);
  const message = response.status === 429 ? "That were a lot of changes in a short time. Wait a moment, then try again."
    : response.status === 401 ? "You are no longer signed in."
    : answer?.error?.message ?? "Something went wrong on our side.";
  return new CallDenied(response.status, message, Number.isFinite(after) ? after : null);
}

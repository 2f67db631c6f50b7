// One turn of a conversation as it is read: a user's message, or what goes on from one, and what the agent made of it; from
// the stream of AG-UI events, or from what is stored of the run. Pure state, no network and no DOM.

const CHANGING = new Set(["add_task", "complete_task", "delete_task", "update_task"]);
const NONE = [];
const ENDED = new Set(["completed", "failed", "cancelled", "waiting"]);

/**
 * A turn of the conversation: one run. `status`: "sending" (not accepted yet), "queued", "running", "completed", "failed",
 * "cancelled", "waiting" (for an approval), or "unknown" (stored, not asked for yet).
 * `interrupts`: AG-UI's, of a turn that waits for an approval.
 * `parts`: `{kind: "text", id, text, open}` and `{kind: "tool", id, name, args, argsText, result, state}`, in order;
 * a part that is `superseded` was left by an attempt that died, and another attempt does it again.
 */
export class Turn {
  constructor(runId) {
    this.runId = runId;
    this.text = null;
    this.sentAt = null;
    this.repliedAt = null;
    /** Whether one of its messages has been read from what is stored. */
    this.isStored = false;
    this.status = "unknown";
    this.position = null;
    this.attempt = 1;
    this.parts = [];
    this.interrupts = [];
    this.error = null;
    /** Whether `parts` has the tool calls: "none", "loading", "failed" or "there". */
    this.detail = "none";
    /** Whether the server refused the message, so that there is no such run. */
    this.rejected = false;
    /** Whether the user asked to stop it and it has not stopped yet. */
    this.stopping = false;
    /** Why the server would not let another run go on from it. */
    this.refusal = null;
    /** The turn that this one goes on from, after a decision or as a retry; null for one that begins with a message. */
    this.before = null;
    /** The turn that goes on from this one. */
    this.after = null;
    /** What may be said next: messages. Told by the stream alone, so a turn that is read later has none. */
    this.suggestions = NONE;
  }

  get ended() {
    return ENDED.has(this.status);
  }

  get active() {
    return this.status === "queued" || this.status === "running";
  }

  /** Whether it did not come to its end, so that another run can go on from it. */
  get interrupted() {
    return (this.status === "failed" || this.status === "cancelled") && !this.after;
  }

  /** Whether all is known that `interrupted` turns are asked for: what they did, and whether another run goes on. */
  get known() {
    return this.rejected || this.detail === "there" || this.detail === "failed";
  }

  /** Whether something has been changed for its message, by this run or one that it goes on from. */
  get tookEffect() {
    return this.parts.some(tookEffect) || (this.before?.tookEffect ?? false);
  }

  /** What the agent wrote, without what a dead attempt left. */
  get reply() {
    return this.parts.filter((part) => part.kind === "text" && !part.superseded).map((part) => part.text).join("\n\n").trim();
  }

  /** Takes over what `GET runs/{id}` says. */
  settle(run) {
    this.attempt = run.attempt || 1;
    this.detail = "there";
    if (this.ended && this.parts.some(isShortened)) return this.#fill(run.tool_calls);
    if (!ENDED.has(run.status)) {
      if (!this.ended) this.status = run.status;
      return;
    }
    this.status = run.status;
    this.error = run.status === "failed" ? run.error ?? { code: "run_failed", message: "" } : null;
    this.repliedAt ??= run.finished_at ?? null;
    const kept = run.response ?? this.reply;
    // Known calls keep their ids, so that a card that was opened stays open.
    const known = this.parts.filter((part) => part.kind === "tool" && !part.superseded);
    const tools = run.tool_calls.map(({ tool_name: name, parameters, result }, index) => ({
      kind: "tool", id: known[index]?.name === name ? known[index].id : `${this.runId}/${index}`,
      name, args: parameters, argsText: "", result, state: outcome(result),
    }));
    this.interrupts = run.status === "waiting" ? run.interrupts ?? [] : [];
    for (const { toolCallId: id, metadata } of this.interrupts) {
      tools.push({ kind: "tool", id, name: metadata.toolName, args: metadata.parameters, argsText: "", result: null, state: "waiting",
        before: metadata.task?.title });
    }
    this.parts = kept ? [...tools, { kind: "text", id: `${this.runId}/reply`, text: kept, open: false }] : tools;
  }

  /** Puts in what was too large for the stream; all else it has told better. */
  #fill(calls) {
    const left = [...calls];
    for (const part of this.parts.filter(isShortened)) {
      const at = left.findIndex((call) => call.tool_name === part.name && (part.args?.shortened || same(call.parameters, part.args)));
      if (at < 0) continue;
      const [call] = left.splice(at, 1);
      part.args = call.parameters;
      part.result = call.result;
      part.state = outcome(call.result);
    }
  }

  /** Applies one AG-UI event. */
  apply(event) {
    if (this.ended) return;
    const handler = HANDLERS[event.type];
    if (!handler) return;
    this.detail = "there";
    handler(this, event);
  }

  /** A worker was lost: what it had not finished is done again by the next one. */
  takenOver(attempt) {
    this.attempt = attempt;
    if (this.ended) return;
    this.status = "running";
    const lastResult = this.parts.findLastIndex((part) => part.kind === "tool" && part.state !== "running");
    this.parts.forEach((part, index) => {
      if (index > lastResult || (part.kind === "tool" && part.state === "running")) part.superseded = true;
    });
  }

  textPart(id) {
    return this.parts.find((part) => part.kind === "text" && part.id === id);
  }

  toolPart(id) {
    return this.parts.find((part) => part.kind === "tool" && part.id === id);
  }

  /** Takes in the result of a call that this run asked for and a later one has made. */
  answer(event) {
    HANDLERS.TOOL_CALL_RESULT(this, event);
    if (this.status === "waiting") this.decided();
  }

  /** A decision was made: another run goes on. */
  decided() {
    this.status = "completed";
    this.interrupts = [];
  }

  end(status) {
    this.status = status;
    if (this.parts.some(isShortened)) this.detail = "none";
    this.repliedAt = new Date().toISOString();
    for (const part of this.parts) {
      part.open = false;
      // A call without a result: of a dead attempt when the run went well, cut short when it did not.
      if (part.kind === "tool" && part.state === "running") {
        if (status === "waiting") part.state = "waiting";
        else if (status === "completed") part.superseded = true;
        else part.state = "stopped";
      }
    }
  }
}

const HANDLERS = {
  RUN_STARTED(turn) {
    turn.status = "running";
  },

  TEXT_MESSAGE_START(turn, { messageId }) {
    if (turn.textPart(messageId)) return;
    // A step writes one text, then calls tools. Two texts in a row: the first is what a dead attempt left.
    const before = turn.parts.at(-1);
    if (before?.kind === "text") before.superseded = true;
    turn.status = "running";
    turn.parts.push({ kind: "text", id: messageId, text: "", open: true });
  },

  TEXT_MESSAGE_CONTENT(turn, event) {
    HANDLERS.TEXT_MESSAGE_START(turn, event);
    turn.textPart(event.messageId).text += event.delta;
  },

  TEXT_MESSAGE_END(turn, { messageId }) {
    const part = turn.textPart(messageId);
    if (part) part.open = false;
  },

  TOOL_CALL_START(turn, { toolCallId, toolCallName }) {
    if (turn.toolPart(toolCallId)) return;
    turn.status = "running";
    turn.parts.push({ kind: "tool", id: toolCallId, name: toolCallName, args: null, argsText: "", result: null, state: "running" });
  },

  TOOL_CALL_ARGS(turn, { toolCallId, delta }) {
    const part = turn.toolPart(toolCallId);
    if (part) part.argsText += delta;
  },

  TOOL_CALL_END(turn, { toolCallId }) {
    const part = turn.toolPart(toolCallId);
    if (part) part.args = parse(part.argsText || "{}");
  },

  TOOL_CALL_RESULT(turn, { toolCallId, content }) {
    const part = turn.toolPart(toolCallId);
    if (!part) return;
    part.args ??= parse(part.argsText || "{}");
    part.result = parse(content);
    part.state = outcome(part.result);
    part.superseded = false;
  },

  CUSTOM(turn, { name, value }) {
    if (name !== "errand.suggestions" || !Array.isArray(value?.suggestions)) return;
    turn.suggestions = value.suggestions.map(({ message }) => message).filter((message) => typeof message === "string" && message !== "");
  },

  RUN_FINISHED(turn, { outcome: how }) {
    turn.interrupts = how?.interrupts ?? [];
    // What the call is about, as the server found it: told so when it has been decided, too.
    for (const { toolCallId, metadata } of turn.interrupts) {
      const part = turn.toolPart(toolCallId);
      if (part) part.before = metadata?.task?.title;
    }
    turn.end({ interrupt: "waiting", cancelled: "cancelled" }[how?.type] ?? "completed");
  },

  RUN_ERROR(turn, { message, code }) {
    // Before AG-UI 1.0 this was also how a run was told to be cancelled.
    turn.end(code === "cancelled" ? "cancelled" : "failed");
    if (turn.status === "failed") turn.error = { code: code ?? "run_failed", message };
  },
};

/** What came of a call. A rejection comes as an error, as the model has to read it; for people it is none. */
function outcome(result) {
  if (result?.success !== false && result?.isError !== true) return "done";
  return REJECTED.test(result.error?.message ?? "") ? "rejected" : "failed";
}

/** The worker's words for a call that its user said no to. */
const REJECTED = /^The user rejected this call\b/;

/** Whether a tool call was too large for the stream; the run itself has it whole. */
function isShortened(part) {
  return part.kind === "tool" && !part.superseded && (part.result?.shortened === true || part.args?.shortened === true);
}

/** Whether these are the arguments of one call: the user is filled in, and the order is no part of them. */
function same(parameters, args) {
  const told = (of) => JSON.stringify(Object.entries(of ?? {}).filter(([name]) => name !== "user_id").sort());
  return told(parameters) === told(args);
}

/** Whether a tool call has changed tasks. */
export function tookEffect(part) {
  return part.kind === "tool" && part.state === "done" && CHANGING.has(part.name);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

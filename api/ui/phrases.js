// What the page says about tool calls, states and errors: plain words for what the protocol has names for.

const quoted = (title) => `“${title}”`;
/** Within a sentence of the page, words from right to left keep to themselves. */
const told = (title) => (RIGHT_TO_LEFT.test(title) ? `“\u2068${title}\u2069”` : quoted(title));
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** What stands under this key, which may be anything that a model makes up. */
const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);

/** How each tool is told: its icon, and the sentence for a call (`t`: the title it is about, quoted). */
const TOOLS = {
  add_task: { icon: "plus", running: (t) => `Adding ${t}`, done: (t) => `Added ${t}`, failed: (t) => `Could not add ${t}` },
  complete_task: { icon: "check", running: (t) => `Completing ${t}`, done: (t) => `Completed ${t}`, failed: (t) => `Could not complete ${t}` },
  delete_task: { icon: "trash", running: (t) => `Deleting ${t}`, done: (t) => `Deleted ${t}`, failed: (t) => `Could not delete ${t}` },
  update_task: { icon: "pencil", running: (t) => `Changing ${t}`, done: changed, failed: (t) => `Could not change ${t}` },
  list_tasks: { icon: "list", running: looking, done: looked, failed: () => "Could not read the list" },
};

function changed(t, { title, completed, description }, before) {
  if (title && before && before !== title) return `Renamed ${told(before)} to ${told(title)}`;
  if (completed === true) return `Completed ${t}`;
  if (completed === false) return `Reopened ${t}`;
  if (description !== undefined && title === undefined) return `Changed the details of ${t}`;
  return `Changed ${t}`;
}

function looking(_t, { search }) {
  return search ? `Searching for ${told(search)}` : "Looking at the list";
}

function looked(_t, { search, completed }, _before, result) {
  const number = Number.isFinite(result?.count) ? result.count : result?.tasks?.length;
  if (!Number.isFinite(number)) return "Looked at the list";
  // The rest did not fit into one answer.
  const total = result.total > number ? result.total : null;
  const found = total ? `${number} of ${total}` : number;
  if (search) return `Searched for ${told(search)}: ${found === 0 ? "nothing found" : `${found} found`}`;
  const kind = completed === true ? "done task" : completed === false ? "open task" : "task";
  if (found === 0) return `Looked at the list: no ${kind}s`;
  return `Looked at ${total ? `${found} ${kind}s` : count(number, kind)}`;
}

/** A tool call in words. `titleOf` knows the titles of tasks by id. */
export function tellCall(part, titleOf) {
  const tool = own(TOOLS, part.name);
  const name = part.name.replaceAll("_", " ") || "a tool without a name";
  if (!tool) {
    const text = name[0].toUpperCase() + name.slice(1);
    return part.state === "rejected" ? { icon: "close", text: `${text}: rejected by you` } : { icon: "tool", text };
  }
  const args = part.args !== null && typeof part.args === "object" ? part.args : {};
  const before = part.before ?? titleOf(args.task_id);
  // A rename changes what the id is called; the card goes on telling the old name.
  if (before) part.before = before;
  // What else a call says of its task is the model's word; only a rename that was made has made it true.
  const renamed = part.name === "update_task" && part.state === "done" ? args.title : null;
  const title = part.name === "add_task" ? args.title : before ?? renamed;
  const subject = title ? told(title) : "a task";
  if (part.state === "rejected") return { icon: "close", text: `${WISHES[part.name](subject)}: rejected by you` };
  const state = part.state === "done" || part.state === "failed" ? part.state : "running";
  const text = tool[state](subject, args, before, part.result);
  // The question itself stands beside the answers; the card has what exactly would be called.
  if (part.state === "waiting") return { icon: "approve", text: `Needs your approval: ${name}` };
  return { icon: tool.icon, text: part.state === "stopped" ? `${text}: stopped` : state === "running" ? `${text}…` : text };
}

/** What each tool is asked to do. */
const WISHES = {
  add_task: (t) => `Add ${t}`,
  complete_task: (t) => `Mark ${t} as done`,
  delete_task: (t) => `Delete ${t}`,
  update_task: (t) => `Change ${t}`,
  list_tasks: () => "Look at the list",
};

/**
 * What a call that needs approval would do: a question that names the task which it is about, and what becomes of its fields.
 * From what the server found when it asked, and never from what the call itself says of it.
 */
export function tellWish({ metadata, message }) {
  const { toolName, task, changes } = metadata ?? {};
  const wish = own(WISHES, toolName ?? "");
  // An earlier version of the server did not look.
  if (!wish || !Array.isArray(changes)) return { text: message ?? "This needs your approval.", changes: [] };
  const added = changes.find(({ field }) => field === "title")?.new;
  const title = task?.title ?? (toolName === "add_task" ? added : null);
  const text = wish(title ? told(title) : "a task");
  const shown = changes.filter(({ field }) => toolName === "update_task" || (toolName === "add_task" && field !== "title"));
  return { text: toolName === "delete_task" ? `${text} for good?` : `${text}?`, changes: shown.map(tellChange) };
}

const FIELDS = { title: "Title", description: "Details", completed: "Done" };

function tellChange({ field, old, new: now }) {
  const value = (it) => (it === true ? "yes" : it === false ? "no" : typeof it === "string" ? quoted(it) : it === null ? "nothing" : JSON.stringify(it));
  return { field: own(FIELDS, field) ?? field, old: old === null || old === undefined ? null : value(old), now: value(now ?? null) };
}

/** Why a tool call failed. The tool's own words speak to the model; they stay in the details where there are plainer ones. */
export function tellFailure(part) {
  const error = part.result?.error;
  if (error?.type === "resource_not_found") return "There is no such task on the list.";
  if (error?.type === "unauthorized_access") return "This was not allowed.";
  return error?.message ?? null;
}

const ERRORS = {
  conversation_busy: "This conversation is busy. Try again when the current answer is finished.",
  internal_error: "Something went wrong on our side.",
  invalid_request: "The server did not understand this message.",
  model_error: "The model did not answer properly.",
  network: "The server cannot be reached.",
  not_found: "This conversation no longer exists.",
  payload_too_large: "This message is too long.",
  rate_limited: "That was a lot of messages in a short time. Wait a moment, then try again.",
  run_failed: "Something went wrong while working on this.",
  run_timeout: "This took too long and was given up.",
  unavailable: "The service is not available right now.",
};

/** An error for people; the server's own sentence where there is none for its code. */
export function tellError(error) {
  return ERRORS[error?.code] ?? error?.message ?? ERRORS.run_failed;
}

/** Why a turn did not come to its end, in a few words: another run has gone on from it. */
export function tellInterrupted(turn) {
  return turn.status === "cancelled" ? "Stopped." : `Interrupted: ${tellError(turn.error)}`;
}

/** What a turn is waiting for; null when it is not waiting. */
export function tellWaiting(turn, online) {
  if (turn.stopping) return "Stopping…";
  if (turn.status === "sending") return online ? "Sending…" : "Not sent yet. It goes out as soon as the connection is back.";
  if (turn.status !== "queued") return null;
  return turn.position > 0 ? `Queued, ${turn.position} ahead` : "Queued";
}

/** What a click on a task puts into the message box. */
export function suggestFor(task) {
  return task.completed ? `Reopen ${quoted(task.title)}` : `Mark ${quoted(task.title)} as done`;
}

/** What it puts there if something has been written already. */
export const mention = (task) => quoted(task.title);

/** First messages that show what can be said. */
export const SUGGESTIONS = ["Add buy milk and call Ann", "What is left?", "The milk is done"];

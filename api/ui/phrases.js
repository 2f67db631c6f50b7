// What the page says about tool calls, states and errors: plain words for what the protocol has names for.

import { dayWords } from "./days.js";
import { inWords } from "./repeat.js";

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

function changed(t, args, before) {
  const { title, completed, restore } = args;
  if (restore === true) return `Restored ${t}`;
  if (title && before && before !== title) return `Renamed ${told(before)} to ${told(title)}`;
  if (completed === true) return `Completed ${t}`;
  if (completed === false) return `Reopened ${t}`;
  const fields = new Set(Object.keys(args).filter((field) => !["user_id", "task_id", "weekday", "clear"].includes(field)));
  const cleared = Array.isArray(args.clear) ? args.clear : [];
  const only = (...names) => [...fields, ...cleared].every((field) => names.includes(field)) && fields.size + cleared.length > 0;
  if (only("due_date", "due_time")) return fields.size ? `Moved ${t}` : `Took the date off ${t}`;
  if (only("priority")) return `Set the priority of ${t}`;
  if (only("tags")) return `Changed the tags of ${t}`;
  if (only("description")) return `Changed the details of ${t}`;
  if (fields.has("repeat") && only("repeat", "repeat_from", "due_date", "due_time")) return `Made ${t} repeat`;
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

/** A tool call in words; `subject`: the part of them that names its task. `titleOf` knows the titles of tasks by id. */
export function tellCall(part, titleOf) {
  const tool = own(TOOLS, part.name);
  const name = part.name.replaceAll("_", " ") || "a tool without a name";
  if (!tool) {
    const text = name[0].toUpperCase() + name.slice(1);
    return part.state === "rejected" ? { icon: "close", text: `${text}: you said no` } : { icon: "tool", text };
  }
  const args = part.args !== null && typeof part.args === "object" ? part.args : {};
  const before = part.before ?? titleOf(args.task_id);
  // A rename changes what the id is called; the card goes on telling the old name.
  if (before) part.before = before;
  // What else a call says of its task is the model's word; only a rename that was made has made it true.
  const renamed = part.name === "update_task" && part.state === "done" ? args.title : null;
  const title = part.name === "add_task" ? args.title : before ?? renamed ?? (part.state === "done" ? titleIn(part, titleOf) : null);
  const subject = title ? told(title) : "a task";
  if (part.state === "rejected") return { icon: "close", text: part.name === "delete_task" ? `Kept ${subject}` : `${WISHES[part.name](subject)}: you said no` };
  const state = part.state === "done" || part.state === "failed" ? part.state : "running";
  const text = tool[state](subject, args, before, part.result);
  // The question itself stands beside the answers; the card has what exactly would be called.
  if (part.state === "waiting") return { icon: "approve", text: `Waits for your answer: ${name}` };
  const named = renamed && renamed !== before ? told(renamed) : title ? subject : null;
  return { icon: tool.icon, text: part.state === "stopped" ? `${text}: stopped` : state === "running" ? `${text}…` : text, subject: named };
}

/** What the task of a call is called: by its result, by the list, or, of one that is long gone, by the words of the tool. */
export function titleIn(part, titleOf) {
  const args = part.args !== null && typeof part.args === "object" ? part.args : {};
  return part.result?.task?.title ?? (part.name === "add_task" ? args.title : null) ?? part.before ?? titleOf(args.task_id)
    ?? own(SAID, part.name)?.exec(part.result?.message ?? "")?.[1] ?? null;
}

/** The tools' own words for what they did. */
const SAID = {
  complete_task: /^"([^]*)" is done\./,
  delete_task: /^Deleted "([^]*)"\. For \d+ days /,
};

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
  if (!wish || !Array.isArray(changes)) return { text: message ?? "This needs your approval.", hint: null, changes: [], ...ANSWERS.other };
  const added = changes.find(({ field }) => field === "title")?.new;
  const title = task?.title ?? (toolName === "add_task" ? added : null);
  const text = wish(title ? told(title) : "a task");
  const shown = changes.filter(({ field, new: now }) => toolName === "update_task"
    || (toolName === "add_task" && field !== "title")
    || (toolName === "complete_task" && field === "due_date" && now));
  const hint = toolName === "delete_task" ? "It can be restored for 30 days." : null;
  return { text: `${text}?`, hint, changes: shown.map(tellChange), ...(own(ANSWERS, toolName) ?? ANSWERS.other) };
}

/** What the answers to a question are called; `isDanger`: whether yes takes something away. */
const ANSWERS = {
  delete_task: { yes: "Delete", no: "Keep", isDanger: true },
  other: { yes: "Allow", no: "Don’t", isDanger: false },
};

const FIELDS = {
  title: "Title", description: "Details", completed: "Done", deleted: "Deleted", due_date: "Date", due_time: "Time", priority: "Priority",
  tags: "Tags", repeat: "Repeats", repeat_from: "Counted from",
};

/** Fields whose values are the page's or the calendar's words, and no quotations. */
const PLAIN = {
  due_date: (date) => dateWords(date), due_time: (time) => time, priority: (name) => name.toUpperCase(), repeat: (rule) => inWords(rule),
  repeat_from: (from) => from,
};

function tellChange({ field, old, new: now }) {
  const value = (it) => {
    if (it === null) return "nothing";
    if (it === true || it === false) return it ? "yes" : "no";
    if (typeof it !== "string") return JSON.stringify(it);
    return own(PLAIN, field)?.(it) ?? quoted(it);
  };
  return { field: own(FIELDS, field) ?? field, old: old === null || old === undefined ? null : value(old), now: value(now ?? null) };
}

const dateWords = (date) => (/^\d{4}-\d\d-\d\d$/.test(date) ? dayWords(date) : date);

/** Why a tool call failed. The tool's own words speak to the model; they stay in the details where there are plainer ones. */
export function tellFailure(part) {
  const error = part.result?.error;
  if (error?.type === "resource_not_found") return "There is no such task on the list.";
  if (error?.type === "unauthorized_access") return "This was not allowed.";
  return error?.message ?? null;
}

/** Why a tool refused what a person asked for. Its own words are for people, too, but for those that tell a model where to look. */
export function tellRefusal(message) {
  return /^No task with this task_id|is deleted/.test(message ?? "") ? "There is no such task on the list any more." : message ?? "It did not work.";
}

/** What went wrong, and what can be done about it. */
const ERRORS = {
  conversation_busy: "This conversation is busy. Try again when the current answer is finished.",
  internal_error: "Something went wrong on our side. Try again in a moment.",
  invalid_request: "The server did not understand this message. Say it in other words.",
  model_error: "The model gave no proper answer. Try again; saying it in other words can help, too.",
  network: "The server cannot be reached. Check your connection, then try again.",
  not_found: "This conversation no longer exists.",
  payload_too_large: "This message is too long. Send it in parts.",
  rate_limited: "That was a lot of messages in a short time. Wait a moment, then try again.",
  run_failed: "Something went wrong while working on this. Try again in a moment.",
  run_timeout: "This took too long and was given up. Try again, or ask for less at once.",
  unavailable: "The service is not available right now. Try again in a minute.",
};

/** The kinds of trouble with a model that its server tells apart, by its words for them. */
const MODEL_TROUBLE = {
  "The model is not available.": "The model is not available right now. Your message is kept: try again in a minute.",
  "The model refused the request.": "The model refused this request. Say it in other words; if every message is refused, whoever runs Errand has to look at its key and model.",
  "The conversation is too long for the model.": "This conversation has become too long for the model. Start a new one: your tasks come with you.",
};

/** An error for people; the server's own sentence where there is none for its code. */
export function tellError(error) {
  if (error?.code === "model_error" && own(MODEL_TROUBLE, error.message ?? "")) return MODEL_TROUBLE[error.message];
  if (error?.code === "run_failed" && /within \d+ steps/.test(error.message ?? "")) return "This took more steps than are allowed at once. Continue, or ask for less at once.";
  return own(ERRORS, error?.code ?? "") ?? error?.message ?? ERRORS.run_failed;
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

// All tasks of the user as a file: JSON, CSV (RFC 4180) and iCalendar (RFC 5545). Made here, from what the API tells.

const PAGE = 200;
const CRLF = "\r\n";
/** Octets of a line of iCalendar. */
const LINE = 75;

export const FORMATS = {
  json: { label: "JSON", file: "errand-tasks.json", type: "application/json", write: json },
  csv: { label: "CSV", file: "errand-tasks.csv", type: "text/csv;charset=utf-8", write: csv },
  ics: { label: "iCalendar", file: "errand-tasks.ics", type: "text/calendar;charset=utf-8", write: iCalendar },
};

/** Every task that is not in the trash, done ones too, page by page; `read(count)` is told how far it is. */
export async function allTasks(api, read = () => {}) {
  const tasks = [];
  let cursor;
  do {
    const page = await api.tasks({ limit: PAGE, cursor });
    tasks.push(...page.tasks);
    read(tasks.length, page.total);
    cursor = page.next_cursor;
  } while (cursor);
  return tasks;
}

export function json(tasks, at = new Date()) {
  return `${JSON.stringify({ exported_at: at.toISOString(), tasks }, null, 2)}\n`;
}

const COLUMNS = ["id", "title", "description", "completed", "completed_at", "due_date", "due_time", "priority", "tags", "repeat", "created_at", "updated_at"];

export function csv(tasks) {
  const lines = [COLUMNS, ...tasks.map((task) => COLUMNS.map((name) => (name === "tags" ? task.tags.join(", ") : task[name] ?? "")))];
  // Behind the mark that tells spreadsheets of UTF-8.
  return `\ufeff${lines.map((values) => values.map(field).join(",")).join(CRLF)}${CRLF}`;
}

function field(value) {
  let text = String(value);
  // A spreadsheet would take it for a formula.
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const PRIORITIES = { p1: 1, p2: 3, p3: 5 };

export function iCalendar(tasks, at = new Date()) {
  const lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Errand//Tasks//EN", "CALSCALE:GREGORIAN", ...tasks.flatMap((task) => todo(task, at)), "END:VCALENDAR"];
  return lines.map(fold).join(CRLF) + CRLF;
}

function todo(task, at) {
  const { due_date: date, due_time: time, repeat } = task;
  const when = date && (time ? `:${compact(date)}T${time.replace(":", "")}00` : `;VALUE=DATE:${compact(date)}`);
  return [
    "BEGIN:VTODO",
    `UID:${task.id}`,
    `DTSTAMP:${moment(at.toISOString())}`,
    `CREATED:${moment(task.created_at)}`,
    `LAST-MODIFIED:${moment(task.updated_at)}`,
    `SUMMARY:${escape(task.title)}`,
    task.description && `DESCRIPTION:${escape(task.description)}`,
    // What comes again has to begin somewhere.
    when && repeat && `DTSTART${when}`,
    when && `DUE${when}`,
    when && repeat && `RRULE:${ruleOf(repeat, time)}`,
    PRIORITIES[task.priority] && `PRIORITY:${PRIORITIES[task.priority]}`,
    task.tags.length && `CATEGORIES:${task.tags.map(escape).join(",")}`,
    `STATUS:${task.completed ? "COMPLETED" : "NEEDS-ACTION"}`,
    task.completed && task.completed_at && `COMPLETED:${moment(task.completed_at)}`,
    task.completed && "PERCENT-COMPLETE:100",
    "END:VTODO",
  ].filter(Boolean);
}

/** An end is of the same kind as the beginning: a day, or a time of it. */
const ruleOf = (rule, time) => (time ? rule.replace(/(UNTIL=\d{8})(?!T)/, "$1T235959") : rule);
const compact = (date) => date.replaceAll("-", "");
const moment = (iso) => `${iso.slice(0, 19).replace(/[-:]/g, "")}Z`;
const escape = (text) => text.replace(/\r\n?/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").replace(/[\\;,]/g, "\\$&").replaceAll("\n", "\\n");

/** Lines of at most 75 octets; no character is cut. */
function fold(line) {
  const encoder = new TextEncoder();
  let folded = "";
  let length = 0;
  for (const character of line) {
    const size = encoder.encode(character).length;
    if (length + size > LINE) {
      folded += `${CRLF} `;
      length = 1;
    }
    folded += character;
    length += size;
  }
  return folded;
}

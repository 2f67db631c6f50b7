// Rules by which tasks come again (RFC 5545): the plain ones to choose from, and any of them in words.

import { dayOfMonth, month, monthName, weekday, weekdayName } from "./dates.js";

const CODES = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const NAMES = { SU: "Sunday", MO: "Monday", TU: "Tuesday", WE: "Wednesday", TH: "Thursday", FR: "Friday", SA: "Saturday" };
const WORKDAYS = "MO,TU,WE,TH,FR";
const UNITS = { DAILY: "day", WEEKLY: "week", MONTHLY: "month", YEARLY: "year" };

/** The plain choices for a task that is due on this date: pairs of rule and words. */
export function choices(date) {
  const last = dayOfMonth(date) === 31 || (month(date) === 1 && dayOfMonth(date) === 29);
  return [
    ["FREQ=DAILY", "Every day"],
    [`FREQ=WEEKLY;BYDAY=${WORKDAYS}`, "Every weekday"],
    [`FREQ=WEEKLY;BYDAY=${CODES[weekday(date)]}`, `Every week on ${weekdayName(date)}`],
    // Months without the day would be left out.
    [last ? "FREQ=MONTHLY;BYMONTHDAY=-1" : `FREQ=MONTHLY;BYMONTHDAY=${dayOfMonth(date)}`, last ? "Every month on the last day" : `Every month on the ${nth(dayOfMonth(date))}`],
    [`FREQ=YEARLY;BYMONTH=${month(date) + 1};BYMONTHDAY=${dayOfMonth(date)}`, `Every year on ${dayOfMonth(date)} ${monthName(month(date))}`],
  ];
}

/** A rule in words; the rule itself where there are none for it. */
export function inWords(rule) {
  const { FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, COUNT, UNTIL, ...rest } = parse(rule);
  const unit = UNITS[FREQ];
  if (!unit || Object.keys(rest).length) return rule;
  const every = Number(INTERVAL ?? 1) === 1 ? `every ${unit}` : `every ${INTERVAL} ${unit}s`;
  const when = whichDays({ FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH });
  if (when === null) return rule;
  const end = COUNT ? `, ${COUNT} more time${COUNT === "1" ? "" : "s"}` : UNTIL ? `, until ${dateOf(UNTIL)}` : "";
  return capital(`${when.instead ?? `${every}${when.more}`}${end}`);
}

function whichDays({ FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH }) {
  const plain = Number(INTERVAL ?? 1) === 1;
  const days = BYDAY?.split(",") ?? [];
  if (!days.every((day) => /^(-?\d)?(MO|TU|WE|TH|FR|SA|SU)$/.test(day))) return null;
  if (FREQ === "WEEKLY" && !BYMONTHDAY && !BYMONTH && !/\d/.test(BYDAY ?? "")) {
    if (!days.length) return { more: "" };
    if (plain && sorted(days) === sorted(WORKDAYS.split(","))) return { instead: "every weekday" };
    return plain ? { instead: `every ${list(days.map((day) => NAMES[day]))}` } : { more: ` on ${list(days.map((day) => NAMES[day]))}` };
  }
  if (FREQ === "DAILY" && !BYDAY && !BYMONTHDAY && !BYMONTH) return { more: "" };
  if (FREQ === "MONTHLY" && !BYMONTH) {
    if (!BYDAY && !BYMONTHDAY) return { more: "" };
    if (BYDAY && BYMONTHDAY) return null;
    if (BYMONTHDAY) return { more: ` on the ${list(BYMONTHDAY.split(",").map((day) => (day === "-1" ? "last day" : nth(Number(day)))))}` };
    if (!days.every((day) => /^-?\d/.test(day))) return null;
    return { more: ` on the ${list(days.map((day) => `${day.startsWith("-1") ? "last" : nth(Number.parseInt(day, 10))} ${NAMES[day.slice(-2)]}`))}` };
  }
  if (FREQ === "YEARLY" && !BYDAY) {
    if (!BYMONTH && !BYMONTHDAY) return { more: "" };
    if (/^\d+$/.test(BYMONTH ?? "") && /^\d+$/.test(BYMONTHDAY ?? "")) return { more: ` on ${BYMONTHDAY} ${monthName(Number(BYMONTH) - 1)}` };
  }
  return null;
}

function parse(rule) {
  const pairs = rule.toUpperCase().replace(/^RRULE:/, "").split(";").filter(Boolean).map((part) => part.split("="));
  return Object.fromEntries(pairs);
}

const sorted = (days) => [...days].sort().join();
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const dateOf = (until) => `${Number(until.slice(6, 8))} ${monthName(Number(until.slice(4, 6)) - 1)} ${until.slice(0, 4)}`;

function list(words) {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function nth(number) {
  if (number < 0) return `${nth(-number)} last`;
  const teen = number % 100 > 10 && number % 100 < 14;
  return `${number}${teen ? "th" : ["th", "st", "nd", "rd"][number % 10] ?? "th"}`;
}

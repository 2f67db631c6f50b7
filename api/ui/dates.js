// Days of the user's own, as texts (YYYY-MM-DD): counting with them, and telling them in words. Nothing here knows of moments or zones.

const DAY = 86_400_000;
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const WHOLE_WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const numberOf = (date) => Date.parse(`${date}T00:00:00Z`) / DAY;
const parts = (date) => {
  const at = new Date(`${date}T00:00:00Z`);
  return { year: at.getUTCFullYear(), month: at.getUTCMonth(), day: at.getUTCDate(), weekday: at.getUTCDay() };
};

export const plusDays = (date, days) => new Date((numberOf(date) + days) * DAY).toISOString().slice(0, 10);
/** Days from the one to the other; negative if the other is earlier. */
export const daysBetween = (from, to) => Math.round(numberOf(to) - numberOf(from));
/** 0 for Sunday to 6 for Saturday. */
export const weekday = (date) => parts(date).weekday;
export const weekdayName = (date) => WHOLE_WEEKDAYS[weekday(date)];
/** The day of the month, from 1; `month` from 0. */
export const dayOfMonth = (date) => parts(date).day;
export const month = (date) => parts(date).month;
export const monthName = (index) => MONTHS[index];

/** The next Monday, and not today. */
export const nextWeek = (date) => plusDays(date, (8 - weekday(date)) % 7 || 7);

/** "Fri, 27 Nov", with the year if it is not this one. */
export function shortDate(date, today) {
  const { year, month, day, weekday } = parts(date);
  const words = `${WEEKDAYS[weekday]}, ${day} ${MONTHS[month]}`;
  return year === parts(today).year ? words : `${words} ${year}`;
}

/** Whether a task's day is over, or its time of today; `now` is that of zone.js. */
export const isOver = ({ due_date: date, due_time: time }, now) =>
  Boolean(date) && (date < now.date || (date === now.date && Boolean(time) && time < now.time));

/** When a task is due in the words of the server, which has said nothing about it yet. */
export function dueInWords({ due_date: date, due_time: time, completed }, now) {
  if (!date) return "no due date";
  const { year, month, day, weekday } = parts(date);
  const words = `${WEEKDAYS[weekday]}, ${day} ${MONTHS[month]} ${year}${time ? ` at ${time}` : ""}`;
  return completed ? words : `${words}, ${distance(date, time, now)}`;
}

function distance(date, time, now) {
  const days = daysBetween(now.date, date);
  const of = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  if (days < 0) return `overdue by ${of(-days, "day")}`;
  if (days === 0 && time && time < now.time) {
    const minutes = minuteOf(now.time) - minuteOf(time);
    return `overdue by ${minutes < 60 ? of(minutes, "minute") : of(Math.floor(minutes / 60), "hour")}`;
  }
  if (days < 2) return days === 0 ? "today" : "tomorrow";
  return `in ${of(days, "day")}`;
}

const minuteOf = (time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));

/** How a day is called among tasks: its distance if it is near, its date if not. */
export function dayName(date, today) {
  const days = daysBetween(today, date);
  if (days === 0) return "Today";
  if (days === 1) return "Tomorrow";
  if (days === -1) return "Yesterday";
  if (days > 1 && days < 7) return weekdayName(date);
  return shortDate(date, today);
}

// Moments as days of the user's own: what they are called in lists, and when one is another than the one before.

import { dayName, daysBetween, shortDate } from "./dates.js";
import { now, timeZone, today } from "./zone.js";

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/** The user's day of a moment: YYYY-MM-DD. */
export const dayOf = (moment) => now(timeZone(), new Date(moment)).date;

/** The group of a list that a moment of the past belongs to. */
export function groupOf(moment) {
  const [date, to] = [dayOf(moment), today()];
  const days = daysBetween(date, to);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Last seven days";
  if (days < 30) return "Last thirty days";
  const month = MONTHS[Number(date.slice(5, 7)) - 1];
  return date.slice(0, 4) === to.slice(0, 4) ? month : `${month} ${date.slice(0, 4)}`;
}

/** What a day of a conversation is called: "Today", "Yesterday", "Fri, 27 Nov". */
export function dayWords(date) {
  const days = daysBetween(date, today());
  return days === 0 || days === 1 ? dayName(date, today()) : shortDate(date, today());
}

// First messages that fit the list as it is: each is something that can be said now, and is sent as it stands.

import { isOver } from "./dates.js";

/** How many are offered. */
const MOST = 4;

const FOR_AN_EMPTY_LIST = [
  "Add call Ann tomorrow at 5",
  "Pay rent on the 1st of every month",
  "Buy milk, eggs and bread today",
  "Water the plants every Sunday",
];

/** `open`: the open tasks; `now`: the user's date and time. */
export function suggestionsFor(open, now) {
  if (open.length === 0) return FOR_AN_EMPTY_LIST;
  const is = (test) => open.some(test);
  const fitting = [
    is((task) => isOver(task, now)) && "Move what is overdue to tomorrow",
    "What is due today?",
    is(({ due_date: date }) => date > now.date) && "What is coming up this week?",
    is(({ due_date: date }) => !date) && "Which tasks have no date?",
    is(({ priority }) => priority === "p1") && "What is most important?",
    "Add call Ann tomorrow at 5",
  ];
  return fitting.filter(Boolean).slice(0, MOST);
}

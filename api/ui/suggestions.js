// First messages that fit the list as it is: each is something that can be said now, and is sent as it stands.

/** How many are offered. */
const MOST = 4;

const FOR_AN_EMPTY_LIST = [
  "Add call Ann tomorrow at 5",
  "Pay rent on the 1st of every month",
  "Buy milk, eggs and bread today",
  "Water the plants every Sunday",
];

/** What the page offers beside that, whatever is on the list: a button with `label` and `icon` that sends `text`, or puts it into the box to be gone on with. */
export const PLAN = {
  label: "Plan my day",
  icon: "calendar",
  text: "Plan my day: look at what is overdue and at what is due today, and tell me in which order to do it, and why. Change nothing yet.",
};
export const EMPTY = {
  label: "Empty your head",
  icon: "list",
  text: "Here is everything that is on my mind. Make a task of each thing, with a date only where I name one:\n",
};

/** `counts`: how many tasks there are, open (`all`), due today or before, and in the days after it; `isLate`: whether one is overdue. */
export function suggestionsFor({ all, today, upcoming }, isLate) {
  if (all === 0) return FOR_AN_EMPTY_LIST;
  const fitting = [
    isLate && "Move what is overdue to tomorrow",
    "What is due today?",
    upcoming > 0 && "What is coming up this week?",
    all > today + upcoming && "What else is on my list?",
    "Add call Ann tomorrow at 5",
  ];
  return fitting.filter(Boolean).slice(0, MOST);
}

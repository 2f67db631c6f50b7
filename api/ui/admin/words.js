// Numbers and times as people read them. Times are the database's; ages are counted by its clock.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const count = new Intl.NumberFormat();

/** A count. */
export const number = (value) => count.format(value);

/** Seconds, as short as they can be told. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

/** How long before `now` something was. */
export const ago = (moment, now) => seconds(Math.max(0, (new Date(now) - new Date(moment)) / 1000));

/** A moment of today, or with its day. */
export function instant(moment) {
  const at = new Date(moment);
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : date.format(at);
}

/** The minute of a moment. */
export const minute = (moment) => new Date(moment).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

/** The end of a long name, which is what tells it from others. */
export const short = (name) => (name.length > 18 ? `…${name.slice(-12)}` : name);

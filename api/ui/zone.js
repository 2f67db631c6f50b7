// The user's time zone: which one everything that is sent says, and what calendar and clock show there.

import { remembered } from "./dom.js";

/** A zone that was chosen in the settings; without one the browser's counts. */
const KEY = "errand.zone";

/** The zone of this browser, by its IANA name. */
export function browserZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // A browser that does not know where it is says so in its own ways; the server knows none of them.
  return zone && zone !== "Etc/Unknown" && isZone(zone) ? zone : "UTC";
}

/** The zone that was chosen; null if it is the browser's. */
export function chosenZone() {
  const zone = remembered.get("localStorage", KEY);
  return zone && isZone(zone) ? zone : null;
}

/** Chooses a zone for this browser; null goes back to its own. */
export function chooseZone(zone) {
  remembered.set("localStorage", KEY, zone);
  known = { at: 0, zone: null };
}

/** Zones that the server does not know, although this browser does: theirs is another table. */
const refused = new Set();

/** The server has refused this zone: until the page is opened again, UTC is said instead. */
export function refuseZone(zone) {
  refused.add(zone);
  known = { at: 0, zone: null };
}

let known = { at: 0, zone: null };

/** The zone that every request and message says: IANA's name of it. Another tab may choose another one, and a traveller's browser too. */
export function timeZone() {
  if (Date.now() - known.at > 1000) known = { at: Date.now(), zone: [chosenZone(), browserZone()].find((zone) => zone && !refused.has(zone)) ?? "UTC" };
  return known.zone;
}

/** All zones that can be chosen. */
export function zones() {
  const known = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set(["UTC", ...known, timeZone()])].sort();
}

/** What the calendar and the clock on the wall show there: `{ date: "2026-11-27", time: "17:05" }`. */
export function clockAt(at, zone = timeZone()) {
  // Swedish dates are ISO's.
  const text = formatter(zone).format(at);
  return { date: text.slice(0, 10), time: text.slice(11, 16) };
}

let last = { second: 0, zone: null, clock: null };

/** What they show now. Asked for once a task, so it is worked out once a second. */
export function now() {
  const [second, zone] = [Math.floor(Date.now() / 1000), timeZone()];
  if (last.second !== second || last.zone !== zone) last = { second, zone, clock: clockAt(new Date(), zone) };
  return last.clock;
}

/** The user's own day: YYYY-MM-DD. */
export const today = () => now().date;

const formatters = new Map();

function formatter(timeZone) {
  if (!formatters.has(timeZone)) {
    formatters.set(timeZone, new Intl.DateTimeFormat("sv-SE", {
      timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    }));
  }
  return formatters.get(timeZone);
}

function isZone(zone) {
  try {
    formatter(zone);
    return true;
  } catch {
    return false;
  }
}

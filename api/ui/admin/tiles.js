// The queue in numbers.

import { h, tell } from "../dom.js";
import { number, seconds } from "./words.js";

/** Label, what it is, what is said below it, and whether that is trouble. */
const TILES = [
  ["Ready", ({ counts }) => number(counts.ready), ({ counts }) => (counts.ready ? `oldest for ${seconds(counts.oldest_ready_seconds)}` : "nobody waits"), ({ counts }) => counts.oldest_ready_seconds > 30],
  ["At work", ({ counts }) => number(counts.running), ({ counts }) => (counts.running ? `oldest for ${seconds(counts.oldest_running_seconds)}` : "nothing"), ({ counts }) => counts.oldest_running_seconds > 600],
  ["Places", ({ counts }) => number(counts.slots), ({ counts }) => `${number(counts.workers)} ${counts.workers === 1 ? "worker" : "workers"}`, ({ counts }) => counts.workers === 0],
  ["Behind others", ({ counts }) => number(counts.behind), ({ counts }) => `${number(counts.awaiting_approval)} await approval`, () => false],
  ["Turns a minute", (seen) => number(lastMinute(seen)), ({ ends }) => `${number(all(ends).completed)} in the last hour`, () => false],
  ["A turn takes", ({ ends }) => seconds(all(ends).p50), ({ ends }) => `p95 ${seconds(all(ends).p95)}, p99 ${seconds(all(ends).p99)}`, () => false],
  ["Failed", ({ ends }) => number(all(ends).failed), () => "in the last hour", ({ ends }) => all(ends).failed > 0],
];

const NOTHING = { completed: 0, failed: 0, cancelled: 0, p50: null, p95: null, p99: null };

/** The ends of the whole hour. */
export const all = (ends) => ends.at(-1) ?? NOTHING;

/** Turns of the last minute that is over. */
function lastMinute({ at, ends }) {
  const begins = Math.floor(new Date(at) / 60000) * 60000 - 60000;
  return ends.find((end) => end.minute && new Date(end.minute).getTime() === begins)?.completed ?? 0;
}

/** Shows them, in the elements that are there. */
export function showTiles(section, seen) {
  if (!section.firstChild) {
    section.append(h("dl", { class: "tile-list" }, ...TILES.map(([label]) =>
      h("div", { class: "tile" }, h("dt", { text: label }), h("dd", { class: "tile-value" }), h("dd", { class: "tile-more" })))));
  }
  section.querySelectorAll(".tile").forEach((tile, place) => {
    const [, value, more, isTrouble] = TILES[place];
    tell(tile.querySelector(".tile-value"), value(seen));
    tell(tile.querySelector(".tile-more"), more(seen));
    tile.classList.toggle("is-trouble", isTrouble(seen));
  });
}

// The last hour by minute: turns by how they ended, and how long they took.

import { h, redraw } from "../dom.js";
import { all } from "./tiles.js";
import { minute, number, seconds } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
const MINUTES = 60;
const STEP = WIDTH / MINUTES;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Each minute of the hour, also those in which nothing ended. */
function minutes({ at, ends }) {
  const last = Math.floor(new Date(at) / 60000) * 60000;
  const known = new Map(ends.filter(({ minute: of }) => of).map((end) => [new Date(end.minute).getTime(), end]));
  return Array.from({ length: MINUTES }, (_, place) => {
    const begins = last - (MINUTES - 1 - place) * 60000;
    return known.get(begins) ?? { minute: begins, completed: 0, failed: 0, cancelled: 0, p50: null, p95: null };
  });
}

function frame(...children) {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "chart", "aria-hidden": "true" },
    ...[0.25, 0.5, 0.75].map((part) => svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part, class: "chart-grid" })), ...children);
}

function bars(of) {
  const top = Math.max(1, ...of.map(({ completed, failed, cancelled }) => completed + failed + cancelled));
  const drawn = of.flatMap((end, place) => {
    let y = HEIGHT;
    return ["completed", "cancelled", "failed"].map((kind) => {
      const height = (end[kind] / top) * (HEIGHT - 4);
      y -= height;
      return svg("rect", { x: place * STEP + 1, y, width: STEP - 2, height, class: `chart-${kind}` });
    });
  });
  return [frame(...drawn), top];
}

function lines(of) {
  const top = Math.max(0.001, ...of.map(({ p95 }) => p95 ?? 0));
  const line = (kind) => {
    let isOpen = false;
    return of.map((end, place) => {
      if (end[kind] === null) { isOpen = false; return ""; }
      const at = `${(place + 0.5) * STEP} ${HEIGHT - (end[kind] / top) * (HEIGHT - 6)}`;
      const next = isOpen ? ` L${at}` : ` M${at} h0.01`;
      isOpen = true;
      return next;
    }).join("");
  };
  return [frame(svg("path", { d: line("p95"), class: "chart-p95" }), svg("path", { d: line("p50"), class: "chart-p50" })), top];
}

function figure(title, said, drawn, top, from, keys) {
  return h("figure", { class: "figure" },
    h("figcaption", {}, h("h2", { text: title }), h("p", { class: "figure-said", text: said })),
    h("div", { class: "figure-frame" }, h("span", { class: "figure-top", text: top }), drawn),
    h("p", { class: "figure-foot" }, h("span", { text: from }), h("span", { class: "figure-keys" },
      ...keys.map(([kind, label]) => h("span", { class: `key key-${kind}`, text: label }))), h("span", { text: "now" })));
}

/** Draws both, if anything has changed. */
export function showCharts(section, seen) {
  const of = minutes(seen);
  const hour = all(seen.ends);
  redraw(section, JSON.stringify(of), () => {
    const [turns, most] = bars(of);
    const [took, longest] = lines(of);
    const from = minute(of[0].minute);
    const cut = seen.is_cut ? " Of the last 10,000 runs alone: earlier minutes are missing." : "";
    return [
      figure("Turns a minute", `${number(hour.completed)} completed, ${number(hour.failed)} failed, ${number(hour.cancelled)} cancelled in the last hour.${cut}`,
        turns, number(most), from, [["completed", "completed"], ["failed", "failed"], ["cancelled", "cancelled"]]),
      figure("A turn takes", `Half of them up to ${seconds(hour.p50)}, 95 in 100 up to ${seconds(hour.p95)}. Taken up by a worker within ${seconds(hour.pickup_p95)} (95 in 100).`,
        took, seconds(longest), from, [["p50", "p50"], ["p95", "p95"]]),
    ];
  });
}

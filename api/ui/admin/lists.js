// Workers, runs at work, runs that wait, and runs that failed, by cause.

import { h, tell } from "../dom.js";
import { confirm } from "../views/confirm.js";
import { ApiError } from "./api.js";
import { makeTable } from "./table.js";
import { ago, instant, number, short } from "./words.js";

const say = (error) => (error instanceof ApiError ? error.message : "The server cannot be reached.");

/** Makes the lists in `root`; `act(path, said)` does something, `open(runId)` shows a run. */
export function makeLists(root, { act, open }) {
  const runLink = ({ run_id: id }) => h("a", { href: `#run=${id}`, class: "run-id", text: id, on: { click: (event) => { event.preventDefault(); open(id); } } });
  const user = { name: "User", element: ({ user_id: id }) => h("span", { class: "user", dir: "auto", text: id }) };
  const cancelButton = ({ run_id: id }) => h("button", { class: "text-button", type: "button", "aria-label": `Cancel run ${id}`, text: "Cancel", on: {
    click: () => confirm({
      title: "Cancel this run?", text: "It ends as if its user had cancelled it. What its tools have done stays done.",
      yes: "Cancel the run", no: "Leave it", tell: say, act: () => act(`runs/${id}/cancel`, "A cancel was asked for."),
    }),
  } });

  const workers = makeTable({
    title: "Workers", empty: "No worker was heard of in the last ten minutes.", id: ({ worker }) => worker,
    columns: [
      { name: "Worker", element: ({ worker }) => h("span", { class: "mono", title: worker, text: short(worker) }) },
      { name: "Places taken", element: () => meter(), update: showMeter },
      { name: "Heard", isNumber: true, text: ({ heard }, now) => `${ago(heard, now)} ago` },
      { name: "State", text: (worker, now) => stateOf(worker, now) },
      { name: "Action", isHidden: true, element: (worker) => drainButton(worker), update: (button, { draining_since: since }) => { button.hidden = since !== null; } },
    ],
  });

  function drainButton({ worker }) {
    return h("button", { class: "text-button", type: "button", "aria-label": `Drain ${worker}`, text: "Drain", on: {
      click: () => confirm({
        title: `Drain ${short(worker)}?`,
        text: "It takes no more runs, finishes those that it has, and ends. A platform that keeps a number of processes starts another in its place.",
        yes: "Drain", no: "Leave it", tell: say, act: () => act(`workers/${encodeURIComponent(worker)}/drain`, "The worker drains."),
      }),
    } });
  }

  const atWork = makeTable({
    title: "At work", empty: "Nothing is at work.", id: ({ run_id: id, attempt }) => `${id}/${attempt}`,
    columns: [
      { name: "Run", element: runLink }, user,
      { name: "Attempt", isNumber: true, text: ({ attempt }) => number(attempt) },
      { name: "For", isNumber: true, text: ({ since }, now) => ago(since, now) },
      { name: "Worker", element: ({ worker }) => h("span", { class: "mono", title: worker, text: short(worker) }) },
      { name: "Action", isHidden: true, element: cancelButton },
    ],
  });

  const ready = makeTable({
    title: "Ready", empty: "No run waits for a worker.", id: ({ run_id: id }) => id,
    columns: [
      { name: "Run", element: runLink }, user,
      { name: "Attempts", isNumber: true, text: ({ attempt }) => number(attempt) },
      { name: "Waits", isNumber: true, text: ({ since }, now) => ago(since, now) },
      { name: "Action", isHidden: true, element: cancelButton },
    ],
  });

  const failures = makeFailures({ act, runLink, user });
  root.append(workers.element, atWork.element, ready.element, failures.element);
  return {
    show(seen) {
      workers.show(seen.workers, seen.at);
      atWork.show(seen.at_work, seen.at, Math.max(seen.at_work.length, seen.counts.running));
      ready.show(seen.ready, seen.at, Math.max(seen.ready.length, seen.counts.ready));
      failures.show(seen.failed, seen.at);
    },
  };
}

function meter() {
  return h("span", { class: "meter" }, h("meter", { min: 0, "aria-label": "Places taken" }), h("span", { class: "meter-text" }));
}

function showMeter(element, { busy, slots }) {
  const [bar, text] = element.children;
  bar.max = Math.max(1, slots);
  bar.value = busy;
  tell(text, `${number(busy)} of ${number(slots)}`);
}

function stateOf({ heard, draining_since: since, draining_by: by }, now) {
  if (new Date(now) - new Date(heard) > 30000) return "silent";
  return since === null ? "takes runs" : `draining, by ${by}`;
}

/** Failures, in a list for each cause. */
function makeFailures({ act, runLink, user }) {
  const causes = new Map();
  const none = h("p", { class: "list-empty", text: "No run failed in the last 24 hours." });
  const body = h("div");
  const element = h("section", { class: "list" }, h("h2", { text: "Failed in the last 24 hours" }), none, body);

  function requeueButton({ run_id: id }) {
    const problem = h("span", { class: "ops-problem", role: "alert" });
    const button = h("button", { class: "text-button", type: "button", "aria-label": `Requeue run ${id}`, text: "Requeue" });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await act(`runs/${id}/requeue`, "The run is in the queue again.");
      } catch (error) {
        problem.textContent = say(error);
        button.disabled = false;
      }
    });
    return h("span", {}, button, problem);
  }

  function makeCause(code) {
    const table = makeTable({
      title: `Runs that failed with ${code}`, empty: "None.", id: ({ run_id: id, finished_at: at }) => `${id}/${at}`,
      columns: [
        { name: "Run", element: runLink }, user,
        { name: "When", text: ({ finished_at: at }) => instant(at) },
        { name: "Action", isHidden: true, element: requeueButton, update: (cell, { is_continued: is }) => { cell.hidden = is; } },
      ],
    });
    const name = h("span", { class: "mono", text: code });
    const count = h("span", { class: "list-count" });
    const every = h("button", { class: "secondary", type: "button" });
    const details = h("details", { class: "cause" }, h("summary", {}, name, count), table.element, every);
    let shown = [];
    every.addEventListener("click", () => confirm({
      title: every.textContent, text: "Each goes on behind what it has done, and repeats none of it. Do this when the cause is gone.",
      yes: "Requeue", no: "Leave them", tell: say,
      act: async () => {
        // One by one: a run that was retried meanwhile keeps no other.
        for (const { run_id: id } of shown.filter(({ is_continued: is }) => !is)) {
          await act(`runs/${id}/requeue`, "The run is in the queue again.").catch((error) => {
            if (!(error instanceof ApiError && [404, 409].includes(error.status))) throw error;
          });
        }
      },
    }));
    return { details, show(runs, now) {
      shown = runs;
      const open = runs.filter(({ is_continued: is }) => !is).length;
      tell(count, `${number(runs[0].of_code)} ${runs[0].of_code === 1 ? "run" : "runs"}, the last ${ago(runs[0].finished_at, now)} ago`);
      tell(every, `Requeue ${open === 1 ? "this one" : `these ${open}`}`);
      every.hidden = open === 0;
      table.show(runs, now, runs[0].of_code);
    } };
  }

  function show(failed, now) {
    const by = Map.groupBy ? Map.groupBy(failed, ({ code }) => code) : grouped(failed);
    none.hidden = failed.length > 0;
    for (const [code, { details }] of causes) {
      if (!by.has(code)) { details.remove(); causes.delete(code); }
    }
    for (const [code, runs] of by) {
      if (!causes.has(code)) {
        causes.set(code, makeCause(code));
        body.append(causes.get(code).details);
      }
      causes.get(code).show(runs, now);
    }
  }
  return { element, show };
}

function grouped(failed) {
  const by = new Map();
  for (const run of failed) by.set(run.code, [...(by.get(run.code) ?? []), run]);
  return by;
}

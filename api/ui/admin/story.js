// One run's story as a time line, over the page.

import { h, icon } from "../dom.js";
import { ask } from "./api.js";
import { instant, number, seconds } from "./words.js";

const NAMES = { accepted: "Accepted", admitted: "Admitted to the queue", started: "Taken by a worker", step: "Step", tool_call: "Tool call", ended: "Ended" };

/** Shows the run in `dialog` until it is closed; rejected if there is no such run. */
export async function openStory(dialog, runId, { act, open, say }) {
  const story = await ask("GET", `runs/${runId}`);
  const problem = h("p", { class: "ops-problem", role: "alert" });
  const again = async () => dialog.replaceChildren(...draw(await ask("GET", `runs/${runId}`)));
  const doing = (label, path, said) => h("button", { class: "secondary", type: "button", text: label, on: {
    click: async ({ currentTarget: button }) => {
      button.disabled = true;
      problem.textContent = "";
      try {
        await act(`runs/${runId}/${path}`, said);
        await again();
        dialog.querySelector(".icon-button").focus();
      } catch (error) {
        problem.textContent = say(error);
        button.disabled = false;
      }
    },
  } });
  const link = (id) => h("button", { class: "text-button run-id", type: "button", text: id, on: { click: () => { dialog.close(); open(id); } } });

  function draw(of) {
    const facts = [
      ["User", h("span", { dir: "auto", text: of.user_id })],
      ["Conversation", h("span", { class: "mono", text: of.conversation_id })],
      ["Attempts", `${number(of.attempt)}, given back ${number(of.given_back)}`],
      ["Tokens", `${number(of.input_tokens)} read, ${number(of.output_tokens)} written`],
      ["Events kept", number(of.events)],
      ["At work with", of.worker && h("span", { class: "mono", text: of.worker })],
      ["Goes on from", of.parent_run_id && link(of.parent_run_id)],
      ["Continued by", of.continued_by && link(of.continued_by)],
      ["Error", of.error_code && h("span", { class: "mono", text: of.error_code })],
      ["Told", of.error_message],
    ].filter(([, value]) => value !== null && value !== undefined);
    const isOver = ["completed", "failed", "cancelled"].includes(of.status);
    return [
      h("div", { class: "help-head" },
        h("h2", { id: "story-title" }, "Run ", h("span", { class: `badge is-${of.status}`, text: of.status })),
        h("button", { class: "icon-button", type: "button", "aria-label": "Close", title: "Close", on: { click: () => dialog.close() } }, icon("close"))),
      h("div", { class: "settings-body", tabindex: "0", role: "region", "aria-label": "The run" },
        h("p", { class: "run-id", text: of.run_id }),
        h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", {}, value)))),
        h("h3", { text: "Time line" }), line(of.happened),
        h("div", { class: "story-buttons" },
          isOver ? null : doing("Cancel the run", "cancel", "A cancel was asked for."),
          of.status === "failed" && !of.continued_by ? doing("Requeue", "requeue", "The run is in the queue again.") : null,
          h("button", { class: "secondary", type: "button", text: "Look again", on: { click: () => again().catch((error) => { problem.textContent = say(error); }) } })),
        problem),
    ];
  }

  dialog.replaceChildren(...draw(story));
  await new Promise((resolve) => {
    dialog.addEventListener("close", resolve, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

/** What happened, each with the time since the first, and how much of the whole that is. */
function line(happened) {
  const times = happened.map(({ at }) => new Date(at).getTime());
  const whole = Math.max(1, times.at(-1) - times[0]);
  return h("ol", { class: "line" }, ...happened.map(({ at, what, detail }, place) => {
    const since = times[place] - times[0];
    const bar = h("progress", { max: whole, value: since, "aria-hidden": "true" });
    return h("li", { class: `line-${what}` },
      h("span", { class: "line-name" }, NAMES[what] ?? what), h("span", { class: "line-detail", text: detail }),
      h("span", { class: "line-time" }, h("time", { datetime: at, title: instant(at), text: `+ ${seconds(since / 1000)}` })), bar);
  }));
}

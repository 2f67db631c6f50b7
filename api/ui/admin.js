// The operator's page: signs in, looks every two seconds while somebody looks at it, and shows what it sees.

import { ApiError, ask, signOut } from "./admin/api.js";
import { showCharts } from "./admin/charts.js";
import { askForToken } from "./admin/gate.js";
import { makeLists } from "./admin/lists.js";
import { openStory } from "./admin/story.js";
import { showTiles } from "./admin/tiles.js";
import { instant } from "./admin/words.js";
import { announce, byId, fillIcons, icon, tell } from "./dom.js";
import { THEMES, setTheme, theme, watchTheme } from "./theme.js";
import { confirm } from "./views/confirm.js";

/** Between two looks, in ms. */
const PAUSE = 2000;
const RUN = /^#run=([0-9a-f-]{36})$/i;

const gate = byId("gate");
const app = byId("app");
let seen = null;
let timer = null;
let isLooking = false;
let isSignedIn = false;

const lists = makeLists(byId("lists"), { act, open: show });

function say(error) {
  return error instanceof ApiError ? error.message : "The server cannot be reached.";
}

/** Does something, and looks at what came of it. */
async function act(path, said) {
  const done = await ask("POST", path);
  announce(said);
  await look();
  return done;
}

async function look() {
  clearTimeout(timer);
  if (isLooking || !isSignedIn) return;
  isLooking = true;
  try {
    seen = await ask("GET", "state");
    draw();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return await enter(seen !== null);
    const old = seen ? ` What is shown is of ${instant(seen.at)}.` : "";
    state("is-away", `${say(error)}${old} Trying again.`);
  } finally {
    isLooking = false;
    clearTimeout(timer);
    if (isSignedIn && !document.hidden) timer = setTimeout(look, PAUSE);
  }
}

function state(kind, text) {
  const element = byId("state");
  element.className = `ops-state ${kind}`;
  tell(element, text);
}

function draw() {
  if (seen.paused) state("is-paused", `Paused since ${instant(seen.paused.since)} by ${seen.paused.by}: no worker takes any run`);
  else if (seen.counts.workers === 0) state("is-away", "No worker was heard of in the last 30 s");
  else state("is-good", "Workers take runs");
  tell(byId("pause"), seen.paused ? "Resume" : "Pause");
  showTiles(byId("tiles"), seen);
  showCharts(byId("charts"), seen);
  lists.show(seen);
}

async function pauseOrResume() {
  if (!seen) return;
  if (seen.paused) {
    try {
      await act("resume", "Resumed: workers take runs.");
    } catch (error) {
      state("is-away", say(error));
    }
    return;
  }
  await confirm({
    title: "Pause the queue?",
    text: "No worker takes any run until it is resumed, also after restarts. What is at work goes on; messages are accepted and wait.",
    yes: "Pause", no: "Leave it", tell: say,
    act: () => act("pause", "Paused: no worker takes any run."),
  });
}

/** Opens the run that the address names. */
function show(runId) {
  if (location.hash === `#run=${runId}`) open();
  else location.hash = `run=${runId}`;
}

async function open() {
  const run = RUN.exec(location.hash)?.[1];
  if (!run || !isSignedIn) return;
  const problem = byId("find-problem");
  problem.textContent = "";
  try {
    await openStory(byId("story"), run, { act, open: show, say });
  } catch (error) {
    problem.textContent = say(error);
    byId("find-id").value = run;
    byId("find-id").focus();
  }
  if (RUN.exec(location.hash)?.[1] === run) history.replaceState(null, "", location.pathname);
}

/** Shows what is here to whoever has the token. */
async function enter(isOver) {
  isSignedIn = false;
  app.hidden = true;
  await askForToken(gate, isOver);
  start();
}

function start() {
  isSignedIn = true;
  gate.hidden = true;
  app.hidden = false;
  look();
  open();
}

function showTheme() {
  const now = THEMES.find(({ name }) => name === theme());
  const button = byId("theme");
  button.replaceChildren(icon(now.icon));
  button.setAttribute("aria-label", `Theme: ${now.label}`);
  button.title = `Theme: ${now.label}`;
}

fillIcons(document);
watchTheme(showTheme);
byId("theme").addEventListener("click", () => {
  const place = THEMES.findIndex(({ name }) => name === theme());
  setTheme(THEMES[(place + 1) % THEMES.length].name);
});
byId("pause").addEventListener("click", pauseOrResume);
byId("sign-out").addEventListener("click", async () => {
  // Who is offline is signed out when the session ends.
  await signOut().catch(() => {});
  location.reload();
});
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const run = byId("find-id").value.trim();
  if (RUN.test(`#run=${run}`)) show(run);
  else tell(byId("find-problem"), "An id has 36 characters, such as 01a21ff1-5e08-7c2f-8a6d-b7f3e0d4195c.");
});
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

/** Whether there is a session only the server knows: no script can read its cookie. */
async function begin() {
  try {
    if (!(await ask("GET", "session")).is_signed_in) return enter(false);
  } catch {
    // It says so itself, as long as it is so.
  }
  start();
}

begin();

// The wiring of models and views, once somebody is signed in. Nothing else is decided here.

import { countDue, namePage } from "./badge.js";
import { ConversationList } from "./conversation-list.js";
import { Conversations } from "./conversations.js";
import { byId } from "./dom.js";
import { Drafts } from "./drafts.js";
import { Mcp } from "./mcp.js";
import { Outbox } from "./outbox.js";
import { Api } from "./rest.js";
import { addressOf, rename, route } from "./router.js";
import { Search } from "./search.js";
import { Connection } from "./socket.js";
import { Tasks } from "./tasks.js";
import { Composer } from "./views/composer.js";
import { ConnectionBar } from "./views/connection-bar.js";
import { Settings } from "./views/settings.js";
import { Shell } from "./views/shell.js";
import { Sidebar } from "./views/sidebar.js";
import { TaskKeys } from "./views/tasks/keys.js";
import { TaskPanel } from "./views/tasks/panel.js";
import { Thread } from "./views/thread.js";
import { today } from "./zone.js";

/** Leaves nothing of the user's in the page, and nobody who could put it back: what views still do, they do to elements that are no longer there. */
function empty() {
  byId("app").hidden = true;
  byId("user-name").removeAttribute("title");
  for (const id of ["conversation-list", "thread", "tasks", "composer", "user-name", "avatar", "chat-title", "announcer", "settings"]) {
    byId(id).replaceWith(byId(id).cloneNode(false));
  }
  namePage(null);
}

/** The page of a user who is signed in. */
export function run(identity) {
  const api = new Api(identity);
  const connection = new Connection(identity);
  const outbox = new Outbox(identity.userId);
  const drafts = new Drafts(identity.userId);
  const tasks = new Tasks({ api, mcp: new Mcp(identity) });
  const conversations = new Conversations({ api, connection, outbox });

  const shell = new Shell({ identity, focusComposer: () => composer.focus(), newConversation: () => go(null), taskKeys: () => taskKeys });
  const composer = new Composer(byId("composer"), {
    drafts,
    lastMessage: () => thread.transcript.turns.findLast(({ text }) => text !== null)?.text,
    send: (text) => thread.follow(conversations.send(thread.transcript, text)),
    stop: (turn) => conversations.cancel(thread.transcript, turn).catch(() => composer.warn("It could not be stopped. Try again.")),
  });
  const suggest = (sentence, mention) => {
    shell.closeDrawers();
    composer.suggest(sentence, mention);
  };
  const send = (text) => {
    thread.follow(conversations.send(thread.transcript, text));
    composer.focus({ unlessTouch: true });
  };
  const thread = new Thread({ connection, conversations, tasks, composer, userName: identity.displayName, send });
  const list = new ConversationList({ api, userId: identity.userId });
  const sidebar = new Sidebar(byId("conversation-list"), { list, search: new Search(api) });
  const panel = new TaskPanel(byId("tasks"), { tasks, suggest });
  document.addEventListener("errand:show-task", ({ detail: { id } }) => {
    shell.openTasks();
    panel.reveal(id);
  });
  const taskKeys = new TaskKeys({ panel, open: () => shell.openTasks() });
  new Settings({ api, tasks, zoneChanged: () => tasks.forgetDay() });
  new ConnectionBar(byId("connection"), connection);

  // Words for a conversation that somebody else has deleted are not lost.
  const rehouse = (id) => {
    drafts.rehouse(id);
    if (id === thread.transcript.id) composer.rehouse();
  };
  const go = (id) => {
    shell.closeDrawers();
    if (location.hash === addressOf(id)) composer.focus();
    else location.hash = addressOf(id);
  };

  tasks.addEventListener("change", () => countDue(tasks.counts?.today ?? 0));
  // Midnight, here or in the zone that was chosen.
  let day = today();
  setInterval(() => {
    if (day === today()) return;
    day = today();
    tasks.forgetDay();
  }, 20_000);

  conversations.addEventListener("named", ({ detail: transcript }) => {
    list.add(transcript);
    drafts.name(transcript.id);
    if (transcript === thread.transcript) {
      composer.name(transcript.id);
      rename(transcript.id);
      sidebar.select(transcript.id);
    }
  });
  conversations.addEventListener("accepted", () => list.refresh(400));
  conversations.addEventListener("deleted", ({ detail: id }) => rehouse(id));
  conversations.addEventListener("homeless", ({ detail: text }) => text && !drafts.of(null) && drafts.keep(null, text));
  conversations.addEventListener("event", ({ detail: { turn, event } }) => tasks.receive(turn, event));
  conversations.addEventListener("ended", ({ detail: turn }) => {
    tasks.refresh(300);
    if (thread.transcript.id && thread.transcript.turns[0] === turn) list.expectTitle(thread.transcript.id);
  });
  conversations.addEventListener("activity", ({ detail: ids }) => sidebar.mark(ids));
  connection.addEventListener("online", () => {
    tasks.refresh();
    list.refresh();
  });
  // By another device, an outside client, a conversation that is not followed.
  connection.addEventListener("frame", ({ detail: { type } }) => {
    // A page that nobody sees reads the list when it is seen again.
    if (type === "tasks.changed" && !document.hidden) tasks.changedElsewhere();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    tasks.refresh(100);
    list.refresh(100);
  });
  list.addEventListener("change", () => thread.title(list.title(thread.transcript.id)));
  list.addEventListener("gone", ({ detail: { id, here } }) => {
    if (here) drafts.keep(id, "");
    if (here && id === thread.transcript.id) go(null);
    conversations.deleted(id);
    // One that this page has never shown.
    rehouse(id);
  });
  window.addEventListener("focus", () => {
    tasks.refresh(100);
    list.refresh(100);
  });

  identity.addEventListener("signedout", ({ detail: { asked } }) => {
    connection.stop();
    list.close();
    outbox.clear();
    // A session that ran out takes no words away: whoever comes back as the same user finds them.
    if (asked) drafts.clear();
    empty();
    location.replace("/");
  });

  tasks.refresh();
  list.refresh();
  route((id) => {
    shell.closeDrawers();
    thread.show(conversations.open(id));
    composer.show(id);
    sidebar.select(id);
    thread.title(list.title(id));
    composer.focus({ unlessTouch: true });
  });
  connection.start();
}

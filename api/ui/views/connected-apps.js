// How other apps get at the list: the address of the tools, and what to do with it in each app.

import { h } from "../dom.js";
import { copyButton } from "./copy.js";

const json = (value) => JSON.stringify(value, null, 2);

const APPS = [
  { name: "Claude", steps: ["Open Settings, then Connectors.", "Choose “Add custom connector”, name it Errand and paste the address.", "Connect, and sign in when you are asked to."] },
  { name: "Claude Code", steps: ["Run this in a terminal, then /mcp in a session to sign in."], code: (url) => `claude mcp add --transport http errand ${url}` },
  { name: "ChatGPT", steps: ["Open Settings, then Apps and Connectors, and switch on the developer mode under Advanced.", "Create a connector, name it Errand and paste the address as the MCP server’s URL."] },
  { name: "VS Code", steps: ["Put this into .vscode/mcp.json, or run “MCP: Add Server”."], code: (url) => json({ servers: { errand: { type: "http", url } } }) },
  { name: "Cursor", steps: ["Put this into ~/.cursor/mcp.json."], code: (url) => json({ mcpServers: { errand: { url } } }) },
  { name: "Another one, with a token", steps: ["Where an app cannot sign in, give it a token of your sign-in service."], code: (url) => json({ mcpServers: { errand: { type: "http", url, headers: { Authorization: "Bearer <token>" } } } }) },
];

/** `url` is where the tools are. */
export function connectedApps(url) {
  return h("section", { class: "settings-section" }, h("h3", { text: "Connected apps" }),
    h("p", { class: "settings-text", text: "Other assistants can keep the same list: add Errand to them as an MCP server. What they change is seen here at once." }),
    snippet(url, "the address"),
    ...APPS.map(({ name, steps, code }) => h("details", { class: "client" }, h("summary", { text: name }),
      h("ol", {}, ...steps.map((text) => h("li", { text }))),
      code ? snippet(code(url), `what ${name} needs`) : null)));
}

function snippet(text, what) {
  return h("div", { class: "snippet" }, h("pre", { tabindex: 0, "aria-label": what[0].toUpperCase() + what.slice(1) }, h("code", { text })), copyButton(`Copy ${what}`, () => text));
}

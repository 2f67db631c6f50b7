// One turn with the stock AG-UI client, unchanged: `node run.mjs URL TOKEN THREAD_ID MESSAGE`.
// Prints one JSON object: what the client made of the stream.
import { randomUUID } from "node:crypto";
import { HttpAgent } from "@ag-ui/client";

const [url, token, threadId, message] = process.argv.slice(2);
const agent = new HttpAgent({ url, threadId, headers: { Authorization: `Bearer ${token}` } });
agent.addMessage({ id: randomUUID(), role: "user", content: message });
const types = [];
await agent.runAgent({ runId: randomUUID() }, { onEvent: ({ event }) => void types.push(event.type) });
console.log(JSON.stringify({ types, messages: agent.messages, state: agent.state }));

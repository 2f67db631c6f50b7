// A turn with the stock AG-UI client, unchanged: `node run.mjs URL TOKEN THREAD_ID MESSAGE [BYTES]`, the latter of a history
// before the message. What the agent asks leave for is approved. Prints one JSON object: what the client made of the streams.
import { randomUUID } from "node:crypto";
import { HttpAgent } from "@ag-ui/client";

const [url, token, threadId, message, history = 0] = process.argv.slice(2);
const agent = new HttpAgent({ url, threadId, headers: { Authorization: `Bearer ${token}` } });
for (let bytes = 0; bytes < history; bytes += 2000) {
  agent.addMessage({ id: randomUUID(), role: "user", content: "q".repeat(1000) });
  agent.addMessage({ id: randomUUID(), role: "assistant", content: "a".repeat(1000) });
}
agent.addMessage({ id: randomUUID(), role: "user", content: message });
const types = [];
const threadIds = [];
let interrupts = [];
const onEvent = ({ event }) => {
  types.push(event.type);
  if (event.threadId) threadIds.push(event.threadId);
  if (event.type === "RUN_FINISHED") interrupts = event.outcome?.interrupts ?? [];
};
await agent.runAgent({ runId: randomUUID() }, { onEvent });
while (interrupts.length) {
  const resume = interrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload: { approved: true } }));
  await agent.runAgent({ runId: randomUUID(), resume }, { onEvent });
}
console.log(JSON.stringify({ types, threadIds, messages: agent.messages, state: agent.state }));

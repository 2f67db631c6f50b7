// Whole runs against AG-UI 1.0, by the stock client's own stages: `node validate.mjs < runs.json`, a list of runs, each the list
// of its events. The schemas say whether an event is one, and which of its fields are none of the protocol's; the verifier
// whether it may come where it comes. Prints one JSON list with a line for each fault.
import { readFileSync } from "node:fs";
import { PROTOCOL_VERSION } from "@ag-ui/core";
import { enforceEvents, verifyEvents } from "@ag-ui/client";
import { from, lastValueFrom, toArray } from "rxjs";

const faults = [];
const warnings = [];
// What the protocol does not know is left out by the client with a warning.
console.warn = (...words) => warnings.push(words.join(" "));

for (const [index, run] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  const fault = (words) => faults.push(`run ${index} (${run.map(({ type }) => type).join(" ")}): ${words}`);
  try {
    const told = await lastValueFrom(from(run).pipe(enforceEvents(), verifyEvents(), toArray()));
    if (told.length !== run.length) fault(`${run.length - told.length} events are left out`);
  } catch (error) {
    fault(error.message);
  }
  warnings.splice(0).forEach(fault);
  for (const { type, protocolVersion } of run)
    if (type === "RUN_STARTED" && protocolVersion !== PROTOCOL_VERSION) fault(`protocolVersion is ${protocolVersion}`);
  if (!["RUN_FINISHED", "RUN_ERROR"].includes(run.at(-1)?.type)) fault("it has no end");
}
console.log(JSON.stringify(faults));

// The fields of a task that a person fills in, as the tools take them: `title`, `description`, `due_date`, `due_time`, `priority`, `tags`,
// `repeat`. Null, or an empty text, is none; what is left out stays as it is.

const CLEARABLE = ["description", "due_date", "due_time", "repeat"];

const isEmpty = (value) => value === null || value === undefined || value === "";
const isSame = (one, other) => (isEmpty(one) && isEmpty(other)) || JSON.stringify(one) === JSON.stringify(other);

/** Those of the fields that a task does not have so. Whoever edited has said nothing about the others, whatever they are by now. */
export function changedOf(task, fields) {
  return Object.fromEntries(Object.entries(fields).filter(([name, value]) => !isSame(value, task[name] ?? (name === "tags" ? [] : null))));
}

/** The parameters of `update_task` that make these fields of a task that has others; of `add_task`, if there is none yet (`{}`). */
export function argumentsFor(task, fields) {
  const wanted = {};
  const clear = [];
  for (const [name, value] of Object.entries(changedOf(task, fields))) {
    if (name === "tags" && value.length === 0) clear.push("tags");
    else if (!isEmpty(value)) wanted[name] = value;
    else if (CLEARABLE.includes(name)) clear.push(name);
  }
  if (clear.length) wanted.clear = clear;
  return wanted;
}

/** What a task is with these fields. */
export function patchFor(fields) {
  const patch = { ...fields };
  for (const name of ["due_date", "due_time", "repeat"]) if (name in patch && isEmpty(patch[name])) patch[name] = undefined;
  if ("description" in patch && isEmpty(patch.description)) patch.description = null;
  // Without a date there is neither a time nor a rule.
  if ("due_date" in patch && !patch.due_date) Object.assign(patch, { due_time: undefined, repeat: patch.repeat });
  return patch;
}

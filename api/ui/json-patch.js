// JSON Patch (RFC 6902) as far as a task list needs it: add, replace, remove. Documents are never changed in place.

/** The document after the patch. Throws when the patch does not fit the document. */
export function applyPatch(document, patch) {
  return patch.reduce((state, operation) => change(state, parse(operation.path), operation), document);
}

function parse(pointer) {
  if (pointer === "") return [];
  if (typeof pointer !== "string" || !pointer.startsWith("/")) throw new Error(`not a JSON pointer: ${pointer}`);
  return pointer.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function change(node, [key, ...rest], { op, value, path }) {
  if (key === undefined) {
    if (op === "remove") throw new Error("the whole document cannot be removed");
    return value;
  }
  if (node === null || typeof node !== "object") throw new Error(`nothing at ${path}`);
  const last = rest.length === 0;
  if (!last) {
    const index = Array.isArray(node) ? position(node, key, false) : key;
    if (!Object.hasOwn(node, index)) throw new Error(`nothing at ${path}`);
    return put(node, index, change(node[index], rest, { op, value, path }));
  }
  if (Array.isArray(node)) {
    const index = position(node, key, op === "add");
    if (op === "add") return node.toSpliced(index, 0, value);
    if (op === "replace") return node.with(index, value);
    if (op === "remove") return node.toSpliced(index, 1);
  } else {
    if (key === "__proto__") throw new Error(`refused: ${path}`);
    if (op !== "add" && !Object.hasOwn(node, key)) throw new Error(`nothing at ${path}`);
    if (op === "add" || op === "replace") return { ...node, [key]: value };
    if (op === "remove") {
      const { [key]: _gone, ...kept } = node;
      return kept;
    }
  }
  throw new Error(`unknown operation: ${op}`);
}

function put(node, key, value) {
  return Array.isArray(node) ? node.with(key, value) : { ...node, [key]: value };
}

/** An index of the array; for an insertion also its end, which `-` stands for. */
function position(array, key, inserting) {
  const index = inserting && key === "-" ? array.length : Number(key);
  const end = inserting ? array.length : array.length - 1;
  if (!/^(-|0|[1-9]\d*)$/.test(key) || !(index <= end)) throw new Error(`no index ${key}`);
  return index;
}

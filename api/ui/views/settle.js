// Puts elements in their places without touching those that are there.

/** Makes these the children, in this order. What is in its place is not touched: it keeps its focus, and its scroll position. */
export function settle(parent, elements) {
  const kept = new Set(elements);
  for (const child of [...parent.childNodes]) if (!kept.has(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.childNodes[index] !== element) parent.insertBefore(element, parent.childNodes[index] ?? null);
  });
}

// The address: `#/` is a new conversation, `#/c/<id>` one that exists. Back and forward work because nothing else routes.

const CONVERSATION = /^#\/c\/(.+)$/;

/** The id in the address; null for a new conversation. */
export function conversationInAddress() {
  const id = location.hash.match(CONVERSATION)?.[1];
  if (id === undefined) return null;
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

export const addressOf = (id) => (id ? `#/c/${encodeURIComponent(id)}` : "#/");

/** Calls back with the id (or null) now and whenever the address changes. */
export function route(show) {
  window.addEventListener("hashchange", () => show(conversationInAddress()));
  show(conversationInAddress());
}

/** The conversation on the page has got its id: the address says so, and the way back stays as it was. */
export function rename(id) {
  history.replaceState(null, "", addressOf(id));
}

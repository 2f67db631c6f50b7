// Asks the server. The session is a cookie, which the browser sends by itself.

/** What the server said no with. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks for `path` below /admin; what it answers, or null if it answers with nothing. */
export async function ask(method, path, body = undefined) {
  const response = await fetch(`/admin/${path}`, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "same-origin",
    signal: AbortSignal.timeout(15000),
  });
  const text = await response.text();
  let answer = null;
  try {
    answer = text === "" ? null : JSON.parse(text);
  } catch {
    // Of something in between that speaks no JSON.
  }
  if (!response.ok) throw new ApiError(response.status, answer?.error?.message ?? `The server answered ${response.status}.`);
  return answer;
}

export const signIn = (token) => ask("POST", "session", { token });
export const signOut = () => ask("DELETE", "session");

// The identity provider as the page talks to it: Better Auth's HTTP, its session cookie, and what its refusals mean in words.

/** A provider that is silent for so long is not there. */
const ANSWER_WITHIN = 15_000;
/** Nobody who leaves wants to wait. */
const LEAVE_WITHIN = 5_000;

/** What to tell for Better Auth's codes, and the field that it is about. */
const REFUSALS = {
  INVALID_EMAIL_OR_PASSWORD: ["The e-mail address or the password is wrong.", "password"],
  INVALID_EMAIL: ["This is not an e-mail address.", "email"],
  EMAIL_NOT_VERIFIED: ["Confirm your e-mail address first: follow the link that was sent to you.", "email"],
  USER_ALREADY_EXISTS: ["There is an account with this e-mail address. Sign in instead.", "email"],
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: ["There is an account with this e-mail address. Sign in instead.", "email"],
  PASSWORD_TOO_SHORT: ["This password is too short.", "password"],
  PASSWORD_TOO_LONG: ["This password is too long.", "password"],
  INVALID_ORIGIN: ["The sign-in service does not trust this page. Whoever runs it has to list this address.", null],
};

/** The provider said no, or could not be reached (`status` 0). */
export class IdentityError extends Error {
  constructor(message, status, field = null) {
    super(message);
    this.name = "IdentityError";
    this.status = status;
    /** The name of the field that is to be corrected. */
    this.field = field;
  }

  /** Only signing in again helps. */
  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

export class Provider {
  #base;
  #standIn;

  constructor({ auth_url, stand_in }) {
    this.#base = `${auth_url.replace(/\/$/, "")}/api/auth`;
    this.#standIn = stand_in;
  }

  /** A token for whoever the session cookie is about; the stand-in has none and is told a name. */
  async token(name) {
    const query = this.#standIn ? `?user=${encodeURIComponent(name)}` : "";
    return (await this.#call(`/token${query}`)).token;
  }

  signIn(email, password) {
    return this.#enter("/sign-in/email", { email, password });
  }

  signUp(name, email, password) {
    return this.#enter("/sign-up/email", { name, email, password });
  }

  signOut() {
    return this.#call("/sign-out", {}, LEAVE_WITHIN);
  }

  /** Begins a session. Its cookie is not for scripts to see, so its absence shows only when a token is asked for. */
  async #enter(path, body) {
    const { token: session } = await this.#call(path, body);
    try {
      return await this.token();
    } catch (error) {
      if (error.status !== 401) throw error;
      throw session
        ? new IdentityError(`Your browser keeps no cookies of ${new URL(this.#base).host}. Allow them to sign in here.`, 401)
        : new IdentityError("Nearly done: follow the link in the e-mail that was sent to you, then sign in.", 401);
    }
  }

  async #call(path, body, within = ANSWER_WITHIN) {
    const request = { headers: { accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(within) };
    // The stand-in answers any origin, which a browser forbids to combine with cookies.
    if (!this.#standIn) request.credentials = "include";
    if (body) {
      request.method = "POST";
      request.headers["content-type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let response, answer;
    try {
      response = await fetch(this.#base + path, request);
      answer = await response.json().catch(() => null);
    } catch {
      throw new IdentityError("The sign-in service cannot be reached. Try again in a moment.", 0);
    }
    if (response.ok) return answer ?? {};
    throw refusal(response.status, answer);
  }
}

function refusal(status, answer) {
  const [words, field] = REFUSALS[answer?.code] ?? [];
  if (words) return new IdentityError(words, status, field);
  if (status === 429) return new IdentityError("Too many tries. Wait a moment, then try again.", status);
  if (status >= 500) return new IdentityError("The sign-in service is in trouble. Try again in a moment.", status);
  return new IdentityError(answer?.message ?? "Signing in did not work.", status);
}

// Who the user is: signing in at the identity provider, the token, and its renewal. The token lives in memory only.

import { remembered } from "./dom.js";

/** Renew this long before the token ends. */
const MARGIN = 60_000;
const NAME = "errand.name";

/** The provider said no, or could not be reached (`status` 0). */
export class IdentityError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "IdentityError";
    this.status = status;
  }

  /** Only signing in again helps. */
  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

/** Events: `token` (a new one is there), `signedout`. */
export class Identity extends EventTarget {
  #base;
  #token = null;
  #renewAt = 0;
  #timer = 0;
  #renewal = null;
  #name = null;

  constructor({ auth_url, stand_in }) {
    super();
    this.#base = `${auth_url.replace(/\/$/, "")}/api/auth`;
    this.standIn = stand_in;
    this.userId = null;
    /** What to call the user; null if the provider does not say. */
    this.displayName = null;
    document.addEventListener("visibilitychange", () => {
      // Timers sleep with the machine; the token does not.
      if (!document.hidden && this.#token && Date.now() >= this.#renewAt) this.#renewSoon(0);
    });
  }

  /** Signs in without asking: the remembered name, or the provider's cookie. False: somebody has to ask. */
  async resume() {
    this.#name = this.standIn ? remembered.get("localStorage", NAME) : null;
    if (this.standIn && !this.#name) return false;
    try {
      await this.renew();
      return true;
    } catch (error) {
      if (error instanceof IdentityError && error.final) return false;
      throw error;
    }
  }

  /** The stand-in's sign-in: whoever you say you are. */
  async signInAs(name) {
    this.#name = name;
    await this.renew();
    remembered.set("localStorage", NAME, name);
  }

  async signIn(email, password) {
    await this.#call("/sign-in/email", { email, password });
    await this.renew();
  }

  async signUp(name, email, password) {
    await this.#call("/sign-up/email", { name, email, password });
    await this.renew();
  }

  async signOut() {
    const asked = this.standIn ? null : this.#call("/sign-out", {}).catch(() => null);
    this.#forget();
    await asked;
  }

  /** A token good for at least the next moments. */
  async token() {
    if (!this.#token || Date.now() >= this.#renewAt + MARGIN / 2) await this.renew();
    return this.#token;
  }

  /** Fetches a new token; callers at the same time share one request. */
  renew() {
    this.#renewal ??= this.#fetchToken().finally(() => { this.#renewal = null; });
    return this.#renewal;
  }

  async #fetchToken() {
    const query = this.standIn ? `?user=${encodeURIComponent(this.#name)}` : "";
    const { token } = await this.#call(`/token${query}`);
    const claims = decode(token);
    if (this.userId !== null && this.userId !== claims.sub) {
      // Another tab signed in as somebody else: nothing on this page is theirs.
      location.reload();
    }
    this.#token = token;
    this.userId = claims.sub;
    this.displayName = claims.name ?? (this.standIn ? claims.sub : claims.email ?? null);
    // Lifetimes, not times of day: the clock of this machine may be wrong.
    const lifetime = (claims.exp - (claims.iat ?? Date.now() / 1000)) * 1000;
    this.#renewAt = Date.now() + Math.max(lifetime - MARGIN, 5_000);
    this.#renewSoon(this.#renewAt - Date.now());
    this.dispatchEvent(new Event("token"));
  }

  #renewSoon(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.renew().catch((error) => {
        if (error.final) this.expire();
        else this.#renewSoon(10_000);
      });
    }, delay);
  }

  /** The provider no longer knows the user. */
  expire() {
    if (this.userId === null) return;
    this.#forget();
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#token = null;
    this.userId = null;
    remembered.set("localStorage", NAME, null);
    this.dispatchEvent(new Event("signedout"));
  }

  async #call(path, body) {
    const request = { headers: { accept: "application/json" }, cache: "no-store" };
    // The stand-in answers any origin, which a browser forbids to combine with cookies.
    if (!this.standIn) request.credentials = "include";
    if (body) {
      request.method = "POST";
      request.headers["content-type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(this.#base + path, request);
    } catch {
      throw new IdentityError("The sign-in service cannot be reached.", 0);
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw new IdentityError(answer?.message ?? "Signing in did not work.", response.status);
    return answer ?? {};
  }
}

/** A token's claims. They are only read here; the API is the one to check them. */
function decode(token) {
  try {
    const bytes = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0))));
    if (typeof claims.sub === "string" && claims.sub !== "" && Number.isFinite(claims.exp)) return claims;
  } catch {
    // Told below.
  }
  throw new IdentityError("The sign-in service sent a token that cannot be read.", 0);
}

// Who the user is: signing in, the token and its renewal, signing out. The token lives in memory only; what outlives a
// reload is the provider's session cookie, which no script sees.

import { remembered } from "./dom.js";
import { IdentityError, Provider } from "./provider.js";

/** Renew this long before the token ends, or half its life before if that is shorter. */
const MARGIN = 60_000;
/** Renew at least so often, and not more often. */
const LONGEST = 24 * 3600_000;
const SHORTEST = 1_000;
const RETRY_AFTER = 10_000;

/** The stand-in's session: a name. */
const NAME = "errand.name";
/** Signed out here, and the provider may not have heard of it: then its cookie counts for nothing. */
const LEFT = "errand.left";

/** Events: `token` (a new one is there), `signedout` (`detail.asked`: the user wanted it; otherwise the session ran out). */
export class Identity extends EventTarget {
  #provider;
  #token = null;
  #endsAt = 0;
  #renewAt = 0;
  #timer = 0;
  #renewal = null;
  #name = null;

  constructor(configuration) {
    super();
    this.#provider = new Provider(configuration);
    this.standIn = configuration.stand_in;
    this.userId = null;
    /** What to call the user; null if the provider does not say. */
    this.displayName = null;
    document.addEventListener("visibilitychange", () => {
      // Timers sleep with the machine; the token does not.
      if (!document.hidden && this.#token && Date.now() >= this.#renewAt) this.#renewSoon(0);
    });
    window.addEventListener("storage", ({ key, newValue }) => {
      // Another tab signed out, and meant all of them.
      if (key === LEFT && newValue) this.expire(true);
    });
  }

  /** Signs in without asking: the remembered name, or the provider's cookie. False: somebody has to ask. */
  async resume() {
    this.#name = this.standIn ? remembered.get("localStorage", NAME) : null;
    if (this.standIn && !this.#name) return false;
    if (remembered.get("localStorage", LEFT)) {
      await this.#leave();
      return false;
    }
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
    this.#enter(await this.#provider.signIn(email, password));
  }

  async signUp(name, email, password) {
    this.#enter(await this.#provider.signUp(name, email, password));
  }

  #enter(token) {
    remembered.set("localStorage", LEFT, null);
    this.#take(token);
  }

  async signOut() {
    if (!this.standIn) {
      remembered.set("localStorage", LEFT, "yes");
      // First, as leaving the page may take the request back.
      await this.#leave();
    }
    this.#forget(true);
  }

  /** Ends the session at the provider. If that fails, the next visit tries again before anything else. */
  async #leave() {
    try {
      await this.#provider.signOut();
      remembered.set("localStorage", LEFT, null);
    } catch (error) {
      console.warn("The session could not be ended:", error.message);
    }
  }

  /** A token good for at least the next moments. */
  async token() {
    const soon = (this.#renewAt + this.#endsAt) / 2;
    if (this.#token && Date.now() < soon) return this.#token;
    try {
      await this.renew();
    } catch (error) {
      // A provider that is away for a moment stops nobody whose token is still good.
      if (error.final || !this.#token || Date.now() >= this.#endsAt) throw error;
    }
    return this.#token;
  }

  /** Fetches a new token; callers at the same time share one request. */
  renew() {
    this.#renewal ??= this.#fetchToken().finally(() => { this.#renewal = null; });
    return this.#renewal;
  }

  async #fetchToken() {
    const token = await this.#provider.token(this.#name);
    if (this.userId !== null && this.userId !== decode(token).sub) {
      // Another tab signed in as somebody else: nothing on this page is theirs, and nothing here goes on.
      location.reload();
      await new Promise(() => {});
    }
    this.#take(token);
  }

  #take(token) {
    const claims = decode(token);
    this.#token = token;
    this.userId = claims.sub;
    this.displayName = claims.name || (this.standIn ? claims.sub : claims.email ?? null);
    // Lifetimes, not times of day: the clock of this machine may be wrong.
    const lifetime = (claims.exp - (claims.iat ?? Date.now() / 1000)) * 1000;
    const pause = Math.min(Math.max(lifetime - Math.min(MARGIN, lifetime / 2), SHORTEST), LONGEST);
    this.#endsAt = Date.now() + lifetime;
    this.#renewAt = Date.now() + pause;
    this.#renewSoon(pause);
    this.dispatchEvent(new Event("token"));
  }

  #renewSoon(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.renew().catch((error) => {
        if (error.final) this.expire();
        else this.#renewSoon(RETRY_AFTER);
      });
    }, delay);
  }

  /** The provider no longer knows the user, or the user has `asked` for that elsewhere. */
  expire(asked = false) {
    if (this.userId === null) return;
    this.#forget(asked);
  }

  #forget(asked) {
    clearTimeout(this.#timer);
    this.#token = null;
    this.userId = null;
    remembered.set("localStorage", NAME, null);
    this.dispatchEvent(new CustomEvent("signedout", { detail: { asked } }));
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

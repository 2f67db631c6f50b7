// One WebSocket to the API that survives the network: authenticating, asking and answering, pings, coming back.
// What the frames mean is none of its business.

const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
const ANSWER_WITHIN = 20_000;
const LONGEST_DELAY = 30_000;
/**
 * Refusals of fresh tokens in a row after which only signing in again helps. With the pauses between them they last for
 * more than the ten seconds that the server may take to ask for a new key.
 */
const MAX_REFUSALS = 5;

/** Close codes of the protocol. */
const NOT_AUTHENTICATED = 4401;
const TOO_MANY = 4429;
const RESTARTING = 1012;
const TOO_SLOW = 1013;

/** The server answered a request with an error. */
export class RequestError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "RequestError";
    this.code = code;
  }
}

/** The connection ended before the answer: nobody knows whether the request arrived. */
export class ConnectionLost extends Error {
  constructor() {
    super("The connection was lost.");
    this.name = "ConnectionLost";
  }
}

/**
 * Events: `state` (see `state`), `online` (authenticated, after each connect), `frame` (`detail`: the frame).
 * `state` is "connecting", "online", "waiting" (until `retryAt`) or "stopped".
 */
export class Connection extends EventTarget {
  #identity;
  #socket = null;
  #pending = new Map();
  #nextId = 1;
  #retryTimer = 0;
  #pingTimer = 0;
  #renewToken = false;
  #refusals = 0;
  #round = 0;

  constructor(identity) {
    super();
    this.#identity = identity;
    this.state = "stopped";
    this.retryAt = 0;
    /** Attempts that failed since the last success. */
    this.failures = 0;
    this.wasOnline = false;
    identity.addEventListener("token", () => this.#authenticateAgain());
    window.addEventListener("online", () => {
      this.retry();
      this.#check();
      this.#enter(this.state);
    });
    window.addEventListener("offline", () => {
      this.#check();
      this.#enter(this.state);
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.retry();
      this.#check();
    });
  }

  get online() {
    return this.state === "online";
  }

  /** The browser knows of no network. The socket may take a while to notice. */
  get unplugged() {
    return navigator.onLine === false;
  }

  start() {
    if (this.state === "stopped") this.#connect();
  }

  stop() {
    this.#round++;
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#enter("stopped");
  }

  /** Connects now instead of later. */
  retry() {
    if (this.state === "waiting") this.#connect();
  }

  /** Sends a request; resolves with the success frame. */
  request(method, params = {}, within = ANSWER_WITHIN) {
    if (!this.online) return Promise.reject(new ConnectionLost());
    return this.#ask(this.#socket, method, params, within);
  }

  async #connect() {
    const round = ++this.#round;
    clearTimeout(this.#retryTimer);
    this.#enter("connecting");
    try {
      // The token first: the server waits only seconds for it once the socket is open.
      if (this.#renewToken) await this.#identity.renew();
      const token = await this.#identity.token();
      if (round !== this.#round) return;
      this.#renewToken = false;
      this.#open(token);
    } catch (error) {
      if (round !== this.#round) return;
      if (error.final) this.#identity.expire();
      else this.#again();
    }
  }

  #open(token) {
    const url = new URL(`/api/${encodeURIComponent(this.#identity.userId)}/chat`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.#socket = socket;
    // A connect that hangs is a connect that failed.
    const patience = setTimeout(() => this.#lost(socket, 0), ANSWER_WITHIN);
    socket.addEventListener("open", async () => {
      clearTimeout(patience);
      try {
        await this.#ask(socket, "auth", { token }, ANSWER_WITHIN);
      } catch (error) {
        if (error instanceof RequestError) this.#lost(socket, NOT_AUTHENTICATED);
        return;
      }
      if (socket !== this.#socket) return;
      this.failures = 0;
      this.#refusals = 0;
      this.wasOnline = true;
      this.#pingLater();
      this.#enter("online");
      this.dispatchEvent(new Event("online"));
    });
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", ({ code }) => {
      clearTimeout(patience);
      this.#lost(socket, code);
    });
  }

  #ask(socket, method, params, within) {
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lost(socket, 0), within);
      this.#pending.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    this.#pingLater();
    if (frame.type !== "success" && frame.type !== "error") {
      this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
      return;
    }
    const request = this.#pending.get(frame.id);
    if (!request) return;
    this.#pending.delete(frame.id);
    clearTimeout(request.timer);
    if (frame.type === "success") request.resolve(frame);
    else request.reject(new RequestError(frame.error, frame.message));
  }

  /** Any frame proves that the connection lives; silence is asked about. */
  #pingLater() {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(() => this.#check(), PING_EVERY);
  }

  #check() {
    if (this.online) this.request("ping", {}, PONG_WITHIN).catch(() => {});
  }

  async #authenticateAgain() {
    if (!this.online) return;
    const token = await this.#identity.token();
    this.request("auth", { token }).catch((error) => {
      if (error instanceof RequestError) this.#lost(this.#socket, NOT_AUTHENTICATED);
    });
  }

  #lost(socket, code) {
    if (socket !== this.#socket || socket === null) return;
    this.#drop();
    if (code === NOT_AUTHENTICATED) {
      this.#renewToken = true;
      if (++this.#refusals > MAX_REFUSALS) {
        this.#identity.expire();
        return;
      }
    }
    this.#again(code);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#pingTimer);
    socket?.close();
    const requests = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of requests) {
      clearTimeout(timer);
      reject(new ConnectionLost());
    }
  }

  /** Exponential back-off with jitter, so that a restarted server is not met by everybody at once. */
  #again(code) {
    const jitter = 0.5 + Math.random() / 2;
    const backOff = Math.min(1000 * 2 ** this.failures, LONGEST_DELAY) * jitter;
    const atOnce = code === RESTARTING || code === TOO_SLOW || code === NOT_AUTHENTICATED;
    let delay = backOff;
    if (code === TOO_MANY) delay = Math.max(backOff, 15_000 * jitter);
    else if (atOnce && this.failures === 0) delay = 250 * jitter;
    this.failures++;
    this.retryAt = Date.now() + delay;
    this.#enter("waiting");
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #enter(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

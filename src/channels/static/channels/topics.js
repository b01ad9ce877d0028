/*! Topics, the browser client of Seaway. BSD-3-Clause */

// src/clock.ts
var LONGEST = 2 ** 31 - 1;
function now() {
  return performance.now() / 1e3;
}
function after(seconds, run) {
  const timer = setTimeout(run, Math.min(seconds * 1e3, LONGEST));
  return () => clearTimeout(timer);
}

// src/errors.ts
var CallError = class extends Error {
  name = "CallError";
  code;
  constructor(code, message) {
    super(message === "" ? code : message);
    this.code = code;
  }
};

// src/calls.ts
var Calls = class {
  #calls = /* @__PURE__ */ new Map();
  #capacity;
  constructor(capacity) {
    this.#capacity = capacity;
  }
  /** Keep a call until `flush` sends it. */
  add(request) {
    if (this.#calls.size >= this.#capacity) {
      return refuse("too_many_calls", `${this.#capacity} calls await an answer`);
    }
    return new Promise((resolve, reject) => {
      const call = { ...request, sent: false, stop: () => {
      }, resolve, reject };
      this.#calls.set(call.id, call);
      if (!call.queue) this.#limit(call);
    });
  }
  /** Send the topic's calls that were not sent yet. */
  flush(topic, maxBytes, send) {
    for (const call of this.#waiting((waiting) => waiting.topic === topic)) {
      if (new TextEncoder().encode(call.text).length > maxBytes) {
        this.#fail(call, "too_large", `the server takes ${maxBytes} bytes`);
        continue;
      }
      call.sent = true;
      if (call.queue) this.#limit(call);
      send(call.text);
    }
  }
  /** Take an answer; whether it was one to a call. */
  settle(frame) {
    const call = frame.id === void 0 ? void 0 : this.#calls.get(frame.id);
    if (call === void 0) return false;
    if (frame.type === "error") this.#fail(call, frame.code, frame.message);
    else {
      this.#forget(call);
      call.resolve(frame.data);
    }
    return true;
  }
  /** The connection is gone. */
  lost() {
    for (const call of [...this.#calls.values()]) {
      if (call.sent) this.#fail(call, "lost", "the connection broke before the answer came");
      else if (!call.queue) this.#fail(call, "offline", "there is no connection");
    }
  }
  /** Give up what was not sent, of one topic or of all. */
  refuse(code, topic) {
    const isMeant = (call) => topic === void 0 || call.topic === topic;
    for (const call of this.#waiting(isMeant)) this.#fail(call, code, "it was not sent");
  }
  #waiting(isMeant) {
    return [...this.#calls.values()].filter((call) => !call.sent && isMeant(call));
  }
  #limit(call) {
    call.stop = after(call.timeout, () => {
      if (call.sent) this.#fail(call, "timeout", `no answer within ${call.timeout} s`);
      else this.#fail(call, "offline", `not sent within ${call.timeout} s`);
    });
  }
  #fail(call, code, message) {
    this.#forget(call);
    call.reject(new CallError(code, message));
  }
  #forget(call) {
    call.stop();
    this.#calls.delete(call.id);
  }
};
function refuse(code, message) {
  return Promise.reject(new CallError(code, message));
}

// src/backoff.ts
function backoffSeconds(attempt, random, { base, cap }) {
  return random * Math.min(cap, base * 2 ** attempt);
}

// src/ending.ts
var TOKEN_EXPIRED = "token_expired";
var LOST = { back: true, reason: "lost", after: 0 };
var STAY_AWAY = { 3400: "invalid_protocol", 3401: "signed_out" };
function readGoodbye({ code, reconnect, after: after2 }) {
  return { back: reconnect, reason: code, after: after2 ?? 0 };
}
function readClose(code) {
  if (code === 3403) return { ...LOST, reason: TOKEN_EXPIRED };
  const reason = STAY_AWAY[code];
  return reason === void 0 ? LOST : { back: false, reason, after: 0 };
}

// src/page.ts
var LOOK = 5;
function watchPage(wake) {
  if (typeof document === "undefined") return () => {
  };
  const shown = () => {
    if (document.visibilityState === "visible") wake();
  };
  let looked = Date.now();
  const timer = setInterval(() => {
    const slept = Date.now() - looked > 2 * LOOK * 1e3;
    looked = Date.now();
    if (slept) shown();
  }, LOOK * 1e3);
  document.addEventListener("visibilitychange", shown);
  document.addEventListener("resume", shown);
  addEventListener("pageshow", shown);
  addEventListener("online", wake);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", shown);
    document.removeEventListener("resume", shown);
    removeEventListener("pageshow", shown);
    removeEventListener("online", wake);
  };
}
function isOffline() {
  return typeof navigator !== "undefined" && navigator.onLine === false;
}

// src/protocol.ts
var SUBPROTOCOL = "channels.topics.v1";
function parseFrame(text) {
  try {
    const frame = JSON.parse(String(text));
    const isFrame = typeof frame === "object" && frame !== null && typeof frame.type === "string";
    return isFrame ? frame : null;
  } catch {
    return null;
  }
}

// src/socket.ts
function socketUrl(url) {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  absolute.hash = "";
  return absolute.href;
}
function openSocket(url, receiver) {
  const socket = new WebSocket(url, SUBPROTOCOL);
  let isOver = false;
  socket.onopen = () => isOver || receiver.opened();
  socket.onmessage = (event) => isOver || receiver.received(event.data);
  socket.onclose = (event) => {
    if (isOver) return;
    isOver = true;
    receiver.closed(event.code);
  };
  return {
    readOnly: false,
    send: (text) => socket.send(text),
    close: () => {
      isOver = true;
      socket.close();
    }
  };
}

// src/sse.ts
function eventsUrl(url, { client, topics, recent }) {
  const absolute = new URL(url, globalThis.location?.href);
  const query = absolute.searchParams;
  const positions = new URLSearchParams();
  for (const [topic, position] of topics) {
    query.append("topic", topic);
    if (position !== null) positions.append(topic, position);
  }
  if (String(positions) !== "") query.set("position", String(positions));
  if (recent > 0) query.set("recent", String(recent));
  query.set("client", client);
  return absolute.href;
}
function openEvents(url, receiver) {
  const source = new EventSource(url, { withCredentials: true });
  source.onopen = () => receiver.opened();
  source.onmessage = (event) => receiver.received(event.data);
  const close = () => {
    source.onopen = source.onmessage = source.onerror = null;
    source.close();
  };
  source.onerror = () => {
    close();
    receiver.closed(1006);
  };
  return { readOnly: true, send: () => {
  }, close };
}

// src/connection.ts
var OPEN_SECONDS = 30;
var PROBE_SECONDS = 3;
var LIVED_SECONDS = 5;
var LATE_SECONDS = 1;
var SOCKET_ATTEMPTS = 2;
var FRESH_PART = 0.8;
var Connection = class {
  state = "closed";
  maxBytes = Number.POSITIVE_INFINITY;
  #settings;
  #socketUrl;
  #user;
  #transport = null;
  #canSend = false;
  #isReadOnly = false;
  /** Counts connections, so that what was awaited for an earlier one is dropped. */
  #turn = 0;
  #lastId = 0;
  #tokenRequest = null;
  #openedAt = null;
  #heardAt = 0;
  #silence = Number.POSITIVE_INFINITY;
  #attempt = 0;
  #notBefore = 0;
  #failedSockets = 0;
  #hasHeardSocket = false;
  #stops = {};
  #forgetPage = () => {
  };
  constructor(settings, user) {
    this.#settings = settings;
    this.#socketUrl = socketUrl(settings.url);
    this.#user = user;
  }
  /** Whether the way that is open, or being opened, takes no requests. */
  get isReadOnly() {
    return this.#isReadOnly;
  }
  /** Whether a socket is open, and `hello` was sent on it. */
  get canSend() {
    return this.#canSend;
  }
  freshId() {
    this.#lastId += 1;
    return this.#lastId;
  }
  connect() {
    if (this.state === "waiting") this.#wake();
    if (this.state !== "closed") return;
    this.#forgetPage = watchPage(() => this.#wake());
    this.#attempt = this.#failedSockets = 0;
    this.#begin();
  }
  close(reason) {
    if (this.state !== "closed") this.#end({ back: false, reason, after: 0 });
  }
  /** Send a frame, or its text; without an open socket nothing is sent. */
  send(frame) {
    if (!this.#canSend) return;
    this.#transport?.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }
  /** Ask the events address anew, for other topics or from other positions. */
  reopen() {
    if (this.state === "waiting" || this.state === "closed") return;
    this.#stops.reopen ??= after(0, () => {
      this.#drop();
      this.#user.lost();
      this.#begin();
    });
  }
  #begin() {
    const turn = ++this.#turn;
    this.#isReadOnly = this.#settings.sseUrl !== void 0 && this.#failedSockets >= SOCKET_ATTEMPTS;
    this.#openedAt = null;
    this.#stops.watch = after(OPEN_SECONDS, () => this.#end(LOST));
    const open = this.#isReadOnly ? this.#openEvents() : this.#openSocket(turn);
    void open.catch((error) => {
      if (turn !== this.#turn) return;
      this.#end(LOST);
      this.#user.failed("connect_failed", String(error));
    });
    this.#become("connecting");
  }
  async #openSocket(turn) {
    const token = await this.#settings.token.get();
    if (turn !== this.#turn) return;
    const hello = { type: "hello", client: this.#settings.clientId, token };
    this.#transport = openSocket(
      this.#socketUrl,
      this.#receiver(() => {
        this.#canSend = true;
        this.send(hello);
        this.#user.connected();
      })
    );
  }
  async #openEvents() {
    const query = this.#user.query();
    if (query === null) this.#stops.watch?.();
    else {
      const url = eventsUrl(this.#settings.sseUrl, query);
      this.#transport = openEvents(url, this.#receiver(() => {
      }));
    }
  }
  #receiver(opened) {
    return {
      opened,
      received: (text) => this.#receive(text),
      closed: (code) => this.#end(readClose(code))
    };
  }
  #receive(text) {
    const frame = parseFrame(text);
    if (frame === null) {
      this.#user.failed("invalid_frame", "the server sent what is no frame");
      return;
    }
    this.#heardAt = now();
    if (!this.#isReadOnly) this.#hasHeardSocket = true;
    if (frame.type === "hello") this.#greeted(frame);
    else if (frame.type === "goodbye") this.#end(readGoodbye(frame));
    else if ("id" in frame && frame.id === this.#tokenRequest) this.#renewed(frame);
    else this.#user.received(frame);
  }
  #greeted(hello) {
    this.#openedAt = now();
    this.#silence = 2 * (hello.ping || Number.POSITIVE_INFINITY);
    this.maxBytes = hello.max_bytes;
    this.#watchSilence(this.#silence);
    this.#renewBefore(hello.expires);
    this.#become("open");
    this.#user.opened();
  }
  #watchSilence(seconds) {
    const due = now() + seconds;
    this.#stops.watch?.();
    this.#stops.watch = after(seconds, () => {
      const left = this.#heardAt + this.#silence - now();
      if (left > 0) this.#watchSilence(left);
      else if (now() - due < LATE_SECONDS || this.#isReadOnly) this.#end(LOST);
      else {
        this.#probe();
        this.#watchSilence(this.#silence);
      }
    });
  }
  #wake() {
    if (this.state === "waiting") this.#comeBack(Math.max(0, this.#notBefore - now()));
    else if (this.state !== "open") return;
    else if (!this.#isReadOnly) this.#probe();
    else if (now() - this.#heardAt > this.#silence) this.#end(LOST);
  }
  #probe() {
    const asked = now();
    this.send({ type: "ping" });
    this.#stops.probe?.();
    this.#stops.probe = after(PROBE_SECONDS, () => {
      if (this.#heardAt < asked) this.#end(LOST);
    });
  }
  #renewBefore(expires) {
    const { token } = this.#settings;
    if (expires === void 0 || !token.canRenew) return;
    const turn = this.#turn;
    this.#stops.token = after(expires * FRESH_PART, () => {
      token.forget();
      const renew = async () => {
        const fresh = await token.get();
        if (turn !== this.#turn) return;
        this.#tokenRequest = this.freshId();
        this.send({ type: "token", id: this.#tokenRequest, token: fresh });
      };
      renew().catch((error) => this.#user.failed("invalid_token", String(error)));
    });
  }
  #renewed(frame) {
    this.#tokenRequest = null;
    if (frame.type === "error") {
      this.#settings.token.forget();
      this.#user.failed(frame.code, frame.message);
    } else if (frame.type === "reply") {
      this.#renewBefore(frame.data?.expires);
    }
  }
  #end(ending) {
    const { reason } = ending;
    const { token, backoff } = this.#settings;
    const wasGreeted = this.#openedAt !== null;
    const lived = wasGreeted && now() - this.#openedAt >= LIVED_SECONDS;
    const isTokenBad = reason === TOKEN_EXPIRED || reason === "invalid_token";
    if (isTokenBad) token.forget();
    this.#countFailure(wasGreeted);
    this.#drop();
    this.#user.lost();
    if (!ending.back || isTokenBad && !token.canRenew) {
      this.#forgetPage();
      this.#become("closed", reason);
      return;
    }
    if (lived) this.#attempt = 0;
    this.#notBefore = now() + ending.after;
    this.#comeBack(ending.after + backoffSeconds(this.#attempt, Math.random(), backoff));
    this.#attempt += 1;
    this.#become("waiting", reason);
  }
  /** Server-sent events come after some sockets that failed, and sockets after events that failed. */
  #countFailure(wasGreeted) {
    if (this.#transport === null || isOffline()) return;
    if (!this.#isReadOnly && !this.#hasHeardSocket) this.#failedSockets += 1;
    else if (this.#isReadOnly && !wasGreeted) this.#failedSockets = 0;
  }
  #comeBack(seconds) {
    this.#stops.retry?.();
    this.#stops.retry = after(seconds, () => this.#begin());
  }
  #drop() {
    this.#turn += 1;
    this.#canSend = false;
    this.#tokenRequest = null;
    for (const stop of Object.values(this.#stops)) stop();
    this.#stops = {};
    this.#transport?.close();
    this.#transport = null;
  }
  /** The last thing to do: who hears of it may call back. */
  #become(state, reason = "") {
    if (state === this.state) return;
    this.state = state;
    this.#user.changed(state, reason);
  }
};

// src/emitter.ts
var Emitter = class {
  #handlers = /* @__PURE__ */ new Map();
  /** Call `handler` for each such event; returns what stops it. */
  on(name, handler) {
    const handlers = this.#handlers.get(name) ?? /* @__PURE__ */ new Set();
    this.#handlers.set(name, handlers.add(handler));
    return () => void handlers.delete(handler);
  }
  emit(name, event) {
    for (const handler of [...this.#handlers.get(name) ?? []]) {
      try {
        handler(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
};

// src/id.ts
function makeId() {
  if (typeof crypto !== "undefined" && "randomUUID" in crypto)
    return crypto.randomUUID().replaceAll("-", "");
  const digit = () => Math.floor(Math.random() * 16).toString(16);
  return Array.from({ length: 32 }, digit).join("");
}

// src/position.ts
var FORM = /^([A-Za-z0-9]{1,32}):(0|[1-9][0-9]{0,15})$/;
function parsePosition(text) {
  const found = typeof text === "string" ? FORM.exec(text) : null;
  if (found === null) return null;
  const offset = Number(found[2]);
  return Number.isSafeInteger(offset) ? { epoch: found[1], offset } : null;
}
function formatPosition(position) {
  return `${position.epoch}:${position.offset}`;
}

// src/presence.ts
function difference(shown, members) {
  const isNew = ([key, member]) => JSON.stringify(shown.get(key)) !== JSON.stringify(member);
  return {
    joined: Object.fromEntries(Object.entries(members).filter(isNew)),
    left: [...shown.keys()].filter((key) => !Object.hasOwn(members, key))
  };
}
function apply(shown, { joined, left }) {
  for (const key of left) shown.delete(key);
  for (const [key, member] of Object.entries(joined)) shown.set(key, member);
}

// src/recovery.ts
var PASSING = /* @__PURE__ */ new Set(["unavailable", "rate_limited", "timeout", "failed"]);
function initial(position) {
  return { phase: "idle", request: null, position, version: null };
}
function ask(state, id) {
  const { position } = state;
  return {
    state: { ...state, phase: "asking", request: id },
    effects: [{ type: "ask", id, position: position && formatPosition(position) }]
  };
}
function lost(state) {
  return { ...state, phase: "idle", request: null };
}
function receive(state, frame, id) {
  switch (frame.type) {
    case "subscribed":
      return frame.id === state.request ? answered(state, frame) : same(state);
    case "error":
      return frame.id === state.request ? refused(state, frame) : same(state);
    case "unsubscribed":
      return isLive(state) && frame.id === void 0 ? refused(state, frame) : same(state);
    case "publication":
      return published(state, frame, id);
    case "position":
      return isLive(state) && isBehind(state, frame) ? ask(state, id) : same(state);
    case "gap":
      return isLive(state) ? skippedOver(state, frame) : same(state);
    case "presence":
      return changed(state, frame, id);
    default:
      return same(state);
  }
}
function same(state) {
  return { state, effects: [] };
}
function isLive(state) {
  return state.phase === "live";
}
function isBehind(state, frame) {
  const { position: held, version } = state;
  const there = parsePosition(frame.position);
  if (version !== null && frame.presence !== void 0 && frame.presence > version) return true;
  if (held === null || there === null) return false;
  return there.epoch !== held.epoch || there.offset > held.offset;
}
function answered(state, frame) {
  const held = state.position;
  const position = parsePosition(frame.position);
  const recovered = frame.recovered === true;
  const effects = [{ type: "subscribed", recovered }];
  let publications = frame.publications ?? [];
  if (held !== null && position !== null) {
    if (recovered) publications = publications.filter(({ offset }) => offset > held.offset);
    else
      effects.push({
        type: "gap",
        reason: frame.gap ?? "epoch",
        position: formatPosition(position)
      });
  }
  for (const publication of publications) effects.push(...delivery(publication));
  if (frame.presence) effects.push({ type: "members", members: frame.presence.members });
  const version = frame.presence?.version ?? null;
  return { state: { phase: "live", request: null, position, version }, effects };
}
function delivery({ data, offset, skipped }) {
  return skipped ? [] : [{ type: "publication", data, offset: offset ?? null }];
}
function refused(state, { code, message }) {
  const why = { code: code ?? "unsubscribed", message: message ?? "" };
  const next = PASSING.has(why.code) ? { type: "retry" } : { type: "closed", ...why };
  return { state: lost(state), effects: [{ type: "error", ...why }, next] };
}
function published(state, frame, id) {
  const { offset } = frame;
  if (offset === void 0) return { state, effects: delivery(frame) };
  if (!isLive(state)) return same(state);
  const { position } = state;
  if (position === null) return ask(state, id);
  if (offset <= position.offset) return same(state);
  if (offset > position.offset + 1) return ask(state, id);
  return { state: { ...state, position: { ...position, offset } }, effects: delivery(frame) };
}
function skippedOver(state, { position, reason }) {
  return {
    state: { ...state, position: parsePosition(position) },
    effects: [{ type: "gap", reason, position }]
  };
}
function changed(state, frame, id) {
  const { version } = state;
  if (!isLive(state) || version === null || frame.version <= version) return same(state);
  if (frame.version > version + 1) return ask(state, id);
  return {
    state: { ...state, version: frame.version },
    effects: [{ type: "presence", joined: frame.joined ?? {}, left: frame.left ?? [] }]
  };
}

// src/subscription.ts
var ANSWER_SECONDS = 10;
var Subscription = class extends Emitter {
  topic;
  /** What the topic shows of who is there, by key. */
  members = /* @__PURE__ */ new Map();
  /** @internal */
  recent;
  #host;
  #backoff;
  #state;
  #position;
  #isOver = false;
  #attempt = 0;
  #stop = () => {
  };
  /** @internal */
  constructor(topic, host, options) {
    super();
    this.topic = topic;
    this.recent = options.recent;
    this.#host = host;
    this.#backoff = options.backoff;
    this.#state = initial(options.position);
    this.#position = format(options.position);
  }
  /** Everything up to here was handed over; null for a volatile topic, or before the first answer. */
  get position() {
    return this.#position;
  }
  /** Whether the server has confirmed the subscription on this connection. */
  get isLive() {
    return this.#state.phase === "live";
  }
  /** Call what the topic offers under that name. Rejects with a `CallError`. */
  call(name, data, options = {}) {
    return this.#host.call(name, data, options);
  }
  unsubscribe() {
    if (this.#isOver) return;
    this.#finish();
    this.#host.unsubscribe();
    this.emit("closed", { code: "unsubscribed", message: "" });
  }
  /** @internal */
  get request() {
    return this.#state.request;
  }
  /** Ask for the topic on the connection that there is now. @internal */
  ask(id) {
    this.#take(ask(this.#state, id));
  }
  /** @internal */
  receive(frame) {
    this.#take(receive(this.#state, frame, this.#host.freshId()));
  }
  /** The connection is gone. @internal */
  lost() {
    this.#stop();
    this.#state = lost(this.#state);
  }
  #take({ state, effects }) {
    this.#state = state;
    for (const effect of effects) {
      if (this.#isOver) return;
      if (effect.type === "publication" && effect.offset !== null && state.position) {
        this.#position = formatPosition({ ...state.position, offset: effect.offset });
      }
      this.#run(effect);
    }
    this.#position = format(state.position);
  }
  #run(effect) {
    switch (effect.type) {
      case "ask":
        return this.#asked(effect.id, effect.position);
      case "retry":
        return this.#askIn(backoffSeconds(this.#attempt++, Math.random(), this.#backoff));
      case "members":
        return this.#show(difference(this.members, effect.members));
      case "presence":
        return this.#show(effect);
      case "subscribed":
        this.#stop();
        this.#attempt = 0;
        this.emit("subscribed", { recovered: effect.recovered });
        return this.#host.flush();
      case "publication":
        return this.emit("publication", { data: effect.data, offset: effect.offset });
      case "gap":
        return this.emit("gap", { reason: effect.reason, position: effect.position });
      case "error":
        return this.emit("error", { code: effect.code, message: effect.message });
      case "closed":
        this.#finish();
        this.#host.ended();
        return this.emit("closed", { code: effect.code, message: effect.message });
    }
  }
  #asked(id, position) {
    this.#askIn(ANSWER_SECONDS);
    this.#host.subscribe(id, position);
  }
  #askIn(seconds) {
    this.#stop();
    this.#stop = after(seconds, () => this.ask(this.#host.freshId()));
  }
  #show({ joined, left }) {
    if (left.length === 0 && Object.keys(joined).length === 0) return;
    apply(this.members, { joined, left });
    this.emit("presence", { joined, left });
  }
  #finish() {
    this.#stop();
    this.#isOver = true;
  }
};
function format(position) {
  return position && formatPosition(position);
}

// src/token.ts
var TokenSource = class {
  canRenew;
  #token;
  #kept;
  constructor(token) {
    this.#token = token;
    this.canRenew = typeof token === "function";
  }
  async get() {
    if (typeof this.#token !== "function") return this.#token;
    this.#kept ??= await this.#token();
    return this.#kept;
  }
  /** Fetch another one next time. */
  forget() {
    this.#kept = void 0;
  }
};

// src/client.ts
var BACKOFF = { base: 0.5, cap: 30 };
var CALL_SECONDS = 10;
var MAX_CALLS = 100;
var Client = class extends Emitter {
  clientId;
  /** Why it is `waiting` or `closed`. */
  reason = "";
  #backoff;
  #calls;
  #connection;
  #subscriptions = /* @__PURE__ */ new Map();
  /** @internal */
  constructor(url, options) {
    super();
    this.clientId = options.clientId ?? makeId();
    this.#backoff = { ...BACKOFF, ...options.backoff };
    this.#calls = new Calls(options.maxCalls ?? MAX_CALLS);
    const { clientId } = this;
    const token = new TokenSource(options.token);
    const settings = { url, sseUrl: options.sseUrl, clientId, token, backoff: this.#backoff };
    this.#connection = new Connection(settings, this.#user());
  }
  get state() {
    return this.#connection.state;
  }
  /**
   * Subscribe to a topic. There is one subscription for each: asking again gives the one that is there.
   * Throws a `TypeError` for a position that is none.
   */
  topic(topic, options = {}) {
    const found = this.#subscriptions.get(topic);
    const subscription = found ?? this.#subscribe(topic, options);
    return subscription;
  }
  /** Connect, after it was closed, or now instead of later; every topic goes on from its position. */
  connect() {
    this.#connection.connect();
  }
  /** Stay away until `connect`. Subscriptions are kept; calls that were not sent are given up. */
  close() {
    this.#connection.close("closed");
  }
  #subscribe(topic, { position, recent }) {
    const held = parsePosition(position);
    if (held === null && position) throw new TypeError(`not a position: ${position}`);
    const options = { position: held, recent: recent ?? 0, backoff: this.#backoff };
    const subscription = new Subscription(topic, this.#host(topic), options);
    this.#subscriptions.set(topic, subscription);
    if (this.#connection.isReadOnly) this.#connection.reopen();
    else if (this.#connection.canSend) subscription.ask(this.#connection.freshId());
    return subscription;
  }
  #host(topic) {
    const connection = this.#connection;
    const forget = () => {
      this.#subscriptions.delete(topic);
      this.#calls.refuse("closed", topic);
    };
    return {
      freshId: () => connection.freshId(),
      subscribe: (id, position) => {
        const recent = this.#subscriptions.get(topic)?.recent || void 0;
        const request = { type: "subscribe", id, topic, position: position ?? void 0, recent };
        if (!connection.isReadOnly) connection.send(request);
        else if (id !== -1) connection.reopen();
      },
      flush: () => this.#flush(topic),
      call: (name, data, options) => this.#call(topic, name, { data, ...options }),
      unsubscribe: () => {
        forget();
        if (connection.isReadOnly) connection.reopen();
        else connection.send({ type: "unsubscribe", id: connection.freshId(), topic });
      },
      ended: forget
    };
  }
  #call(topic, name, { data, timeout = CALL_SECONDS, queue = false }) {
    if (!this.#subscriptions.has(topic) || this.state === "closed") {
      return refuse("closed", "there is no subscription");
    }
    if (this.#connection.isReadOnly) return refuse("read_only", "server-sent events take no calls");
    if (!queue && this.state === "waiting") return refuse("offline", "there is no connection");
    const id = this.#connection.freshId();
    const text = JSON.stringify({ type: "call", id, topic, name, data, timeout });
    const answer = this.#calls.add({ id, topic, text, timeout, queue });
    this.#flush(topic);
    return answer;
  }
  /** Calls go out on a topic that the server has confirmed, and to a server that said `hello`. */
  #flush(topic) {
    const { maxBytes, state, isReadOnly } = this.#connection;
    if (state !== "open" || isReadOnly || !this.#subscriptions.get(topic)?.isLive) return;
    this.#calls.flush(topic, maxBytes, (text) => this.#connection.send(text));
  }
  #user() {
    return {
      connected: () => {
        for (const subscription of this.#each()) subscription.ask(this.#connection.freshId());
      },
      opened: () => {
        if (this.#connection.isReadOnly) this.#calls.refuse("read_only");
        for (const subscription of this.#each()) this.#flush(subscription.topic);
      },
      received: (frame) => this.#receive(frame),
      lost: () => {
        for (const subscription of this.#each()) subscription.lost();
        this.#calls.lost();
      },
      query: () => this.#query(),
      changed: (state, reason) => {
        this.reason = reason;
        if (state === "closed") this.#calls.refuse("closed");
        this.emit("state", { state, reason });
      },
      failed: (code, message) => this.emit("error", { code, message })
    };
  }
  #each() {
    return [...this.#subscriptions.values()];
  }
  #receive(frame) {
    if ((frame.type === "reply" || frame.type === "error") && this.#calls.settle(frame)) return;
    if (frame.type === "error" && frame.id === void 0) {
      this.emit("error", { code: frame.code, message: frame.message });
    } else if ("topic" in frame && frame.topic !== void 0) {
      this.#subscriptions.get(frame.topic)?.receive(frame);
    } else if (frame.type === "error") {
      this.#each().find(({ request }) => request === frame.id)?.receive(frame);
    }
  }
  #query() {
    const asked = this.#each();
    if (asked.length === 0) return null;
    for (const subscription of asked) subscription.ask(-1);
    return {
      client: this.clientId,
      topics: new Map(asked.map(({ topic, position }) => [topic, position])),
      recent: Math.max(...asked.map(({ recent }) => recent))
    };
  }
};

// src/index.ts
function connect(url, options = {}) {
  const client = new Client(url, options);
  client.connect();
  return client;
}
export {
  CallError,
  connect
};

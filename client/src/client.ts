import type { Backoff } from "./backoff.js";
import { Calls, refuse } from "./calls.js";
import { Connection, type ConnectionState, type User } from "./connection.js";
import { Emitter } from "./emitter.js";
import { makeId } from "./id.js";
import { parsePosition } from "./position.js";
import type { ServerFrame } from "./protocol.js";
import type { Query } from "./sse.js";
import { type CallOptions, type Host, Subscription } from "./subscription.js";
import { type Token, TokenSource } from "./token.js";

export type ConnectOptions = {
  /** Sent in `hello`; a function is called again when the token gets old. */
  token?: Token;
  /** Where to listen to server-sent events if no WebSocket can be opened. */
  sseUrl?: string;
  /** Names this page, also after it reconnected: 1 to 64 of `[A-Za-z0-9_-]`. */
  clientId?: string;
  /** Seconds: a random part of `base * 2 ** attempt`, at most `cap`, before coming back. */
  backoff?: Partial<Backoff>;
  /** How many calls may be without an answer, those kept while offline included. */
  maxCalls?: number;
};

export type TopicOptions = {
  /** What the page already shows, as the server rendered it; empty or null if it did not. */
  position?: string | null;
  /** Without a position, or after a gap: the latest so many publications. */
  recent?: number;
};

export type ClientEvents = {
  state: { readonly state: ConnectionState; readonly reason: string };
  /** What went wrong and belongs to no topic. */
  error: { readonly code: string; readonly message: string };
};

const BACKOFF: Backoff = { base: 0.5, cap: 30 };
const CALL_SECONDS = 10;
const MAX_CALLS = 100;

/** Many topics over one connection. Made by `connect`. */
export class Client extends Emitter<ClientEvents> {
  readonly clientId: string;
  /** Why it is `waiting` or `closed`. */
  reason = "";
  readonly #backoff: Backoff;
  readonly #calls: Calls;
  readonly #connection: Connection;
  readonly #subscriptions = new Map<string, Subscription>();

  /** @internal */
  constructor(url: string, options: ConnectOptions) {
    super();
    this.clientId = options.clientId ?? makeId();
    this.#backoff = { ...BACKOFF, ...options.backoff };
    this.#calls = new Calls(options.maxCalls ?? MAX_CALLS);
    const { clientId } = this;
    const token = new TokenSource(options.token);
    const settings = { url, sseUrl: options.sseUrl, clientId, token, backoff: this.#backoff };
    this.#connection = new Connection(settings, this.#user());
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /**
   * Subscribe to a topic. There is one subscription for each: asking again gives the one that is there.
   * Throws a `TypeError` for a position that is none.
   */
  topic<Data = unknown, Shown = unknown>(
    topic: string,
    options: TopicOptions = {},
  ): Subscription<Data, Shown> {
    const found = this.#subscriptions.get(topic);
    const subscription = found ?? this.#subscribe(topic, options);
    // What a topic's publications hold is between the page and the server.
    return subscription as Subscription<Data, Shown>;
  }

  /** Connect, after it was closed, or now instead of later; every topic goes on from its position. */
  connect(): void {
    this.#connection.connect();
  }

  /** Stay away until `connect`. Subscriptions are kept; calls that were not sent are given up. */
  close(): void {
    this.#connection.close("closed");
  }

  #subscribe(topic: string, { position, recent }: TopicOptions): Subscription {
    const held = parsePosition(position);
    if (held === null && position) throw new TypeError(`not a position: ${position}`);
    const options = { position: held, recent: recent ?? 0, backoff: this.#backoff };
    const subscription: Subscription = new Subscription(topic, this.#host(topic), options);
    this.#subscriptions.set(topic, subscription);
    if (this.#connection.isReadOnly) this.#connection.reopen();
    else if (this.#connection.canSend) subscription.ask(this.#connection.freshId());
    return subscription;
  }

  #host(topic: string): Host {
    const connection = this.#connection;
    const forget = () => {
      this.#subscriptions.delete(topic);
      this.#calls.refuse("closed", topic);
    };
    return {
      freshId: () => connection.freshId(),
      subscribe: (id, position) => {
        const recent = this.#subscriptions.get(topic)?.recent || undefined;
        const request = { type: "subscribe", id, topic, position: position ?? undefined, recent };
        // -1 is the id of the answers of an events address: it is being asked already.
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
      ended: forget,
    };
  }

  #call(
    topic: string,
    name: string,
    { data, timeout = CALL_SECONDS, queue = false }: CallOptions & { data: unknown },
  ): Promise<unknown> {
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
  #flush(topic: string): void {
    const { maxBytes, state, isReadOnly } = this.#connection;
    if (state !== "open" || isReadOnly || !this.#subscriptions.get(topic)?.isLive) return;
    this.#calls.flush(topic, maxBytes, (text) => this.#connection.send(text));
  }

  #user(): User {
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
      failed: (code, message) => this.emit("error", { code, message }),
    };
  }

  #each(): Subscription[] {
    return [...this.#subscriptions.values()];
  }

  #receive(frame: ServerFrame): void {
    if ((frame.type === "reply" || frame.type === "error") && this.#calls.settle(frame)) return;
    if (frame.type === "error" && frame.id === undefined) {
      this.emit("error", { code: frame.code, message: frame.message });
    } else if ("topic" in frame && frame.topic !== undefined) {
      this.#subscriptions.get(frame.topic)?.receive(frame);
    } else if (frame.type === "error") {
      this.#each()
        .find(({ request }) => request === frame.id)
        ?.receive(frame);
    }
  }

  #query(): Query | null {
    const asked = this.#each();
    if (asked.length === 0) return null;
    for (const subscription of asked) subscription.ask(-1);
    return {
      client: this.clientId,
      topics: new Map(asked.map(({ topic, position }) => [topic, position])),
      recent: Math.max(...asked.map(({ recent }) => recent)),
    };
  }
}

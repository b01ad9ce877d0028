import { type Backoff, backoffSeconds } from "./backoff.js";
import { after, type Stop } from "./clock.js";
import { Emitter } from "./emitter.js";
import { formatPosition, type Position } from "./position.js";
import { apply, type Change, difference } from "./presence.js";
import type { GapReason, TopicFrame } from "./protocol.js";
import { ask, type Effect, initial, lost, receive, type State, type Step } from "./recovery.js";

export type CallOptions = {
  /** Seconds to wait for the answer; 10 unless told. */
  timeout?: number;
  /** Keep the call while there is no connection, and send it when there is one again. */
  queue?: boolean;
};

export type SubscriptionEvents<Data, Shown> = {
  /** The server took the subscription; `recovered`: nothing was missed since the position. */
  subscribed: { readonly recovered: boolean };
  /** `offset` is null on a volatile topic. */
  publication: { readonly data: Data; readonly offset: number | null };
  /** What lies before `position` cannot be had: load the state again. */
  gap: { readonly reason: GapReason; readonly position: string };
  /** `members` has changed. */
  presence: {
    readonly joined: Readonly<Record<string, Shown>>;
    readonly left: readonly string[];
  };
  error: { readonly code: string; readonly message: string };
  /** It is over, and does not come back by itself. */
  closed: { readonly code: string; readonly message: string };
};

/** What a subscription needs of its client. */
export interface Host {
  freshId(): number;
  subscribe(id: number, position: string | null): void;
  flush(): void;
  call(name: string, data: unknown, options: CallOptions): Promise<unknown>;
  unsubscribe(): void;
  /** The server ended it. */
  ended(): void;
}

/** Seconds until a `subscribe` without an answer is sent again. */
const ANSWER_SECONDS = 10;

/** One topic of a client. Made by `client.topic`. */
export class Subscription<Data = unknown, Shown = unknown> extends Emitter<
  SubscriptionEvents<Data, Shown>
> {
  readonly topic: string;
  /** What the topic shows of who is there, by key. */
  readonly members: ReadonlyMap<string, Shown> = new Map();
  /** @internal */
  readonly recent: number;
  readonly #host: Host;
  readonly #backoff: Backoff;
  #state: State;
  #position: string | null;
  #isOver = false;
  #attempt = 0;
  #stop: Stop = () => {};

  /** @internal */
  constructor(
    topic: string,
    host: Host,
    options: { position: Position | null; recent: number; backoff: Backoff },
  ) {
    super();
    this.topic = topic;
    this.recent = options.recent;
    this.#host = host;
    this.#backoff = options.backoff;
    this.#state = initial(options.position);
    this.#position = format(options.position);
  }

  /** Everything up to here was handed over; null for a volatile topic, or before the first answer. */
  get position(): string | null {
    return this.#position;
  }

  /** Whether the server has confirmed the subscription on this connection. */
  get isLive(): boolean {
    return this.#state.phase === "live";
  }

  /** Call what the topic offers under that name. Rejects with a `CallError`. */
  call<Answer = unknown>(name: string, data?: unknown, options: CallOptions = {}): Promise<Answer> {
    // The server says what it answers; the page says what it expects.
    return this.#host.call(name, data, options) as Promise<Answer>;
  }

  unsubscribe(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#host.unsubscribe();
    this.emit("closed", { code: "unsubscribed", message: "" });
  }

  /** @internal */
  get request(): number | null {
    return this.#state.request;
  }

  /** Ask for the topic on the connection that there is now. @internal */
  ask(id: number): void {
    this.#take(ask(this.#state, id));
  }

  /** @internal */
  receive(frame: TopicFrame): void {
    this.#take(receive(this.#state, frame, this.#host.freshId()));
  }

  /** The connection is gone. @internal */
  lost(): void {
    this.#stop();
    this.#state = lost(this.#state);
  }

  #take({ state, effects }: Step): void {
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

  #run(effect: Effect): void {
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
        return this.emit("publication", { data: effect.data as Data, offset: effect.offset });
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

  #asked(id: number, position: string | null): void {
    this.#askIn(ANSWER_SECONDS);
    this.#host.subscribe(id, position);
  }

  #askIn(seconds: number): void {
    this.#stop();
    this.#stop = after(seconds, () => this.ask(this.#host.freshId()));
  }

  #show({ joined, left }: Change): void {
    // After a reconnect the answer most often shows who is shown already.
    if (left.length === 0 && Object.keys(joined).length === 0) return;
    apply(this.members as Map<string, unknown>, { joined, left });
    this.emit("presence", { joined: joined as Readonly<Record<string, Shown>>, left });
  }

  #finish(): void {
    this.#stop();
    this.#isOver = true;
  }
}

function format(position: Position | null): string | null {
  return position && formatPosition(position);
}

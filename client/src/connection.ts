/**
 * One connection at a time: opened, watched for silence, and opened again.
 *
 *     closed -> connecting -> open -> waiting -> connecting ...
 *
 * A connection is over once, in `#end`, whatever ended it: a close, a goodbye, silence, a time-out.
 */
import { type Backoff, backoffSeconds } from "./backoff.js";
import { after, now, type Stop } from "./clock.js";
import { type Ending, LOST, readClose, readGoodbye, TOKEN_EXPIRED } from "./ending.js";
import { isOffline, watchPage } from "./page.js";
import { type Hello, parseFrame, type ServerFrame } from "./protocol.js";
import { openSocket, socketUrl } from "./socket.js";
import { eventsUrl, openEvents, type Query } from "./sse.js";
import type { TokenSource } from "./token.js";
import type { Receiver, Transport } from "./transport.js";

export type ConnectionState = "connecting" | "open" | "waiting" | "closed";

export type Settings = {
  readonly url: string;
  readonly sseUrl: string | undefined;
  readonly clientId: string;
  readonly token: TokenSource;
  readonly backoff: Backoff;
};

/** Who uses the connection. */
export interface User {
  /** A socket is open, and `hello` on its way: requests may go behind it. */
  connected(): void;
  /** The server said `hello`. */
  opened(): void;
  received(frame: ServerFrame): void;
  /** The connection is gone, and with it all that awaits an answer. */
  lost(): void;
  /** What to ask an events address for; the answers carry the id -1. Null: nothing. */
  query(): Query | null;
  changed(state: ConnectionState, reason: string): void;
  failed(code: string, message: string): void;
}

/** Seconds until a connection must be open and greeted. */
const OPEN_SECONDS = 30;
/** Seconds to answer a probe, after the page was away. */
const PROBE_SECONDS = 3;
/** A connection that lived so many seconds was a success. */
const LIVED_SECONDS = 5;
/** A timer that is so late was held up with the page. */
const LATE_SECONDS = 1;
/** WebSockets that fail before the client tries server-sent events. */
const SOCKET_ATTEMPTS = 2;
/** The part of a token's life after which it is made fresh. */
const FRESH_PART = 0.8;

export class Connection {
  state: ConnectionState = "closed";
  maxBytes = Number.POSITIVE_INFINITY;
  readonly #settings: Settings;
  readonly #socketUrl: string;
  readonly #user: User;
  #transport: Transport | null = null;
  #canSend = false;
  #isReadOnly = false;
  /** Counts connections, so that what was awaited for an earlier one is dropped. */
  #turn = 0;
  #lastId = 0;
  #tokenRequest: number | null = null;
  #openedAt: number | null = null;
  #heardAt = 0;
  #silence = Number.POSITIVE_INFINITY;
  #attempt = 0;
  #notBefore = 0;
  #failedSockets = 0;
  #hasHeardSocket = false;
  #stops: { watch?: Stop; retry?: Stop; probe?: Stop; token?: Stop; reopen?: Stop } = {};
  #forgetPage: Stop = () => {};

  constructor(settings: Settings, user: User) {
    this.#settings = settings;
    this.#socketUrl = socketUrl(settings.url);
    this.#user = user;
  }

  /** Whether the way that is open, or being opened, takes no requests. */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /** Whether a socket is open, and `hello` was sent on it. */
  get canSend(): boolean {
    return this.#canSend;
  }

  freshId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  connect(): void {
    if (this.state === "waiting") this.#wake();
    if (this.state !== "closed") return;
    this.#forgetPage = watchPage(() => this.#wake());
    this.#attempt = this.#failedSockets = 0;
    this.#begin();
  }

  close(reason: string): void {
    if (this.state !== "closed") this.#end({ back: false, reason, after: 0 });
  }

  /** Send a frame, or its text; without an open socket nothing is sent. */
  send(frame: object | string): void {
    if (!this.#canSend) return;
    this.#transport?.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Ask the events address anew, for other topics or from other positions. */
  reopen(): void {
    if (this.state === "waiting" || this.state === "closed") return;
    // Soon, so that topics that come together are asked for together.
    this.#stops.reopen ??= after(0, () => {
      this.#drop();
      this.#user.lost();
      this.#begin();
    });
  }

  #begin(): void {
    const turn = ++this.#turn;
    this.#isReadOnly =
      this.#settings.sseUrl !== undefined && this.#failedSockets >= SOCKET_ATTEMPTS;
    this.#openedAt = null;
    this.#stops.watch = after(OPEN_SECONDS, () => this.#end(LOST));
    const open = this.#isReadOnly ? this.#openEvents() : this.#openSocket(turn);
    void open.catch((error: unknown) => {
      if (turn !== this.#turn) return;
      this.#end(LOST);
      this.#user.failed("connect_failed", String(error));
    });
    this.#become("connecting");
  }

  async #openSocket(turn: number): Promise<void> {
    const token = await this.#settings.token.get();
    if (turn !== this.#turn) return;
    const hello = { type: "hello", client: this.#settings.clientId, token };
    this.#transport = openSocket(
      this.#socketUrl,
      this.#receiver(() => {
        this.#canSend = true;
        this.send(hello);
        this.#user.connected();
      }),
    );
  }

  async #openEvents(): Promise<void> {
    const query = this.#user.query();
    if (query === null) this.#stops.watch?.();
    else {
      const url = eventsUrl(this.#settings.sseUrl as string, query);
      this.#transport = openEvents(url, this.#receiver(() => {}));
    }
  }

  #receiver(opened: () => void): Receiver {
    return {
      opened,
      received: (text) => this.#receive(text),
      closed: (code) => this.#end(readClose(code)),
    };
  }

  #receive(text: unknown): void {
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

  #greeted(hello: Hello): void {
    this.#openedAt = now();
    this.#silence = 2 * (hello.ping || Number.POSITIVE_INFINITY);
    this.maxBytes = hello.max_bytes;
    this.#watchSilence(this.#silence);
    this.#renewBefore(hello.expires);
    this.#become("open");
    this.#user.opened();
  }

  #watchSilence(seconds: number): void {
    const due = now() + seconds;
    this.#stops.watch?.();
    this.#stops.watch = after(seconds, () => {
      const left = this.#heardAt + this.#silence - now();
      if (left > 0) this.#watchSilence(left);
      else if (now() - due < LATE_SECONDS || this.#isReadOnly) this.#end(LOST);
      else {
        // The page was frozen; what the server sent meanwhile may not have been handed over yet.
        this.#probe();
        this.#watchSilence(this.#silence);
      }
    });
  }

  #wake(): void {
    if (this.state === "waiting") this.#comeBack(Math.max(0, this.#notBefore - now()));
    else if (this.state !== "open") return;
    else if (!this.#isReadOnly) this.#probe();
    else if (now() - this.#heardAt > this.#silence) this.#end(LOST);
  }

  #probe(): void {
    const asked = now();
    this.send({ type: "ping" });
    this.#stops.probe?.();
    this.#stops.probe = after(PROBE_SECONDS, () => {
      if (this.#heardAt < asked) this.#end(LOST);
    });
  }

  #renewBefore(expires: number | undefined): void {
    const { token } = this.#settings;
    if (expires === undefined || !token.canRenew) return;
    const turn = this.#turn;
    this.#stops.token = after(expires * FRESH_PART, () => {
      token.forget();
      const renew = async () => {
        const fresh = await token.get();
        if (turn !== this.#turn) return;
        this.#tokenRequest = this.freshId();
        this.send({ type: "token", id: this.#tokenRequest, token: fresh });
      };
      // The server ends the connection when the token has expired; the next one fetches it again.
      renew().catch((error: unknown) => this.#user.failed("invalid_token", String(error)));
    });
  }

  #renewed(frame: ServerFrame): void {
    this.#tokenRequest = null;
    if (frame.type === "error") {
      this.#settings.token.forget();
      this.#user.failed(frame.code, frame.message);
    } else if (frame.type === "reply") {
      this.#renewBefore((frame.data as { expires?: number } | undefined)?.expires);
    }
  }

  #end(ending: Ending): void {
    const { reason } = ending;
    const { token, backoff } = this.#settings;
    const wasGreeted = this.#openedAt !== null;
    const lived = wasGreeted && now() - (this.#openedAt as number) >= LIVED_SECONDS;
    const isTokenBad = reason === TOKEN_EXPIRED || reason === "invalid_token";
    if (isTokenBad) token.forget();
    this.#countFailure(wasGreeted);
    this.#drop();
    this.#user.lost();
    if (!ending.back || (isTokenBad && !token.canRenew)) {
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
  #countFailure(wasGreeted: boolean): void {
    if (this.#transport === null || isOffline()) return;
    if (!this.#isReadOnly && !this.#hasHeardSocket) this.#failedSockets += 1;
    else if (this.#isReadOnly && !wasGreeted) this.#failedSockets = 0;
  }

  #comeBack(seconds: number): void {
    this.#stops.retry?.();
    this.#stops.retry = after(seconds, () => this.#begin());
  }

  #drop(): void {
    this.#turn += 1;
    this.#canSend = false;
    this.#tokenRequest = null;
    for (const stop of Object.values(this.#stops)) stop();
    this.#stops = {};
    this.#transport?.close();
    this.#transport = null;
  }

  /** The last thing to do: who hears of it may call back. */
  #become(state: ConnectionState, reason = ""): void {
    if (state === this.state) return;
    this.state = state;
    this.#user.changed(state, reason);
  }
}

import { after, type Stop } from "./clock.js";
import { CallError } from "./errors.js";
import type { ErrorFrame, Reply } from "./protocol.js";

/** A call as it goes out, and what becomes of it. */
export type Request = {
  readonly id: number;
  readonly topic: string;
  readonly text: string;
  /** Seconds to wait for the answer. */
  readonly timeout: number;
  /** Whether it outlives being offline, as long as it was not sent. */
  readonly queue: boolean;
};

type Call = Request & {
  sent: boolean;
  stop: Stop;
  readonly resolve: (data: unknown) => void;
  readonly reject: (error: CallError) => void;
};

/** The calls without an answer, sent or not, in the order in which they were made. */
export class Calls {
  readonly #calls = new Map<number, Call>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Keep a call until `flush` sends it. */
  add(request: Request): Promise<unknown> {
    if (this.#calls.size >= this.#capacity) {
      return refuse("too_many_calls", `${this.#capacity} calls await an answer`);
    }
    return new Promise((resolve, reject) => {
      const call: Call = { ...request, sent: false, stop: () => {}, resolve, reject };
      this.#calls.set(call.id, call);
      if (!call.queue) this.#limit(call);
    });
  }

  /** Send the topic's calls that were not sent yet. */
  flush(topic: string, maxBytes: number, send: (text: string) => void): void {
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
  settle(frame: Reply | ErrorFrame): boolean {
    const call = frame.id === undefined ? undefined : this.#calls.get(frame.id);
    if (call === undefined) return false;
    if (frame.type === "error") this.#fail(call, frame.code, frame.message);
    else {
      this.#forget(call);
      call.resolve(frame.data);
    }
    return true;
  }

  /** The connection is gone. */
  lost(): void {
    for (const call of [...this.#calls.values()]) {
      if (call.sent) this.#fail(call, "lost", "the connection broke before the answer came");
      else if (!call.queue) this.#fail(call, "offline", "there is no connection");
    }
  }

  /** Give up what was not sent, of one topic or of all. */
  refuse(code: string, topic?: string): void {
    const isMeant = (call: Call) => topic === undefined || call.topic === topic;
    for (const call of this.#waiting(isMeant)) this.#fail(call, code, "it was not sent");
  }

  #waiting(isMeant: (call: Call) => boolean): Call[] {
    return [...this.#calls.values()].filter((call) => !call.sent && isMeant(call));
  }

  #limit(call: Call): void {
    call.stop = after(call.timeout, () => {
      if (call.sent) this.#fail(call, "timeout", `no answer within ${call.timeout} s`);
      else this.#fail(call, "offline", `not sent within ${call.timeout} s`);
    });
  }

  #fail(call: Call, code: string, message: string): void {
    this.#forget(call);
    call.reject(new CallError(code, message));
  }

  #forget(call: Call): void {
    call.stop();
    this.#calls.delete(call.id);
  }
}

export function refuse(code: string, message: string): Promise<never> {
  return Promise.reject(new CallError(code, message));
}

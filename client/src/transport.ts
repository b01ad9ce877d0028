/** One connection to the server, by whatever way. */
export interface Transport {
  /** Whether the client can only listen. */
  readonly readOnly: boolean;
  send(text: string): void;
  /** Close it; the receiver hears nothing more. */
  close(): void;
}

/** Who listens to a transport. `closed` is its last word. */
export interface Receiver {
  opened(): void;
  received(text: unknown): void;
  /** With the code of a WebSocket; 1006 where there is none. */
  closed(code: number): void;
}

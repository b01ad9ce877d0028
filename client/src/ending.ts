import type { Goodbye } from "./protocol.js";

/** What the end of a connection means for the client. */
export type Ending = {
  /** Whether to come back. */
  readonly back: boolean;
  readonly reason: string;
  /** Seconds before which the server does not want to see the client. */
  readonly after: number;
};

export const TOKEN_EXPIRED = "token_expired";

export const LOST: Ending = { back: true, reason: "lost", after: 0 };

const STAY_AWAY: Readonly<Record<number, string>> = { 3400: "invalid_protocol", 3401: "signed_out" };

/** What a `goodbye` says. */
export function readGoodbye({ code, reconnect, after }: Goodbye): Ending {
  return { back: reconnect, reason: code, after: after ?? 0 };
}

/** What the close code of a socket says that ended without a `goodbye`. */
export function readClose(code: number): Ending {
  if (code === 3403) return { ...LOST, reason: TOKEN_EXPIRED };
  const reason = STAY_AWAY[code];
  return reason === undefined ? LOST : { back: false, reason, after: 0 };
}

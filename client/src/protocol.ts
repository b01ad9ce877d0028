/** The frames of the topics protocol, version 1, as `protocol/README.md` describes them. */

export const SUBPROTOCOL = "channels.topics.v1";

export type GapReason = "trimmed" | "epoch" | "future" | (string & {});

export type Replayed = {
  readonly offset: number;
  readonly data?: unknown;
  readonly skipped?: boolean;
};

export type Members = Readonly<Record<string, unknown>>;

export type Hello = {
  readonly type: "hello";
  readonly version: number;
  readonly client: string;
  readonly ping: number;
  readonly max_bytes: number;
  readonly expires?: number;
};

export type Subscribed = {
  readonly type: "subscribed";
  readonly id: number;
  readonly topic: string;
  readonly publications?: readonly Replayed[];
  readonly position?: string;
  readonly recovered?: boolean;
  readonly gap?: GapReason;
  readonly presence?: { readonly version: number; readonly members: Members };
};

export type Unsubscribed = {
  readonly type: "unsubscribed";
  readonly topic: string;
  readonly id?: number;
  readonly code?: string;
  readonly message?: string;
};

export type Publication = {
  readonly type: "publication";
  readonly topic: string;
  readonly data?: unknown;
  readonly offset?: number;
  readonly skipped?: boolean;
};

export type Standing = {
  readonly type: "position";
  readonly topic: string;
  readonly position?: string;
  /** The number of the latest change of presence. */
  readonly presence?: number;
};

export type Gap = {
  readonly type: "gap";
  readonly topic: string;
  readonly position: string;
  readonly reason: GapReason;
};

export type Presence = {
  readonly type: "presence";
  readonly topic: string;
  readonly version: number;
  readonly joined?: Members;
  readonly left?: readonly string[];
};

export type Reply = { readonly type: "reply"; readonly id: number; readonly data?: unknown };

export type ErrorFrame = {
  readonly type: "error";
  readonly code: string;
  readonly message: string;
  readonly id?: number;
  readonly topic?: string;
};

export type Goodbye = {
  readonly type: "goodbye";
  readonly code: string;
  readonly message?: string;
  readonly reconnect: boolean;
  readonly after?: number;
};

/** What concerns one subscription. */
export type TopicFrame =
  | Subscribed
  | Unsubscribed
  | Publication
  | Standing
  | Gap
  | Presence
  | ErrorFrame;

export type ServerFrame =
  | Hello
  | TopicFrame
  | Reply
  | Goodbye
  | { readonly type: "ping" }
  | { readonly type: "pong"; readonly id?: number };

/**
 * Read a frame from the server; null if it is none.
 *
 * Members are not looked into: the server is the one that this page came from, and its tests hold it to
 * the protocol.
 */
export function parseFrame(text: unknown): ServerFrame | null {
  try {
    const frame: unknown = JSON.parse(String(text));
    const isFrame =
      typeof frame === "object" &&
      frame !== null &&
      typeof (frame as { type?: unknown }).type === "string";
    return isFrame ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}

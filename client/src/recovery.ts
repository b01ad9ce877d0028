/**
 * One subscription as a table: state and frame in, state and effects out. No socket, no timer.
 *
 * A subscription is `idle` (not asked for on this connection), `asking` (a `subscribe` awaits its
 * answer) or `live`. Only a live one takes numbered publications: what comes while it asks is part of
 * the answer. So a hole, a position ahead and a missed change of presence have one remedy, which is to
 * ask again from the position that is held; each publication is delivered once, in order, or a gap is
 * told.
 */
import { formatPosition, parsePosition, type Position } from "./position.js";
import type {
  ErrorFrame,
  Gap,
  GapReason,
  Members,
  Presence,
  Publication,
  Replayed,
  Standing,
  Subscribed,
  TopicFrame,
  Unsubscribed,
} from "./protocol.js";

export type State = {
  readonly phase: "idle" | "asking" | "live";
  /** The `subscribe` whose answer counts; an answer to any other is late. */
  readonly request: number | null;
  /** Null for a volatile topic, and for one whose position is not known yet. */
  readonly position: Position | null;
  /** Of presence; null if the topic shows none. */
  readonly version: number | null;
};

export type Effect =
  | { readonly type: "ask"; readonly id: number; readonly position: string | null }
  | { readonly type: "subscribed"; readonly recovered: boolean }
  | { readonly type: "publication"; readonly data: unknown; readonly offset: number | null }
  | { readonly type: "gap"; readonly reason: GapReason; readonly position: string }
  | { readonly type: "members"; readonly members: Members }
  | { readonly type: "presence"; readonly joined: Members; readonly left: readonly string[] }
  | { readonly type: "error"; readonly code: string; readonly message: string }
  | { readonly type: "retry" }
  | { readonly type: "closed"; readonly code: string; readonly message: string };

export type Step = { readonly state: State; readonly effects: readonly Effect[] };

/** Codes that tell of a moment, not of the topic or the user: asking again may help. */
const PASSING = new Set(["unavailable", "rate_limited", "timeout", "failed"]);

export function initial(position: Position | null): State {
  return { phase: "idle", request: null, position, version: null };
}

/** Ask for the topic, from the position that is held, with a request of that id. */
export function ask(state: State, id: number): Step {
  const { position } = state;
  return {
    state: { ...state, phase: "asking", request: id },
    effects: [{ type: "ask", id, position: position && formatPosition(position) }],
  };
}

/** The connection is gone; the position stays. */
export function lost(state: State): State {
  return { ...state, phase: "idle", request: null };
}

/** Take a frame about the topic. `id` is for the request that it may call for. */
export function receive(state: State, frame: TopicFrame, id: number): Step {
  switch (frame.type) {
    case "subscribed":
      return frame.id === state.request ? answered(state, frame) : same(state);
    case "error":
      return frame.id === state.request ? refused(state, frame) : same(state);
    case "unsubscribed":
      // With an id it answers an `unsubscribe`, of a subscription before this one.
      return isLive(state) && frame.id === undefined ? refused(state, frame) : same(state);
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

function same(state: State): Step {
  return { state, effects: [] };
}

function isLive(state: State): boolean {
  return state.phase === "live";
}

function isBehind(state: State, frame: Standing): boolean {
  const { position: held, version } = state;
  const there = parsePosition(frame.position);
  if (version !== null && frame.presence !== undefined && frame.presence > version) return true;
  if (held === null || there === null) return false;
  return there.epoch !== held.epoch || there.offset > held.offset;
}

function answered(state: State, frame: Subscribed): Step {
  const held = state.position;
  const position = parsePosition(frame.position);
  const recovered = frame.recovered === true;
  const effects: Effect[] = [{ type: "subscribed", recovered }];
  let publications = frame.publications ?? [];
  if (held !== null && position !== null) {
    if (recovered) publications = publications.filter(({ offset }) => offset > held.offset);
    else
      effects.push({
        type: "gap",
        reason: frame.gap ?? "epoch",
        position: formatPosition(position),
      });
  }
  for (const publication of publications) effects.push(...delivery(publication));
  if (frame.presence) effects.push({ type: "members", members: frame.presence.members });
  const version = frame.presence?.version ?? null;
  return { state: { phase: "live", request: null, position, version }, effects };
}

function delivery({ data, offset, skipped }: Publication | Replayed): Effect[] {
  return skipped ? [] : [{ type: "publication", data, offset: offset ?? null }];
}

function refused(state: State, { code, message }: ErrorFrame | Unsubscribed): Step {
  const why = { code: code ?? "unsubscribed", message: message ?? "" };
  const next: Effect = PASSING.has(why.code) ? { type: "retry" } : { type: "closed", ...why };
  return { state: lost(state), effects: [{ type: "error", ...why }, next] };
}

function published(state: State, frame: Publication, id: number): Step {
  const { offset } = frame;
  // A volatile topic has no history: no answer will hold what is ignored now.
  if (offset === undefined) return { state, effects: delivery(frame) };
  if (!isLive(state)) return same(state);
  const { position } = state;
  if (position === null) return ask(state, id);
  if (offset <= position.offset) return same(state);
  if (offset > position.offset + 1) return ask(state, id);
  return { state: { ...state, position: { ...position, offset } }, effects: delivery(frame) };
}

function skippedOver(state: State, { position, reason }: Gap): Step {
  return {
    state: { ...state, position: parsePosition(position) },
    effects: [{ type: "gap", reason, position }],
  };
}

function changed(state: State, frame: Presence, id: number): Step {
  const { version } = state;
  if (!isLive(state) || version === null || frame.version <= version) return same(state);
  if (frame.version > version + 1) return ask(state, id);
  return {
    state: { ...state, version: frame.version },
    effects: [{ type: "presence", joined: frame.joined ?? {}, left: frame.left ?? [] }],
  };
}

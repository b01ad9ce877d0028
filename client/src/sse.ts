import type { Receiver, Transport } from "./transport.js";

/** What to ask an events address for. */
export type Query = {
  readonly client: string;
  /** Position by topic; null where none is known. */
  readonly topics: ReadonlyMap<string, string | null>;
  readonly recent: number;
};

/** The address of the events of these topics, from their positions. */
export function eventsUrl(url: string, { client, topics, recent }: Query): string {
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

/**
 * Listen to server-sent events. An error closes it for good: when to come back, and from which positions,
 * is decided as for a WebSocket, and not by the browser.
 */
export function openEvents(url: string, receiver: Receiver): Transport {
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
  return { readOnly: true, send: () => {}, close };
}

import { Client, type ConnectOptions } from "./client.js";

export type { Backoff } from "./backoff.js";
export type { Client, ClientEvents, ConnectOptions, TopicOptions } from "./client.js";
export type { ConnectionState } from "./connection.js";
export { CallError } from "./errors.js";
export type { GapReason } from "./protocol.js";
export type { CallOptions, Subscription, SubscriptionEvents } from "./subscription.js";
export type { Token } from "./token.js";

/**
 * Connect to the topics of a server.
 *
 * `url` may be relative to the page. Comes back by itself until it is told to stay away.
 */
export function connect(url: string, options: ConnectOptions = {}): Client {
  const client = new Client(url, options);
  client.connect();
  return client;
}

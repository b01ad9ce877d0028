import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import type { Client, ConnectionState } from "../src/index.js";

export type Frame = { type: string; [member: string]: unknown };

/** As a browser's: what fails is a close, and no event of its own that must be heard. */
class QuietWebSocket extends WebSocket {
  constructor(...given: ConstructorParameters<typeof WebSocket>) {
    super(...given);
    this.on("error", () => {});
  }
}
Object.assign(globalThis, { WebSocket: QuietWebSocket });

/** Items that are awaited one by one. */
class Queue<Item> {
  readonly #items: Item[] = [];
  readonly #waiting: ((item: Item) => void)[] = [];

  put(item: Item): void {
    const take = this.#waiting.shift();
    if (take) take(item);
    else this.#items.push(item);
  }

  next(): Promise<Item> {
    return new Promise((resolve) => {
      if (this.#items.length > 0) resolve(this.#items.shift() as Item);
      else this.#waiting.push(resolve);
    });
  }

  get size(): number {
    return this.#items.length;
  }
}

/** The server's side of one connection, which says only what a test lets it say. */
export class Peer {
  readonly #frames = new Queue<Frame>();

  constructor(
    readonly socket: WebSocket,
    readonly subprotocol: string,
  ) {
    socket.on("message", (text) => this.#frames.put(JSON.parse(String(text))));
  }

  /** The next frame of the client. */
  next(): Promise<Frame> {
    return this.#frames.next();
  }

  /** How many frames nobody looked at. */
  get pending(): number {
    return this.#frames.size;
  }

  send(frame: Frame): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** Take the client's `hello`, answer it, and return it. */
  async greet(members: object = {}): Promise<Frame> {
    const hello = await this.next();
    const answer = { type: "hello", version: 1, client: hello.client, ping: 25, max_bytes: 65536 };
    this.send({ ...answer, ...members });
    return hello;
  }

  /** Take the client's `subscribe`, answer it, and return it. */
  async accept(members: object = {}): Promise<Frame> {
    const { id, topic, ...rest } = await this.next();
    const answer = { type: "subscribed", id, topic, publications: [] };
    this.send({ ...answer, ...members });
    return { id, topic, ...rest };
  }
}

export class Server {
  readonly #server: WebSocketServer;
  readonly #peers = new Queue<Peer>();

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (socket) => this.#peers.put(new Peer(socket, socket.protocol)));
  }

  static async start(port = 0): Promise<Server> {
    const server = new WebSocketServer({ port, host: "127.0.0.1" });
    await once(server, "listening");
    return new Server(server);
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/topics/`;
  }

  /** The next connection. */
  peer(): Promise<Peer> {
    return this.#peers.next();
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise((done) => this.#server.close(done));
  }
}

export function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

/** Until it is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await pause(0.005);
}

/** Until the client enters that state, however soon it leaves it. */
export function became(client: Client, wanted: ConnectionState): Promise<void> {
  return new Promise((done) => {
    const stop = client.on("state", ({ state }) => {
      if (state !== wanted) return;
      stop();
      done();
    });
  });
}

import assert from "node:assert/strict";
import { beforeEach, type TestContext, test } from "node:test";
import { type Client, connect } from "../src/index.js";
import { Events, goOnline } from "./browser.js";
import { pause, Server, until } from "./server.js";

const SSE = "https://site.example/events";
const SOON = { base: 0.01, cap: 0.02 };
const HELLO = { type: "hello", version: 1, client: "me", ping: 25, max_bytes: 0 };

/** A client for which no WebSocket can be opened. */
async function setUp(context: TestContext): Promise<Client> {
  const server = await Server.start();
  const { url } = server;
  await server.stop();
  const client = connect(url, { sseUrl: SSE, backoff: SOON, clientId: "me" });
  context.after(() => client.close());
  return client;
}

/** The events that are asked for after so many others. */
async function events(number: number): Promise<Events> {
  await until(() => Events.all.length > number);
  return Events.all[number] as Events;
}

function answer(topic: string, position: string, publications: object[] = []): object {
  return { type: "subscribed", id: -1, topic, position, recovered: true, publications };
}

beforeEach(() => {
  Events.all.length = 0;
});

test("where no socket opens, events are listened to", async (context) => {
  const client = await setUp(context);
  const seen: unknown[] = [];
  const room = client.topic("room.1", { position: "e:5", recent: 3 });
  room.on("publication", ({ data }) => seen.push(data));
  client.topic("prices");

  const source = await events(0);
  source.send(HELLO);
  source.send(answer("room.1", "e:6", [{ offset: 6, data: "six" }]));
  source.send({ type: "publication", topic: "room.1", offset: 7, data: "seven" });

  assert.deepEqual(source.query.getAll("topic"), ["room.1", "prices"]);
  assert.equal(source.query.get("position"), "room.1=e%3A5");
  assert.equal(source.query.get("client"), "me");
  assert.equal(source.query.get("recent"), "3");
  assert.deepEqual([client.state, seen], ["open", ["six", "seven"]]);
});

test("there are no calls, also none that waited", async (context) => {
  const client = await setUp(context);
  const room = client.topic("room.1");
  const early = room.call("say", 1, { queue: true });
  const refused = assert.rejects(early, { code: "read_only" });

  (await events(0)).send(HELLO);

  await refused;
  await assert.rejects(room.call("say"), { code: "read_only" });
});

test("other topics are asked for anew, together, from where the client is", async (context) => {
  const client = await setUp(context);
  const room = client.topic("room.1");
  const source = await events(0);
  source.send(HELLO);
  source.send(answer("room.1", "e:5"));
  source.send({ type: "publication", topic: "room.1", offset: 6, data: "six" });

  client.topic("a");
  client.topic("b");
  const second = await events(1);

  assert.ok(source.isClosed);
  assert.deepEqual(second.query.getAll("topic"), ["room.1", "a", "b"]);
  assert.equal(second.query.get("position"), "room.1=e%3A6");
  room.unsubscribe();
  assert.deepEqual((await events(2)).query.getAll("topic"), ["a", "b"]);
});

test("without topics nothing is asked for", async (context) => {
  const client = await setUp(context);
  const room = client.topic("room.1");
  const source = await events(0);
  source.send(HELLO);

  room.unsubscribe();
  await until(() => source.isClosed);
  await pause(0.05);

  assert.deepEqual([Events.all.length, client.state], [1, "connecting"]);
  client.topic("room.2");
  assert.deepEqual((await events(1)).query.getAll("topic"), ["room.2"]);
});

test("a hole is recovered by connecting again", async (context) => {
  const client = await setUp(context);
  const seen: unknown[] = [];
  client.topic("room.1").on("publication", ({ data }) => seen.push(data));
  const source = await events(0);
  source.send(HELLO);
  source.send(answer("room.1", "e:5"));

  source.send({ type: "publication", topic: "room.1", offset: 7, data: "seven" });
  const second = await events(1);
  second.send(HELLO);
  const publications = ["six", "seven"].map((data, n) => ({ offset: 6 + n, data }));
  second.send(answer("room.1", "e:7", publications));

  assert.equal(second.query.get("position"), "room.1=e%3A5");
  assert.deepEqual(seen, ["six", "seven"]);
});

test("events that break are asked for again, and events that fail give way to sockets", async (context) => {
  const client = await setUp(context);
  const reasons: string[] = [];
  client.topic("room.1");
  const source = await events(0);
  client.on("state", ({ state, reason }) => reasons.push(reason || state));
  source.send(HELLO);
  source.onerror?.();

  const second = await events(1);
  second.onerror?.();
  await events(2);

  const socket = ["connecting", "lost"];
  assert.deepEqual(reasons, ["open", "lost", ...socket, ...socket, ...socket, "connecting"]);
});

test("a topic that is refused is over", async (context) => {
  const client = await setUp(context);
  const codes: string[] = [];
  client.topic("room.1").on("closed", ({ code }) => codes.push(code));
  const source = await events(0);

  source.send(HELLO);
  source.send({ type: "error", id: -1, topic: "room.1", code: "denied", message: "" });

  assert.deepEqual(codes, ["denied"]);
});

test("silent events are asked for again when the page wakes", async (context) => {
  const client = await setUp(context);
  client.topic("room.1");
  const source = await events(0);
  source.send({ ...HELLO, ping: 0.1 });

  goOnline();
  assert.equal(client.state, "open");
  await events(1);

  assert.ok(source.isClosed);
});

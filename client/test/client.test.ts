import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Client, type ConnectOptions, connect } from "../src/index.js";
import { became, type Peer, pause, Server, until } from "./server.js";

const SOON = { base: 0.02, cap: 0.05 };
const LATER = { base: 600, cap: 600 };

type Events = (string | object)[];

async function setUp(context: TestContext, options: ConnectOptions = {}) {
  const server = await Server.start();
  const client = connect(server.url, { backoff: SOON, ...options });
  const states: string[] = [];
  const errors: string[] = [];
  client.on("state", ({ state, reason }) => states.push(reason ? `${state}: ${reason}` : state));
  client.on("error", ({ code }) => errors.push(code));
  context.after(async () => {
    client.close();
    await server.stop();
  });
  return { server, client, states, errors };
}

/** A client with one topic that the server has confirmed. */
async function subscribed(context: TestContext, options: ConnectOptions = {}, hello: object = {}) {
  const there = await setUp(context, options);
  const room = there.client.topic("room.1");
  const peer = await there.server.peer();
  await peer.greet(hello);
  await peer.accept({ position: "e:5", recovered: false });
  await until(() => room.isLive);
  return { ...there, room, peer };
}

function code(expected: string) {
  return { name: "CallError", code: expected };
}

async function come(server: Server, hello: object = {}, answer: object = {}): Promise<Peer> {
  const peer = await server.peer();
  await peer.greet(hello);
  await peer.accept({ position: "e:5", recovered: true, ...answer });
  return peer;
}

test("many topics share one socket, and hello comes first", async (context) => {
  const { server, client, states } = await setUp(context);
  const events: Events = [];
  const room = client.topic("room.1", { position: "e:4", recent: 20 });
  const prices = client.topic<number>("prices");
  room.on("subscribed", (event) => events.push(event));
  room.on("publication", (event) => events.push(event));
  prices.on("publication", ({ data, offset }) => events.push([data, offset]));

  const peer = await server.peer();
  const first = await peer.next();
  const second = await peer.next();
  const third = await peer.next();
  peer.send({ type: "hello", version: 1, client: client.clientId, ping: 25, max_bytes: 99 });
  peer.send({
    type: "subscribed",
    id: second.id,
    topic: "room.1",
    position: "e:5",
    recovered: true,
    publications: [{ offset: 5, data: "five" }],
  });
  peer.send({ type: "subscribed", id: third.id, topic: "prices", publications: [] });
  peer.send({ type: "publication", topic: "prices", data: 9.5 });
  peer.send({ type: "publication", topic: "room.1", offset: 6, data: "six" });
  await until(() => events.length === 4);

  assert.equal(peer.subprotocol, "channels.topics.v1");
  assert.deepEqual(first, { type: "hello", client: client.clientId });
  assert.match(client.clientId, /^[0-9a-f]{32}$/);
  const room1 = { type: "subscribe", topic: "room.1", position: "e:4", recent: 20 };
  assert.deepEqual(second, { ...room1, id: second.id });
  assert.deepEqual(third, { type: "subscribe", topic: "prices", id: third.id });
  assert.notEqual(second.id, third.id);
  assert.deepEqual(events, [
    { recovered: true },
    { data: "five", offset: 5 },
    [9.5, null],
    { data: "six", offset: 6 },
  ]);
  assert.deepEqual([room.position, prices.position], ["e:6", null]);
  assert.deepEqual(states, ["open"]);
});

test("the position of a subscription is that of what was handed over", async (context) => {
  const { server, client } = await setUp(context);
  const positions: (string | null)[] = [];
  const room = client.topic("room.1", { position: "e:3" });
  room.on("publication", () => positions.push(room.position));
  const publications = [4, 5, 6].map((offset) => ({ offset, data: offset }));

  await come(server, {}, { position: "e:6", publications });
  await until(() => positions.length === 3);

  assert.deepEqual(positions, ["e:4", "e:5", "e:6"]);
});

test("a topic that is asked for twice is one subscription", async (context) => {
  const { client, room } = await subscribed(context);

  assert.equal(client.topic("room.1"), room);
});

test("an empty position is none, and a wrong one is an error", async (context) => {
  const { client } = await setUp(context);

  assert.equal(client.topic("a", { position: "" }).position, null);
  assert.equal(client.topic("b", { position: null }).position, null);
  assert.throws(() => client.topic("c", { position: "five" }), TypeError);
});

test("a lost connection comes back, and each topic goes on from its position", async (context) => {
  const { server, client, room, peer, states } = await subscribed(context);
  const seen: unknown[] = [];
  room.on("publication", ({ data }) => seen.push(data));
  peer.send({ type: "publication", topic: "room.1", offset: 6, data: "six" });
  await until(() => seen.length === 1);

  peer.socket.terminate();
  const second = await server.peer();
  const hello = await second.greet();
  const request = await second.accept({
    position: "e:7",
    recovered: true,
    publications: [{ offset: 7, data: "seven" }],
  });
  await until(() => seen.length === 2);

  assert.equal(hello.client, client.clientId);
  assert.equal(request.position, "e:6");
  assert.deepEqual(seen, ["six", "seven"]);
  assert.deepEqual(states, ["open", "waiting: lost", "connecting", "open"]);
});

test("a hole is recovered on the open connection", async (context) => {
  const { room, peer } = await subscribed(context);
  const seen: unknown[] = [];
  room.on("publication", ({ offset }) => seen.push(offset));

  peer.send({ type: "publication", topic: "room.1", offset: 7, data: "" });
  const publications = [6, 7].map((offset) => ({ offset, data: "" }));
  const request = await peer.accept({ position: "e:7", recovered: true, publications });
  await until(() => seen.length === 2);

  assert.equal(request.position, "e:5");
  assert.deepEqual(seen, [6, 7]);
});

test("a gap is told before what comes after it", async (context) => {
  const { server, client } = await setUp(context);
  const events: Events = [];
  const room = client.topic("room.1", { position: "e:3" });
  room.on("gap", (event) => events.push(event));
  room.on("publication", ({ offset }) => events.push({ offset }));

  const publications = [{ offset: 50, data: "" }];
  await come(server, {}, { position: "e:50", recovered: false, gap: "trimmed", publications });
  await until(() => events.length === 2);

  assert.deepEqual(events, [{ reason: "trimmed", position: "e:50" }, { offset: 50 }]);
});

test("members mirror the presence of the topic", async (context) => {
  const { server, client } = await setUp(context);
  const events: Events = [];
  const room = client.topic<unknown, string>("room.1");
  room.on("presence", (event) => events.push(event));

  const members = { "1": "Ann", "2": "Bob" };
  const peer = await come(server, {}, { presence: { version: 3, members } });
  await until(() => events.length === 1);
  peer.send({ type: "presence", topic: "room.1", version: 4, joined: { "3": "Cid" }, left: ["1"] });
  await until(() => events.length === 2);

  assert.deepEqual(events, [
    { joined: members, left: [] },
    { joined: { "3": "Cid" }, left: ["1"] },
  ]);
  assert.deepEqual([...room.members.values()], ["Bob", "Cid"]);

  peer.socket.terminate();
  await became(client, "waiting");
  const shown = { "2": "Bob", "3": "Cid" };
  await come(server, {}, { presence: { version: 1, members: shown } });
  await until(() => room.isLive);
  assert.equal(events.length, 2, "nothing changed");
});

test("a subscription that is refused is over, and the socket lives", async (context) => {
  const { server, client } = await setUp(context);
  const events: Events = [];
  const room = client.topic("room.1");
  room.on("error", ({ code }) => events.push(`error ${code}`));
  room.on("closed", ({ code, message }) => events.push(`closed ${code} ${message}`));

  const peer = await server.peer();
  await peer.greet();
  const { id } = await peer.next();
  peer.send({ type: "error", id, topic: "room.1", code: "denied", message: "no" });
  await until(() => events.length === 2);

  assert.deepEqual(events, ["error denied", "closed denied no"]);
  assert.equal(client.state, "open");
  await assert.rejects(room.call("say"), code("closed"));
  assert.notEqual(client.topic("room.1"), room);
});

test("an error that names no topic finds its subscription", async (context) => {
  const { server, client } = await setUp(context);
  const codes: string[] = [];
  client.topic("room.1").on("closed", ({ code }) => codes.push(code));

  const peer = await server.peer();
  await peer.greet();
  const { id } = await peer.next();
  peer.send({ type: "error", id, code: "unknown_topic", message: "" });
  await until(() => codes.length === 1);

  assert.deepEqual(codes, ["unknown_topic"]);
});

test("a server that cannot now is asked again", async (context) => {
  const { server, client } = await setUp(context);
  const room = client.topic("room.1", { position: "e:5" });

  const peer = await server.peer();
  await peer.greet();
  const { id } = await peer.next();
  peer.send({ type: "error", id, topic: "room.1", code: "unavailable", message: "" });
  const again = await peer.accept({ position: "e:5", recovered: true });
  await until(() => room.isLive);

  assert.equal(again.position, "e:5");
  assert.notEqual(again.id, id);
});

test("unsubscribing ends it, here and there", async (context) => {
  const { room, peer, server } = await subscribed(context);
  const events: Events = [];
  room.on("closed", ({ code }) => events.push(code));
  room.on("publication", (event) => events.push(event));

  room.unsubscribe();
  room.unsubscribe();
  const request = await peer.next();
  peer.send({ type: "publication", topic: "room.1", offset: 6, data: "late" });
  peer.socket.close();
  const second = await server.peer();
  await second.greet();
  await pause(0.05);

  assert.deepEqual(request, { type: "unsubscribe", id: request.id, topic: "room.1" });
  assert.deepEqual(events, ["unsubscribed"]);
  assert.equal(second.pending, 0);
});

test("unsubscribing within a handler stops what follows", async (context) => {
  const { server, client } = await setUp(context);
  const seen: unknown[] = [];
  const room = client.topic("room.1", { position: "e:3" });
  room.on("publication", ({ offset }) => {
    seen.push(offset);
    room.unsubscribe();
  });

  const publications = [4, 5].map((offset) => ({ offset, data: "" }));
  const peer = await come(server, {}, { position: "e:5", publications });
  await peer.next();

  assert.deepEqual([seen, room.position], [[4], "e:4"]);
});

test("a call has an answer", async (context) => {
  const { room, peer } = await subscribed(context);

  const answer = room.call<{ sent: boolean }>("say", { text: "hi" }, { timeout: 3 });
  const request = await peer.next();
  peer.send({ type: "reply", id: request.id, data: { sent: true } });

  assert.deepEqual(await answer, { sent: true });
  const meant = { topic: "room.1", name: "say", data: { text: "hi" }, timeout: 3 };
  assert.deepEqual(request, { type: "call", id: request.id, ...meant });
});

test("calls are answered in any order", async (context) => {
  const { room, peer } = await subscribed(context);

  const answers = Promise.all([room.call("a"), room.call("b")]);
  const [a, b] = [await peer.next(), await peer.next()];
  peer.send({ type: "reply", id: b.id, data: "b" });
  peer.send({ type: "reply", id: a.id, data: "a" });

  assert.deepEqual(await answers, ["a", "b"]);
});

test("a call that fails says why", async (context) => {
  const { room, peer } = await subscribed(context);

  const answer = room.call("say");
  const { id } = await peer.next();
  peer.send({ type: "error", id, topic: "room.1", code: "too_rude", message: "mind your words" });

  await assert.rejects(answer, { ...code("too_rude"), message: "mind your words" });
});

test("a call without an answer times out, and a late answer is nobody's", async (context) => {
  const { room, peer, errors } = await subscribed(context);

  const answer = room.call("say", null, { timeout: 0.05 });
  const { id } = await peer.next();
  await assert.rejects(answer, code("timeout"));
  peer.send({ type: "error", id, topic: "room.1", code: "timeout", message: "" });
  peer.send({ type: "reply", id, data: 1 });
  const next = room.call("say");
  peer.send({ type: "reply", id: (await peer.next()).id, data: 2 });

  assert.equal(await next, 2);
  assert.deepEqual(errors, []);
});

test("a call may be made before the connection is there", async (context) => {
  const { server, client } = await setUp(context);
  const answer = client.topic("room.1").call("say");

  const peer = await come(server);
  const { id } = await peer.next();
  peer.send({ type: "reply", id, data: "said" });

  assert.equal(await answer, "said");
});

test("a call that cannot go out in time was not sent", async (context) => {
  const { client } = await setUp(context);

  await assert.rejects(client.topic("a").call("say", 1, { timeout: 0.03 }), code("offline"));
});

test("a call is refused while there is no connection", async (context) => {
  const { client, room, peer } = await subscribed(context, { backoff: LATER });
  peer.socket.terminate();
  await became(client, "waiting");

  await assert.rejects(room.call("say"), code("offline"));
});

test("a call that was sent when the connection broke may have had its effect", async (context) => {
  const { server, room, peer } = await subscribed(context);

  const answers = [room.call("a", 1, { queue: true }), room.call("b")];
  await peer.next();
  await peer.next();
  peer.socket.terminate();

  for (const answer of answers) await assert.rejects(answer, code("lost"));
  const second = await come(server);
  await pause(0.05);
  assert.equal(second.pending, 0);
});

test("a call that is queued goes out once there is a connection, in order", async (context) => {
  const { server, client, room, peer } = await subscribed(context, {
    backoff: { base: 0.2, cap: 0.2 },
  });
  peer.socket.terminate();
  await became(client, "waiting");

  const data = { n: 1 };
  const answers = Promise.all([
    room.call("first", data, { queue: true, timeout: 5 }),
    room.call("second", 2, { queue: true }),
  ]);
  data.n = 99;
  const second = await come(server);
  for (const name of ["first", "second"]) {
    const request = await second.next();
    assert.equal(request.name, name);
    if (name === "first") assert.deepEqual(request.data, { n: 1 });
    second.send({ type: "reply", id: request.id, data: name });
  }

  assert.deepEqual(await answers, ["first", "second"]);
});

test("the queue is bounded", async (context) => {
  const { client, room, peer } = await subscribed(context, { backoff: LATER, maxCalls: 2 });
  peer.socket.terminate();
  await became(client, "waiting");

  const kept = [1, 2].map((n) => room.call("say", n, { queue: true }));
  await assert.rejects(room.call("say", 3, { queue: true }), code("too_many_calls"));
  client.close();

  for (const answer of kept) await assert.rejects(answer, code("closed"));
});

test("a call that the server would not take is not sent", async (context) => {
  const { room, peer } = await subscribed(context, {}, { max_bytes: 200 });

  await assert.rejects(room.call("say", "é".repeat(100)), code("too_large"));
  const empty = { type: "call", id: 9, topic: "room.1", name: "say", data: "", timeout: 10 };
  const space = 200 - JSON.stringify(empty).length;
  await assert.rejects(room.call("say", "e".repeat(space + 1)), code("too_large"));
  const answer = room.call("say", "e".repeat(space));
  peer.send({ type: "reply", id: (await peer.next()).id });

  assert.equal(await answer, undefined);
});

test("calls that wait are given up with their subscription", async (context) => {
  const { room, client, peer } = await subscribed(context, { backoff: LATER });
  peer.socket.terminate();
  await became(client, "waiting");

  const answer = room.call("say", 1, { queue: true });
  room.unsubscribe();

  await assert.rejects(answer, code("closed"));
});

test("a goodbye before a restart brings the client back, not too early", async (context) => {
  const { server, peer, states } = await subscribed(context);

  const start = performance.now();
  peer.send({ type: "goodbye", code: "restart", message: "", reconnect: true, after: 0.3 });
  await come(server);

  assert.ok(performance.now() - start >= 295);
  assert.deepEqual(states.slice(0, 2), ["open", "waiting: restart"]);
});

test("a client that was signed out stays away until it is told to connect", async (context) => {
  const { server, client, room, peer, states } = await subscribed(context);
  const answer = room.call("say");
  await peer.next();

  peer.send({ type: "goodbye", code: "signed_out", message: "", reconnect: false });
  await assert.rejects(answer, code("lost"));
  await pause(0.1);

  assert.deepEqual([client.state, client.reason], ["closed", "signed_out"]);
  await assert.rejects(room.call("say", 1, { queue: true }), code("closed"));
  client.connect();
  const second = await server.peer();
  await second.greet();
  assert.equal((await second.accept({ position: "e:5", recovered: true })).position, "e:5");
  await until(() => room.isLive);
  assert.deepEqual(states, ["open", "closed: signed_out", "connecting", "open"]);
});

for (const [number, reason] of [
  [3400, "invalid_protocol"],
  [3401, "signed_out"],
  [3403, "token_expired"],
] as const) {
  test(`close code ${number} keeps a client without fresh tokens away`, async (context) => {
    const { client, peer } = await subscribed(context, { token: "fixed" });

    peer.socket.close(number);
    await until(() => client.state === "closed");

    assert.equal(client.reason, reason);
  });
}

for (const number of [1000, 1012, 3001, 4000]) {
  test(`close code ${number} brings the client back`, async (context) => {
    const { server, room, peer } = await subscribed(context);

    peer.socket.close(number);
    await come(server);
    await until(() => room.isLive);
  });
}

test("a token is fetched once, and anew after it expired", async (context) => {
  let fetched = 0;
  const token = async () => `token ${++fetched}`;
  const { server, peer } = await subscribed(context, { token });
  peer.socket.terminate();
  const second = await server.peer();
  assert.equal((await second.greet()).token, "token 1");

  second.send({ type: "goodbye", code: "token_expired", message: "", reconnect: true });
  const third = await server.peer();
  assert.equal((await third.next()).token, "token 2");
  third.socket.close(3403);

  assert.equal((await (await server.peer()).next()).token, "token 3");
});

test("a token that is not accepted keeps the client away", async (context) => {
  let fetched = 0;
  const { server, client } = await setUp(context, { token: () => `token ${++fetched}` });
  const peer = await server.peer();
  await peer.next();

  peer.send({ type: "goodbye", code: "invalid_token", message: "", reconnect: false });
  await until(() => client.state === "closed");

  assert.equal(client.reason, "invalid_token");
  client.connect();
  assert.equal((await (await server.peer()).next()).token, "token 2");
});

test("a token is made fresh before it expires, again and again", async (context) => {
  let fetched = 0;
  const { server, states } = await setUp(context, { token: () => `token ${++fetched}` });
  const peer = await server.peer();
  const start = performance.now();

  assert.equal((await peer.greet({ expires: 1 })).token, "token 1");
  for (const token of ["token 2", "token 3"]) {
    const request = await peer.next();
    assert.deepEqual(request, { type: "token", id: request.id, token });
    peer.send({ type: "reply", id: request.id, data: { expires: 0.5 } });
  }

  assert.ok(performance.now() - start < 1490, "both before the token expired");
  assert.deepEqual(states, ["open"]);
});

test("a fresh token that is refused is an error, and ends nothing", async (context) => {
  const { server, client, errors } = await setUp(context, { token: () => "token" });
  const peer = await server.peer();
  await peer.greet({ expires: 0.05 });

  const { id } = await peer.next();
  peer.send({ type: "error", id, code: "invalid_token", message: "" });
  await until(() => errors.length === 1);

  assert.deepEqual([errors, client.state], [["invalid_token"], "open"]);
});

test("a token that cannot be fetched is tried again", async (context) => {
  let tries = 0;
  const token = async () => {
    tries += 1;
    if (tries < 3) throw new Error("no network");
    return "token";
  };
  const { server, errors } = await setUp(context, { token });

  const hello = await (await server.peer()).greet();

  assert.equal(hello.token, "token");
  assert.deepEqual(errors, ["connect_failed", "connect_failed"]);
});

test("a silent server is taken for dead", async (context) => {
  const { server, peer, states } = await subscribed(context, {}, { ping: 0.1 });
  const start = performance.now();
  for (let n = 0; n < 4; n += 1) {
    await pause(0.08);
    peer.send({ type: "ping" });
  }

  await server.peer();

  assert.ok(performance.now() - start > 500);
  assert.deepEqual(states.slice(0, 3), ["open", "waiting: lost", "connecting"]);
});

test("errors of no request are the client's", async (context) => {
  const { peer, errors } = await subscribed(context);

  peer.send({ type: "error", code: "rate_limited", message: "" });
  peer.send({ type: "error", code: "too_large", message: "", topic: "room.1" });
  peer.socket.send("what");
  await until(() => errors.length === 3);

  assert.deepEqual(errors, ["rate_limited", "too_large", "invalid_frame"]);
});

test("types and topics that are not known are ignored", async (context) => {
  const { peer, room, errors, client } = await subscribed(context);

  peer.send({ type: "weather", sun: true });
  peer.send({ type: "publication", topic: "other", data: 1 });
  peer.send({ type: "pong", id: 3 });
  peer.send({ type: "publication", topic: "room.1", offset: 6, data: 1 });
  await until(() => room.position === "e:6");

  assert.deepEqual([errors, client.state], [[], "open"]);
});

test("a client that is closed stays away, whatever it was doing", async (context) => {
  const options = { token: () => pause(0.02).then(() => "token") };
  const { server, client, states } = await setUp(context, options);

  client.close();
  await pause(0.05);
  client.connect();
  client.connect();
  const peer = await server.peer();
  await peer.greet();
  await until(() => client.state === "open");
  peer.socket.terminate();
  await became(client, "waiting");
  client.close();
  await pause(0.1);

  assert.deepEqual(states, [
    "closed: closed",
    "connecting",
    "open",
    "waiting: lost",
    "closed: closed",
  ]);
});

test("a client that waits comes back when it is told to", async (context) => {
  const { server, client, peer } = await subscribed(context, { backoff: LATER });
  peer.socket.terminate();
  await became(client, "waiting");

  client.connect();

  await come(server);
});

test("a handler that closes the client while it waits is obeyed", async (context) => {
  const { client, peer } = await subscribed(context);
  client.on("state", ({ state }) => state === "waiting" && client.close());

  peer.socket.terminate();
  await until(() => client.state === "closed");
  await pause(0.1);

  assert.equal(client.state, "closed");
});

test("a client that the server does not reach waits longer each time", async (context) => {
  context.mock.method(Math, "random", () => 1);
  const server = await Server.start();
  const { url } = server;
  await server.stop();
  const client: Client = connect(url, { backoff: { base: 0.02, cap: 0.08 } });
  context.after(() => client.close());
  const times: number[] = [];
  client.on("state", ({ state }) => state === "connecting" && times.push(performance.now()));

  await until(() => times.length === 6);

  const waits = times.map((time, n) => time - (times[n - 1] ?? time)).slice(1);
  assert.ok((waits[0] as number) >= 39 && (waits[1] as number) >= 79, String(waits));
  // Without the cap it would be 640 ms.
  assert.ok((waits[4] as number) < 500, String(waits));
});

test("a handler that fails is reported, and stops no other", async (context) => {
  const { room, peer } = await subscribed(context);
  const later: (() => void)[] = [];
  context.mock.method(globalThis, "queueMicrotask", (run: () => void) => later.push(run));
  const seen: unknown[] = [];
  const stop = room.on("publication", () => seen.push("stopped"));
  room.on("publication", () => {
    throw new Error("a bug of the page");
  });
  room.on("publication", ({ data }) => seen.push(data));

  stop();
  peer.send({ type: "publication", topic: "room.1", offset: 6, data: "six" });
  await until(() => seen.length === 1);

  assert.deepEqual(seen, ["six"]);
  assert.throws(() => later.at(-1)?.(), /a bug of the page/);
});

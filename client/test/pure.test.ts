import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffSeconds } from "../src/backoff.js";
import { readClose, readGoodbye } from "../src/ending.js";
import { makeId } from "../src/id.js";
import { formatPosition, parsePosition } from "../src/position.js";
import { apply, difference } from "../src/presence.js";
import { type Goodbye, parseFrame, type ServerFrame } from "../src/protocol.js";
import { socketUrl } from "../src/socket.js";
import { eventsUrl } from "../src/sse.js";
import { vectors } from "./vectors.js";

type PositionCase = { text: unknown; valid: boolean; epoch?: string; offset?: number };
type ClientCase = { name: string; text: string; valid: boolean; frame?: { position?: string } };
type ServerCase = { name: string; frame: ServerFrame };

test("positions are read and written as the protocol says", () => {
  for (const { text, valid, epoch, offset } of vectors<PositionCase>("positions")) {
    const position = parsePosition(text);

    assert.deepEqual(position, valid ? { epoch, offset } : null, JSON.stringify(text));
    if (position) assert.equal(formatPosition(position), text);
  }
});

test("every valid frame of a client is JSON, and says what it should", () => {
  for (const { name, text, valid, frame } of vectors<ClientCase>("frames-from-client")) {
    if (!valid) continue;
    assert.ok(frame, name);

    const { position } = frame;

    assert.deepEqual({ ...JSON.parse(text), ...frame }, JSON.parse(text), name);
    if (position !== undefined) assert.ok(parsePosition(position), name);
  }
});

test("every frame of a server is read", () => {
  for (const { name, frame } of vectors<ServerCase>("frames-from-server")) {
    assert.deepEqual(parseFrame(JSON.stringify(frame)), frame, name);
  }
});

test("what is no frame is refused", () => {
  for (const text of ["", "{", "null", "1", '"ping"', "[]", "{}", '{"type":1}', undefined]) {
    assert.equal(parseFrame(text), null, String(text));
  }
});

test("a client waits a random part of a time that doubles up to a cap", () => {
  const backoff = { base: 0.5, cap: 30 };
  const longest = [0, 1, 2, 5, 6, 7, 2000].map((attempt) => backoffSeconds(attempt, 1, backoff));

  assert.deepEqual(longest, [0.5, 1, 2, 16, 30, 30, 30]);
  assert.equal(backoffSeconds(3, 0, backoff), 0);
  assert.equal(backoffSeconds(3, 0.25, backoff), 1);
});

test("a close code says whether to come back", () => {
  const read = (code: number) => [readClose(code).back, readClose(code).reason];

  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 3001, 4000]) {
    assert.deepEqual(read(code), [true, "lost"], String(code));
  }
  assert.deepEqual(read(3400), [false, "invalid_protocol"]);
  assert.deepEqual(read(3401), [false, "signed_out"]);
  assert.deepEqual(read(3403), [true, "token_expired"]);
});

test("a goodbye says whether to come back, and when", () => {
  const frames = vectors<ServerCase>("frames-from-server").map(({ frame }) => frame);
  const goodbyes = frames.filter((frame): frame is Goodbye => frame.type === "goodbye");

  assert.deepEqual(goodbyes.map(readGoodbye), [
    { back: true, reason: "restart", after: 2 },
    { back: false, reason: "signed_out", after: 0 },
    { back: true, reason: "token_expired", after: 0 },
    { back: false, reason: "invalid_token", after: 0 },
  ]);
});

test("a snapshot of presence becomes who joined and who left", () => {
  const shown = new Map<string, unknown>([
    ["1", { name: "Ann" }],
    ["2", "Bob"],
    ["3", "Cid"],
  ]);
  const members = { "1": { name: "Ann" }, "2": "Bo", "4": "Dan" };

  const change = difference(shown, members);
  apply(shown, change);

  assert.deepEqual(change, { joined: { "2": "Bo", "4": "Dan" }, left: ["3"] });
  assert.deepEqual(Object.fromEntries(shown), members);
});

test("an address of events asks for topics from their positions", () => {
  const topics = new Map([
    ["room.1", "e:5"],
    ["a&b=c", "f:0"],
    ["prices", null],
  ]);
  const url = new URL(
    eventsUrl("https://site.example/events?lang=en", { client: "me", topics, recent: 3 }),
  );

  assert.equal(url.origin + url.pathname, "https://site.example/events");
  assert.deepEqual(url.searchParams.getAll("topic"), ["room.1", "a&b=c", "prices"]);
  assert.deepEqual(
    [...new URLSearchParams(url.searchParams.get("position") ?? "")],
    [
      ["room.1", "e:5"],
      ["a&b=c", "f:0"],
    ],
  );
  assert.equal(url.searchParams.get("recent"), "3");
  assert.equal(url.searchParams.get("client"), "me");
  assert.equal(url.searchParams.get("lang"), "en");
});

test("an address of events leaves out what there is not", () => {
  const topics = new Map([["prices", null]]);
  const url = eventsUrl("https://site.example/events", { client: "me", topics, recent: 0 });

  assert.equal(url, "https://site.example/events?topic=prices&client=me");
});

test("an address of a socket may be relative, and of http", () => {
  const global = globalThis as { location?: { href: string } };
  global.location = { href: "https://site.example/chat/?x#top" };
  try {
    assert.equal(socketUrl("/ws/"), "wss://site.example/ws/");
    assert.equal(socketUrl("http://other.example/ws/#a"), "ws://other.example/ws/");
    assert.equal(socketUrl("wss://other.example/ws/"), "wss://other.example/ws/");
  } finally {
    delete global.location;
  }
  assert.throws(() => socketUrl("/ws/"), TypeError);
});

test("a page has a name of its own, also without TLS", (context) => {
  assert.match(makeId(), /^[0-9a-f]{32}$/);
  assert.notEqual(makeId(), makeId());

  context.mock.getter(globalThis, "crypto", () => undefined);
  assert.match(makeId(), /^[0-9a-f]{32}$/);
  assert.notEqual(makeId(), makeId());
});

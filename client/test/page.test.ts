import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connect } from "../src/index.js";
import { watchPage } from "../src/page.js";
import { goOnline, page, show } from "./browser.js";
import { became, pause, Server, until } from "./server.js";

async function setUp(context: TestContext, backoff: { base: number; cap: number }) {
  const server = await Server.start();
  const client = connect(server.url, { backoff });
  context.after(async () => {
    client.close();
    await server.stop();
  });
  const peer = await server.peer();
  await peer.greet();
  await until(() => client.state === "open");
  return { server, client, peer };
}

const LATER = { base: 600, cap: 600 };

test("a client that waits comes back at once when the page is online", async (context) => {
  const { server, client, peer } = await setUp(context, LATER);
  peer.socket.terminate();
  await became(client, "waiting");

  goOnline();

  await (await server.peer()).greet();
});

test("a client that waits comes back when the page is shown, not when it is hidden", async (context) => {
  const { server, client, peer } = await setUp(context, LATER);
  peer.socket.terminate();
  await became(client, "waiting");

  show("hidden");
  await pause(0.05);
  assert.equal(client.state, "waiting");
  show("visible");

  await (await server.peer()).greet();
});

test("not before the server wants to see it", async (context) => {
  const { server, client, peer } = await setUp(context, LATER);
  const start = performance.now();
  peer.send({ type: "goodbye", code: "restart", message: "", reconnect: true, after: 0.3 });
  await became(client, "waiting");

  goOnline();
  await server.peer();

  assert.ok(performance.now() - start >= 295);
});

test("a page that has slept with its machine asks its socket", async (context) => {
  const wakes: number[] = [];
  context.mock.timers.enable({ apis: ["setInterval", "Date"] });
  const stop = watchPage(() => wakes.push(Date.now()));
  for (let look = 0; look < 4; look++) context.mock.timers.tick(5_000);
  assert.deepEqual(wakes, []);

  context.mock.timers.tick(100_000);
  assert.equal(wakes.length, 1);
  stop();
  context.mock.timers.tick(240_000);

  assert.equal(wakes.length, 1);
});

test("a page that comes out of a freeze asks its socket", async (context) => {
  const { client, peer } = await setUp(context, LATER);

  page.dispatchEvent(new Event("resume"));

  assert.deepEqual(await peer.next(), { type: "ping" });
  assert.equal(client.state, "open");
});

test("a socket that looks open is asked, and kept if it answers", async (context) => {
  const { client, peer } = await setUp(context, LATER);

  show("visible");
  assert.deepEqual(await peer.next(), { type: "ping" });
  peer.send({ type: "pong" });
  await pause(3.1);

  assert.equal(client.state, "open");
});

test("a socket that looks open and does not answer is given up", async (context) => {
  const { server, client } = await setUp(context, { base: 0.02, cap: 0.05 });

  show("visible");
  await pause(2.8);
  assert.equal(client.state, "open");

  await (await server.peer()).greet();
});

test("a client that was closed does not listen to the page", async (context) => {
  const { client } = await setUp(context, LATER);

  client.close();
  goOnline();
  show("visible");
  await pause(0.05);

  assert.equal(client.state, "closed");
});

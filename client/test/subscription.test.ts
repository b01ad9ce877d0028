import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Host, Subscription } from "../src/subscription.js";

function setUp(context: TestContext) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  context.mock.method(Math, "random", () => 1);
  const asked: [number, string | null][] = [];
  let id = 0;
  const host: Host = {
    freshId: () => ++id,
    subscribe: (...request) => asked.push(request),
    flush: () => {},
    call: () => Promise.reject(new Error("not of this test")),
    unsubscribe: () => {},
    ended: () => {},
  };
  const backoff = { base: 0.5, cap: 2 };
  const options = { position: { epoch: "e", offset: 5 }, recent: 0, backoff };
  const subscription = new Subscription("room.1", host, options);
  const refuse = () => {
    const request = subscription.request as number;
    subscription.receive({ type: "error", id: request, code: "unavailable", message: "" });
  };
  return { subscription, asked, refuse, tick: (ms: number) => context.mock.timers.tick(ms) };
}

test("a subscribe that nobody answers is sent again", (context) => {
  const { subscription, asked, tick } = setUp(context);

  subscription.ask(0);
  tick(9_999);
  assert.equal(asked.length, 1);
  tick(1);

  assert.deepEqual(asked, [
    [0, "e:5"],
    [1, "e:5"],
  ]);
});

test("no subscribe is sent again after its answer, or without a connection", (context) => {
  const { subscription, asked, tick } = setUp(context);

  subscription.ask(0);
  subscription.receive({ type: "subscribed", id: 0, topic: "room.1", position: "e:5" });
  tick(60_000);
  subscription.ask(7);
  subscription.lost();
  tick(60_000);

  assert.deepEqual(asked.length, 2);
});

test("a server that cannot now is asked less and less often", (context) => {
  const { subscription, asked, refuse, tick } = setUp(context);
  subscription.ask(0);

  for (const wait of [500, 1000, 2000, 2000]) {
    refuse();
    const before = asked.length;
    tick(wait - 1);
    assert.equal(asked.length, before);
    tick(1);
    assert.equal(asked.length, before + 1);
  }
});

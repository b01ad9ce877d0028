import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPosition, parsePosition } from "../src/position.js";
import { apply, difference } from "../src/presence.js";
import type { TopicFrame } from "../src/protocol.js";
import { ask, type Effect, initial, lost, receive, type State } from "../src/recovery.js";
import { vectors } from "./vectors.js";

type Start = { topic: string; position?: string };
type Step = { receive?: TopicFrame; connection?: "lost" | "open"; retry?: true };
type Conversation = { name: string; start: Start; steps: Step[]; expect: object };

/** Drives the table as a client does, and writes down what comes of it. */
class Driver {
  state: State;
  readonly delivered: object[] = [];
  readonly requests: { type: string; id: number; topic: string; position?: string }[] = [];
  readonly gaps: object[] = [];
  readonly members = new Map<string, unknown>();
  readonly errors: string[] = [];
  closed: string | null = null;
  wantsRetry = false;

  constructor(readonly start: Start) {
    this.state = initial(parsePosition(start.position));
    this.ask();
  }

  get position(): string | null {
    return this.state.position && formatPosition(this.state.position);
  }

  get #id(): number {
    return this.requests.length + 1;
  }

  ask(): void {
    this.#take(ask(this.state, this.#id));
  }

  lose(): void {
    this.state = lost(this.state);
  }

  receive(frame: TopicFrame): void {
    if (this.closed === null) this.#take(receive(this.state, frame, this.#id));
  }

  #take({ state, effects }: { state: State; effects: readonly Effect[] }): void {
    this.state = state;
    for (const effect of effects) this.#run(effect);
  }

  #run(effect: Effect): void {
    const { topic } = this.start;
    if (effect.type === "ask") {
      const { id, position } = effect;
      this.requests.push({ type: "subscribe", id, topic, ...(position && { position }) });
    } else if (effect.type === "publication") {
      const { offset, data } = effect;
      this.delivered.push(offset === null ? { data } : { offset, data });
    } else if (effect.type === "gap") {
      this.gaps.push({ reason: effect.reason, position: effect.position });
    } else if (effect.type === "members") {
      apply(this.members, difference(this.members, effect.members));
    } else if (effect.type === "presence") apply(this.members, effect);
    else if (effect.type === "error") this.errors.push(effect.code);
    else if (effect.type === "retry") this.wantsRetry = true;
    else if (effect.type === "closed") this.closed = effect.code;
  }
}

function take(driver: Driver, step: Step): void {
  if (step.receive) driver.receive(step.receive);
  else if (step.connection === "lost") driver.lose();
  else {
    if (step.retry) assert.ok(driver.wantsRetry, "nothing is to be asked again");
    driver.ask();
  }
}

for (const { name, start, steps, expect } of vectors<Conversation>("subscription")) {
  test(`conversation: ${name}`, () => {
    const driver = new Driver(start);

    for (const step of steps) take(driver, step);

    const { delivered, position, requests, gaps, members, errors, closed } = driver;
    assert.deepEqual(
      { delivered, position, requests, gaps, members: Object.fromEntries(members), errors, closed },
      expect,
    );
  });
}

/** Numbers from a seed, the same each time (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** A topic that keeps all of its history, or the latest `kept`, and an unreliable way to the client. */
class Server {
  epoch = 0;
  /** Of all epochs. The data of each publication are its epoch and offset. */
  readonly history: { epoch: number; offset: number; skipped: boolean }[] = [];
  readonly members = new Map<string, number>();
  version = 0;
  isConnected = true;
  #wire: TopicFrame[] = [];
  #answered = 0;

  constructor(
    readonly driver: Driver,
    readonly random: (below: number) => number,
    readonly kept: number,
  ) {}

  get current() {
    return this.history.filter(({ epoch }) => epoch === this.epoch);
  }

  get position(): string {
    return `e${this.epoch}:${this.current.length}`;
  }

  /** Put a frame on the way; some are lost, some come twice. */
  #push(frame: TopicFrame): void {
    if (!this.isConnected) return;
    const luck = this.random(10);
    if (luck > 1) this.#wire.push(frame);
    if (luck === 9) this.#wire.push(frame);
  }

  publish(): void {
    const offset = this.current.length + 1;
    const skipped = this.random(5) === 0;
    this.history.push({ epoch: this.epoch, offset, skipped });
    const content = skipped ? { skipped } : { data: `${this.epoch}:${offset}` };
    this.#push({ type: "publication", topic: "t", offset, ...content });
  }

  come(): void {
    const key = String(this.random(5));
    this.version += 1;
    if (this.members.delete(key)) {
      this.#push({ type: "presence", topic: "t", version: this.version, left: [key] });
    } else {
      this.members.set(key, this.version);
      const joined = { [key]: this.version };
      this.#push({ type: "presence", topic: "t", version: this.version, joined });
    }
  }

  restore(): void {
    this.epoch += 1;
  }

  lose(): void {
    this.isConnected = false;
    this.#wire = [];
    this.driver.lose();
  }

  open(): void {
    if (this.isConnected) return;
    this.isConnected = true;
    this.#answered = this.driver.requests.length;
    this.driver.ask();
  }

  /** Answer what was asked, and say where the topic stands. Neither is lost: a socket is ordered. */
  answer(): void {
    if (!this.isConnected) return;
    for (const { id, position } of this.driver.requests.slice(this.#answered)) {
      this.#wire.push(this.#subscribed(id, position));
    }
    this.#answered = this.driver.requests.length;
    this.#wire.push({ type: "position", topic: "t", position: this.position });
  }

  #subscribed(id: number, position: string | undefined): TopicFrame {
    const held = parsePosition(position);
    const first = this.current.length - this.kept;
    const isSame = held !== null && held.epoch === `e${this.epoch}`;
    const recovered = isSame && held.offset >= first;
    const publications = recovered ? this.current.slice(held.offset) : [];
    return {
      type: "subscribed",
      id,
      topic: "t",
      position: this.position,
      recovered,
      publications: publications.map(({ epoch, offset, skipped }) =>
        skipped ? { offset, skipped } : { offset, data: `${epoch}:${offset}` },
      ),
      ...(held !== null && !recovered && { gap: isSame ? "trimmed" : "epoch" }),
      presence: { version: this.version, members: Object.fromEntries(this.members) },
    };
  }

  deliver(count: number): void {
    for (const frame of this.#wire.splice(0, count)) this.driver.receive(frame);
  }

  /** Until nothing is on the way and nothing is asked. */
  settle(): void {
    this.open();
    for (let round = 0; round < 4; round += 1) {
      this.answer();
      this.deliver(Number.POSITIVE_INFINITY);
    }
    // One change that arrives shows whether an earlier one was missed.
    this.version += 1;
    this.driver.receive({ type: "presence", topic: "t", version: this.version, left: ["x"] });
    this.answer();
    this.deliver(Number.POSITIVE_INFINITY);
  }
}

function play(seed: number, kept: number, restores: boolean): Server {
  const random = numbers(seed);
  const server = new Server(new Driver({ topic: "t", position: "e0:0" }), random, kept);
  for (let step = 0; step < 120; step += 1) {
    const move = random(20);
    if (move < 8) server.publish();
    else if (move < 11) server.come();
    else if (move < 13) server.answer();
    else if (move < 18) server.deliver(1 + random(4));
    else if (move === 18) server.lose();
    else if (restores && random(6) === 0) server.restore();
    else server.open();
  }
  server.settle();
  return server;
}

const SEEDS = Array.from({ length: 500 }, (_, seed) => seed);

test("whatever is lost or doubled, each publication is delivered once and in order", () => {
  for (const seed of SEEDS) {
    const server = play(seed, Number.POSITIVE_INFINITY, false);
    const meant = server.history.filter(({ skipped }) => !skipped);

    assert.deepEqual(
      server.driver.delivered,
      meant.map(({ epoch, offset }) => ({ offset, data: `${epoch}:${offset}` })),
      `seed ${seed}`,
    );
    assert.deepEqual(server.driver.gaps, [], `seed ${seed}`);
    assert.equal(server.driver.position, server.position, `seed ${seed}`);
    assert.deepEqual(server.driver.members, server.members, `seed ${seed}`);
  }
});

test("with a short history, what is missing is told as a gap", () => {
  let gaps = 0;
  for (const seed of SEEDS) {
    const server = play(seed, 3, true);
    const { delivered } = server.driver;
    const order = server.history.map(({ epoch, offset }) => `${epoch}:${offset}`);
    const places = delivered.map((one) => order.indexOf((one as { data: string }).data));
    const inOrder = [...new Set(places)].sort((a, b) => a - b);
    const meant = server.history.filter(({ skipped }) => !skipped);

    assert.deepEqual(places, inOrder, `seed ${seed}: in order, none twice`);
    assert.equal(server.driver.position, server.position, `seed ${seed}`);
    assert.deepEqual(server.driver.members, server.members, `seed ${seed}`);
    if (delivered.length < meant.length) assert.notEqual(server.driver.gaps.length, 0);
    gaps += server.driver.gaps.length;
  }
  assert.ok(gaps > SEEDS.length / 2, `${gaps} gaps`);
});

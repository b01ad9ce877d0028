import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { transform } from "esbuild";

const STATIC = "../src/channels/static/channels";
const MAX_BYTES = 10_000;

function read(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".js"));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

async function build(context: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "topics-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const { buildClient } = await import(pathToFileURL(resolve("build.mjs")).href);
  await buildClient(folder);
  return folder;
}

test("the static files are what the sources make", async (context) => {
  assert.deepEqual(read(STATIC), read(await build(context)), "run `npm run build`");
});

for (const name of ["topics.min.js", "topics.module.min.js"]) {
  test(`${name} is small`, (context) => {
    const size = gzipSync(readFileSync(join(STATIC, name)), { level: 9 }).length;

    context.diagnostic(`${name}: ${size} bytes, gzipped`);
    assert.ok(size < MAX_BYTES, `${size} bytes`);
  });
}

test("the plain script has one global name", () => {
  const global: Record<string, unknown> = {};

  runInNewContext(readFileSync(join(STATIC, "topics.min.js"), "utf8"), global);

  assert.deepEqual(Object.keys(global), ["Topics"]);
  assert.deepEqual(Object.keys(global.Topics as object).sort(), ["CallError", "connect"]);
});

for (const name of ["topics.js", "topics.module.min.js"]) {
  test(`${name} is a module`, async () => {
    const source = readFileSync(join(STATIC, name)).toString("base64");

    const found = await import(`data:text/javascript;base64,${source}`);

    assert.deepEqual(Object.keys(found).sort(), ["CallError", "connect"]);
  });
}

test("the lock file names no registry", () => {
  const lock = readFileSync("package-lock.json", "utf8");

  assert.doesNotMatch(lock, /"resolved"|registry/);
});

for (const page of ["README.md", "../docs/howto/client.md"]) {
  test(`the scripts of ${page} are scripts`, async () => {
    const blocks = [...readFileSync(page, "utf8").matchAll(/^```js\n(.*?)^```/gms)];

    assert.ok(blocks.length > 0);
    for (const [, script] of blocks) await transform(script as string, { format: "esm" });
  });
}

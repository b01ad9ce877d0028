// Build the client into dist/ and into the static files of the Django application; with --test, the tests.
import { cpSync, readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const common = {
  absWorkingDir: here("."),
  bundle: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/*! Topics, the browser client of Seaway. BSD-3-Clause */" },
  logLevel: "warning",
};

/** `path` is for the tests, which compare a build with what is there. */
export async function buildClient(path = here("dist")) {
  rmSync(path, { recursive: true, force: true });
  const entryPoints = [here("src/index.ts")];
  const file = (name) => ({ ...common, entryPoints, outfile: `${path}/${name}` });
  await build({ ...file("topics.js"), format: "esm" });
  await build({ ...file("topics.module.min.js"), format: "esm", minify: true });
  await build({ ...file("topics.min.js"), format: "iife", globalName: "Topics", minify: true });
}

async function buildTests() {
  rmSync(here(".test"), { recursive: true, force: true });
  const tests = readdirSync(here("test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    bundle: true,
    entryPoints: tests.map((name) => here(`test/${name}`)),
    outdir: here(".test"),
    outExtension: { ".js": ".mjs" },
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    sourcemap: "inline",
    logLevel: "warning",
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--test")) await buildTests();
  else {
    await buildClient();
    cpSync(here("dist"), here("../src/channels/static/channels"), { recursive: true });
  }
}

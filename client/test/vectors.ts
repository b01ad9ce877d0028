import { readFileSync } from "node:fs";

/** The frames and conversations that the tests of the server read too. Run from `client/`. */
export function vectors<Case>(name: string): Case[] {
  // The tests say what they expect of each file.
  return JSON.parse(readFileSync(`../protocol/vectors/${name}.json`, "utf8")) as Case[];
}

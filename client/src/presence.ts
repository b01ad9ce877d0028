import type { Members } from "./protocol.js";

/** Who came, or is shown anew, and who went. */
export type Change = { readonly joined: Members; readonly left: readonly string[] };

/** What turns the members that are shown into those of a snapshot. */
export function difference(shown: ReadonlyMap<string, unknown>, members: Members): Change {
  const isNew = ([key, member]: [string, unknown]) =>
    JSON.stringify(shown.get(key)) !== JSON.stringify(member);
  return {
    joined: Object.fromEntries(Object.entries(members).filter(isNew)),
    left: [...shown.keys()].filter((key) => !Object.hasOwn(members, key)),
  };
}

/** Bring the mirror up to date. */
export function apply(shown: Map<string, unknown>, { joined, left }: Change): void {
  for (const key of left) shown.delete(key);
  for (const [key, member] of Object.entries(joined)) shown.set(key, member);
}

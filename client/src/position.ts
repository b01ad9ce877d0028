/** Everything of a topic up to one publication: the life of a history, and a number in it. */
export type Position = { readonly epoch: string; readonly offset: number };

const FORM = /^([A-Za-z0-9]{1,32}):(0|[1-9][0-9]{0,15})$/;

/** Read `"<epoch>:<offset>"`; null if it is no position. */
export function parsePosition(text: unknown): Position | null {
  const found = typeof text === "string" ? FORM.exec(text) : null;
  if (found === null) return null;
  const offset = Number(found[2]);
  return Number.isSafeInteger(offset) ? { epoch: found[1] as string, offset } : null;
}

export function formatPosition(position: Position): string {
  return `${position.epoch}:${position.offset}`;
}

/** How long to wait before coming back, in seconds. */
export type Backoff = { readonly base: number; readonly cap: number };

/**
 * Full jitter: a random part of a time that doubles with each attempt without success, so that the
 * clients of a server that went away do not come back together.
 */
export function backoffSeconds(attempt: number, random: number, { base, cap }: Backoff): number {
  return random * Math.min(cap, base * 2 ** attempt);
}

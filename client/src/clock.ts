/** What stops a timer that `after` started. */
export type Stop = () => void;

// Beyond this many milliseconds browsers run a timer at once.
const LONGEST = 2 ** 31 - 1;

/** Seconds on a clock that nobody sets. */
export function now(): number {
  return performance.now() / 1000;
}

export function after(seconds: number, run: () => void): Stop {
  const timer = setTimeout(run, Math.min(seconds * 1000, LONGEST));
  return () => clearTimeout(timer);
}

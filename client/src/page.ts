/** Seconds between two looks at the clock. */
const LOOK = 5;

/**
 * Call `wake` whenever the page may have been away from the network: it is shown again, comes out of the
 * back-forward cache or a freeze, is online again, or has slept with the whole machine, which nothing tells
 * but the clock. Returns what stops it. Does nothing outside a browser.
 */
export function watchPage(wake: () => void): () => void {
  if (typeof document === "undefined") return () => {};
  const shown = () => {
    if (document.visibilityState === "visible") wake();
  };
  let looked = Date.now();
  const timer = setInterval(() => {
    const slept = Date.now() - looked > 2 * LOOK * 1000;
    looked = Date.now();
    if (slept) shown();
  }, LOOK * 1000);
  document.addEventListener("visibilitychange", shown);
  document.addEventListener("resume", shown);
  addEventListener("pageshow", shown);
  addEventListener("online", wake);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", shown);
    document.removeEventListener("resume", shown);
    removeEventListener("pageshow", shown);
    removeEventListener("online", wake);
  };
}

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  return typeof navigator !== "undefined" && navigator.onLine === false;
}

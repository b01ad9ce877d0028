/**
 * Call `wake` whenever the page may have been away from the network: it is shown again, comes out of the
 * back-forward cache, or is online again. Returns what stops it. Does nothing outside a browser.
 */
export function watchPage(wake: () => void): () => void {
  if (typeof document === "undefined") return () => {};
  const shown = () => {
    if (document.visibilityState === "visible") wake();
  };
  document.addEventListener("visibilitychange", shown);
  addEventListener("pageshow", shown);
  addEventListener("online", wake);
  return () => {
    document.removeEventListener("visibilitychange", shown);
    removeEventListener("pageshow", shown);
    removeEventListener("online", wake);
  };
}

/** Whether the browser knows that it has no network. */
export function isOffline(): boolean {
  return typeof navigator !== "undefined" && navigator.onLine === false;
}

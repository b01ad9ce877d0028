/**
 * A WebSocket that comes back by itself.
 *
 *     const socket = new LiveSocket(() => "/ws/news/?after=" + lastSeen, {
 *       opened() { ... },          // connected, or connected again: ask for what you need
 *       frame(data) { ... },       // a JSON frame arrived
 *       refused(code) { ... },     // closed with 4400 to 4499: it will not be tried again
 *     });
 *     socket.send({ action: "say" }) || keepItUntilOpened();
 *
 * It waits a random time up to 0.5 s, 1 s, 2 s ... 15 s between attempts ("full jitter"), so that
 * the visitors of a server that restarts do not all come back in the same moment.
 */

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const LONGEST_HANDSHAKE = 8_000;
const STEADY_AFTER = 5_000; // a connection that lasted this long starts the delays afresh

const sockets = new Set();
const watchers = new Set();

export class LiveSocket {
  #address;
  #on;
  #socket = null;
  #timer;
  #attempt = 0;
  #openedAt = 0;
  state = "connecting"; // then "open", "lost" or "refused"
  retryAt = 0;

  constructor(address, on) {
    this.#address = address;
    this.#on = on;
    sockets.add(this);
    this.retry();
  }

  /** Send an object as JSON; return false, and send nothing, if there is no connection. */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Connect now instead of later. */
  retry() {
    if (this.state === "open" || this.state === "refused") return;
    this.#letGo();
    const url = new URL(this.#address(), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    this.#timer = setTimeout(() => this.#lose(), LONGEST_HANDSHAKE);
    socket.onopen = () => this.#open();
    socket.onmessage = ({ data }) => this.#on.frame?.(JSON.parse(data));
    socket.onclose = ({ code }) => (code >= 4400 && code < 4500 ? this.#refuse(code) : this.#lose());
  }

  /** Drop the connection; with `again` false nothing but `retry` brings it back. */
  drop({ again = true } = {}) {
    if (this.state !== "refused") this.#lose(again);
  }

  /** Close for good. */
  close() {
    this.#letGo();
    sockets.delete(this);
    tellWatchers();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#openedAt = Date.now();
    this.#become("open");
    this.#on.opened?.();
  }

  #lose(again = true) {
    if (this.state === "open" && Date.now() - this.#openedAt > STEADY_AFTER) this.#attempt = 0;
    this.#letGo();
    const delay = Math.random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt++);
    this.retryAt = again ? Date.now() + delay : Infinity;
    if (again) this.#timer = setTimeout(() => this.retry(), delay);
    this.#become("lost");
  }

  #refuse(code) {
    this.#letGo();
    this.#become("refused");
    this.#on.refused?.(code);
  }

  #become(state) {
    this.state = state;
    tellWatchers();
  }

  /** Forget the current WebSocket, even if it is too stuck to close properly. */
  #letGo() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }
}

/** Call `watcher({ lost, retryAt })` now and whenever the state of any socket changes. */
export function watchConnection(watcher) {
  watchers.add(watcher);
  watcher(connection());
}

/** Try all lost sockets at once. */
export function retryNow() {
  for (const socket of sockets) socket.retry();
}

function connection() {
  const lost = [...sockets].filter((socket) => socket.state === "lost");
  return { lost: lost.length > 0, retryAt: Math.min(...lost.map((socket) => socket.retryAt)) };
}

function tellWatchers() {
  for (const watcher of watchers) watcher(connection());
}

// A browser that goes offline may not notice for minutes that its sockets are dead.
addEventListener("offline", () => sockets.forEach((socket) => socket.drop({ again: false })));
addEventListener("online", retryNow);
// Leaving the page is no loss; a page taken back from the browser's cache connects again.
addEventListener("pagehide", () => watchers.clear());
addEventListener("pageshow", (event) => event.persisted && location.reload());

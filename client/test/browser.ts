/** The parts of a browser that Node.js has not, as far as the client uses them. */
class Page extends EventTarget {
  visibilityState = "visible";
}

export const page = new Page();
const root = new EventTarget();

/** An `EventSource` that says what a test lets it say. */
export class Events {
  static readonly all: Events[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  isClosed = false;

  constructor(readonly url: string) {
    Events.all.push(this);
  }

  get query(): URLSearchParams {
    return new URL(this.url).searchParams;
  }

  send(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  close(): void {
    this.isClosed = true;
  }
}

Object.assign(globalThis, {
  document: page,
  addEventListener: root.addEventListener.bind(root),
  removeEventListener: root.removeEventListener.bind(root),
  EventSource: Events,
});

export function goOnline(): void {
  root.dispatchEvent(new Event("online"));
}

export function show(visibilityState: "visible" | "hidden"): void {
  page.visibilityState = visibilityState;
  page.dispatchEvent(new Event("visibilitychange"));
}

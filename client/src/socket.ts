import { SUBPROTOCOL } from "./protocol.js";
import type { Receiver, Transport } from "./transport.js";

/** The absolute `ws:` or `wss:` address of what may be relative to the page, or `http:`. */
export function socketUrl(url: string): string {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  absolute.hash = "";
  return absolute.href;
}

export function openSocket(url: string, receiver: Receiver): Transport {
  const socket = new WebSocket(url, SUBPROTOCOL);
  let isOver = false;
  socket.onopen = () => isOver || receiver.opened();
  socket.onmessage = (event) => isOver || receiver.received(event.data);
  socket.onclose = (event) => {
    if (isOver) return;
    isOver = true;
    receiver.closed(event.code);
  };
  return {
    readOnly: false,
    send: (text) => socket.send(text),
    close: () => {
      isOver = true;
      socket.close();
    },
  };
}

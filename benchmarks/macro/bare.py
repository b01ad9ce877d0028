"""What an idle connection costs without this and that; ``idle.py --stages`` adds them up."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import rooms
from django.urls import path

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept, and wait."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


class Alone(AsyncWebsocketConsumer):
    """A consumer in no group."""

    channel_layer_alias = "none"


consumer = Alone.as_asgi()
grouped = rooms.IdleConsumer.as_asgi()
routed = URLRouter([path("idle/", rooms.IdleConsumer.as_asgi())])


class Sockets(asyncio.Protocol):
    """Answers each request as if it were a handshake, and keeps nothing."""

    def connection_made(self, transport: Any) -> None:
        """Take the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


async def serve(port: int) -> None:
    """Serve with nothing but an event loop."""
    server = await asyncio.get_running_loop().create_server(Sockets, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))

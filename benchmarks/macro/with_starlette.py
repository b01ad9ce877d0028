"""The same two things with Starlette: an echo, and a room that is a set of sockets."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

members: set[Any] = set()


async def echo(socket: WebSocket) -> None:
    """Send each frame back."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass


async def room(socket: WebSocket) -> None:
    """Send each frame to every member."""
    await socket.accept()
    members.add(socket)
    try:
        while True:
            message = json.loads(await socket.receive_text())["message"]
            text = json.dumps({"message": message})
            for member in tuple(members):
                await member.send_text(text)
    except WebSocketDisconnect:
        members.discard(socket)


application = Starlette(routes=[WebSocketRoute("/echo/", echo), WebSocketRoute("/room/", room)])

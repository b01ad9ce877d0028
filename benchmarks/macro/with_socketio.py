"""A room with python-socketio."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=3600)
application = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: Any) -> None:
    """Join the room."""
    await server.enter_room(sid, "room")


@server.event
async def line(sid: str, text: str) -> None:
    """Tell the room."""
    await server.emit("line", text, room="room")

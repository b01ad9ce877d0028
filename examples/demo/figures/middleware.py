"""An ASGI middleware that counts sockets and their messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from figures.ticker import start_once, traffic

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Event, Receive, Send], Awaitable[None]]


def count_traffic(app: App) -> App:
    """Wrap the application of all sockets so that the dashboard can show what they do."""

    async def counted(scope: Event, receive: Receive, send: Send) -> None:
        async def counted_receive() -> Event:
            event = await receive()
            traffic.received += event["type"] == "websocket.receive"
            return event

        async def counted_send(event: Event) -> None:
            await send(event)
            traffic.sent += event["type"] == "websocket.send"

        start_once()
        traffic.connections += 1
        try:
            await app(scope, counted_receive, counted_send)
        finally:
            traffic.connections -= 1

    return counted

"""What middleware shares."""

from __future__ import annotations

from typing import Any

from channels.typing import App, Receive, Scope, Send


class BaseMiddleware:
    """Plain ASGI middleware that gives the inner application a scope of its own.

    One instance serves every connection, so nothing of one connection is kept on ``self``.
    Subclasses put what they add into a copy of the scope and call ``super().__call__``.

    Args:
        inner: The application to wrap.
    """

    def __init__(self, inner: App) -> None:
        self.inner = inner

    @property
    def _path_routing(self) -> bool:
        # A nested URLRouter stays visible to the outer one through the middleware around it.
        return getattr(self.inner, "_path_routing", None) is True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the connection on with a shallow copy of its scope."""
        return await self.inner(dict(scope), receive, send)


async def deny(
    receive: Receive, send: Send, code: int | None = None, *, reason: str | None = None
) -> None:
    """Refuse a WebSocket handshake, then wait for the server to end the connection.

    Touches no channel layer. The server answers with status 403; ``code`` and ``reason`` stay in
    the event for tests and logs (ASGI 3.0, websocket.close before accept).
    """
    event: dict[str, Any] = {"type": "websocket.close"}
    if code is not None:
        event["code"] = code
    if reason is not None:
        event["reason"] = reason
    while (await receive())["type"] != "websocket.disconnect":
        if event:
            await send(event)
            event = {}

"""What middleware shares."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, cast

from channels.typing import App, Event, Receive, Scope, Send

Call = Callable[[Any, Scope, Receive, Send], Coroutine[Any, Any, Any]]


def hands_over(call: Callable[[Any, Scope, Receive, Send], Awaitable[Any]]) -> Call:
    """Decorate the ``__call__`` of an application that is done once it has found the next one.

    It is a plain method that returns the next one's awaitable. So nothing of it is left while the
    connection is open, which a coroutine of its own would be: 300 bytes, one more object for the
    garbage collector, and a step of each wake-up. What it raises is raised to whoever awaits.

    Before Python 3.12 a plain function cannot pass for a coroutine function, as servers expect of
    an application, so it becomes one.
    """
    if sys.version_info >= (3, 12):

        @functools.wraps(call)
        def hand_over(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
            try:
                return call(self, scope, receive, send)
            except Exception as error:
                return _raise(error)

        # An awaitable is all that the protocol asks for; users' own types ask for more.
        return cast("Call", inspect.markcoroutinefunction(hand_over))

    @functools.wraps(call)
    async def wait(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        return await call(self, scope, receive, send)

    return wait


async def _raise(error: Exception) -> None:
    raise error


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

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass the connection on with a shallow copy of its scope."""
        return self.inner(dict(scope), receive, send)


async def deny(
    receive: Receive, send: Send, code: int | None = None, *, reason: str | None = None
) -> None:
    """Refuse a WebSocket handshake, then wait for the server to end the connection.

    Touches no channel layer. The server answers with status 403; ``code`` and ``reason`` stay in
    the event for tests and logs (ASGI 3.0, websocket.close before accept).
    """
    event: Event = {"type": "websocket.close"}
    if code is not None:
        event["code"] = code
    if reason is not None:
        event["reason"] = reason
    await deny_with([event], receive, send)


async def deny_with(answer: Iterable[Event], receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake, then wait for the server to end the connection.

    A client that has left already is sent nothing.
    """
    waiting = list(answer)
    while (await receive())["type"] != "websocket.disconnect":
        while waiting:
            await send(waiting.pop(0))

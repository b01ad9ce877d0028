"""What stands around a site while it is developed: time limits, and its root path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from channels.typing import App, Event, Receive, Scope, Send

logger: logging.Logger = logging.getLogger("django.channels.server")


def limit_requests(application: App, seconds: float | None) -> App:
    """Answer a request with status 503 after ``seconds``, or cut its response off there.

    The application is cancelled. ``None`` and 0 are no limit.
    """
    if not seconds:
        return application

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        # An ASGI application always runs in a task.
        task = cast("asyncio.Task[Any]", asyncio.current_task())

        async def end(has_begun: bool) -> None:
            # First the answer: a thread that runs sync code is waited for in the cancellation.
            if not has_begun:
                await _refuse(send, f"The application took longer than {seconds:g} s.")
            task.cancel()

        deadline = _Deadline(seconds, send, is_met=_ends_response, passed=end)
        try:
            await application(scope, receive, deadline.send)
        except asyncio.CancelledError:
            if not deadline.has_passed:
                raise
        finally:
            deadline.stop()

    return limited


def set_root_path(application: App, root_path: str) -> App:
    """Serve a site below ``root_path``, also to a client or proxy that leaves it out."""
    if not root_path:
        return application

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        if "path" in scope:
            path = scope["path"]
            # ASGI 3.0, HTTP connection scope: the path includes the root path.
            if not f"{path}/".startswith(f"{root_path}/"):
                path = root_path + path
            scope = {**scope, "root_path": root_path, "path": path}
        await application(scope, receive, send)

    return rooted


async def _refuse(send: Send, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _ends_response(event: Event) -> bool:
    return event["type"] == "http.response.body" and not event.get("more_body")


class _Deadline:
    """The time that one connection has to send something.

    Args:
        seconds: How long.
        send: The server's.
        is_met: Tells of an event that the application sends whether it was what is waited for.
        passed: Called when the time is over, with whether the application has sent anything.

    Attributes:
        has_passed: Whether the time is over; what the application sends from then on is ignored.
    """

    def __init__(
        self,
        seconds: float,
        send: Send,
        *,
        is_met: Callable[[Event], bool],
        passed: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.has_passed = False
        self._has_begun = False
        self._send = send
        self._is_met = is_met
        self._passed = passed
        self._waiter = asyncio.create_task(self._wait(seconds))

    async def send(self, event: Event) -> None:
        """Send an event of the application, unless it comes too late."""
        if self.has_passed:
            return
        self._has_begun = True
        if self._is_met(event):
            self.stop()
        await self._send(event)

    def stop(self) -> None:
        """Wait no longer."""
        self._waiter.cancel()

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.has_passed = True
        # ASGI 2.4: sending to a client that has gone raises an OSError.
        with contextlib.suppress(OSError):
            await self._passed(self._has_begun)

"""Whether this worker lives, and whether it takes new work; for load balancers."""

from __future__ import annotations

from typing import Any, Final

from channels.typing import App, Receive, Scope, Send

TEXT: Final = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")]


class Health:
    """Answers two paths before the application, and hands on everything else as it is.

    Args:
        application: The project's.
        health_path: Status 200 as long as the event loop runs. Empty for none.
        ready_path: Status 200 while new connections are welcome, then 503. Empty for none.

    Attributes:
        is_ready: Whether they are.
    """

    def __init__(self, application: App, health_path: str, ready_path: str) -> None:
        self.is_ready = False
        self._application = application
        self._health_path = health_path
        self.paths: frozenset[str] = frozenset({health_path, ready_path}) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Answer, or hand on."""
        if scope["type"] != "http" or scope["path"] not in self.paths:
            return await self._application(scope, receive, send)
        is_well = scope["path"] == self._health_path or self.is_ready
        status, body = (200, b"ok\n") if is_well else (503, b"draining\n")
        await send({"type": "http.response.start", "status": status, "headers": TEXT})
        return await send({"type": "http.response.body", "body": body})

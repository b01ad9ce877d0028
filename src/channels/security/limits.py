"""How many WebSockets one user, and one address, may have open in this process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Hashable
from typing import Any, Final

from channels import telemetry
from channels._core.events import denial_events
from channels.conf import channels_settings
from channels.middleware import BaseMiddleware, deny_with, hands_over
from channels.typing import Receive, Scope, Send

USER: Final = "max_connections_per_user"
ADDRESS: Final = "max_connections_per_address"
TOO_MANY: Final = 429
SENTENCE: Final = b"too many connections"
PLAIN: Final = ((b"content-type", b"text/plain"),)

Counted = tuple[str, Hashable, int]
"""A limit, under which key a connection counts for it, and how many may."""

_open: Final[Counter[tuple[str, Hashable]]] = Counter()
# Connections may run on several event loops.
_lock = threading.Lock()


class ConnectionLimits(BaseMiddleware):
    """Refuses a WebSocket with status 429 when its user or address has too many already.

    The limits are ``CHANNELS["MAX_CONNECTIONS_PER_USER"]``, for which ``user`` has to be in the
    scope, and ``CHANNELS["MAX_CONNECTIONS_PER_ADDRESS"]``; each is off until it is set. They count
    in this process, over all instances. Anonymous users are counted by their address alone. Behind
    a proxy the address is the client's only if the server takes it from the proxy's headers.

    Part of ``AuthMiddlewareStack``.

    Args:
        inner: The application to wrap.
    """

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Count the connection while it is open, or refuse it; the scope stays untouched."""
        counted = _counted_by(scope) if scope.get("type") == "websocket" else ()
        if not counted:
            return self.inner(scope, receive, send)
        return self._count(scope, receive, send, counted=counted)

    async def _count(
        self, scope: Scope, receive: Receive, send: Send, *, counted: tuple[Counted, ...]
    ) -> Any:
        limit = _enter(counted)
        if limit is not None:
            telemetry.emit(telemetry.ConnectionLimited(limit))
            answer = denial_events(scope, TOO_MANY, SENTENCE, headers=PLAIN)
            return await deny_with(answer, receive, send)
        try:
            return await self.inner(scope, receive, send)
        finally:
            _leave(counted)


def _counted_by(scope: Scope) -> tuple[Counted, ...]:
    """Return under which keys the connection counts, each with its limit."""
    settings = channels_settings()
    counted: list[Counted] = []
    user, client = scope.get("user"), scope.get("client")
    if settings.max_connections_per_user is not None and getattr(user, "is_authenticated", False):
        counted.append((USER, getattr(user, "pk", None), settings.max_connections_per_user))
    if settings.max_connections_per_address is not None and client:
        counted.append((ADDRESS, client[0], settings.max_connections_per_address))
    return tuple(counted)


def _enter(counted: tuple[Counted, ...]) -> str | None:
    """Count one more, or return the limit that forbids it."""
    with _lock:
        for limit, key, most in counted:
            if _open[limit, key] >= most:
                return limit
        for limit, key, _ in counted:
            _open[limit, key] += 1
    return None


def _leave(counted: tuple[Counted, ...]) -> None:
    with _lock:
        for limit, key, _ in counted:
            _open[limit, key] -= 1
            if not _open[limit, key]:
                del _open[limit, key]

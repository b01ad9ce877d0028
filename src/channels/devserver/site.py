"""An application that uvicorn serves until it is stopped."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

import uvicorn

from channels.conf import server_settings
from channels.devserver.limits import limit_requests, set_root_path
from channels.devserver.log import Log, log_connections
from channels.server import HttpProtocol, WebSocketProtocol
from channels.server.limits import Limits, limits_of
from channels.typing import App

LONGEST_SHUTDOWN: Final = 1
"""Seconds that connections have to end; whole, for uvicorn."""


class Site:
    """What ``runserver`` serves.

    Args:
        application: The project's.
        options: Those of the command.
        log: Called for each line of the log.
        interrupted: Called when a signal ends it, in the main thread.
    """

    def __init__(
        self,
        application: App,
        options: Mapping[str, Any],
        log: Log,
        *,
        interrupted: Callable[[], None] = lambda: None,
    ) -> None:
        application = limit_requests(application, options["http_timeout"])
        application = set_root_path(application, server_settings().root_path)
        self._server = _Server(
            uvicorn.Config(
                log_connections(application, log),
                interface="asgi3",
                http=HttpProtocol,
                ws=_protocol(options),
                proxy_headers=False,
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=LONGEST_SHUTDOWN,
            )
        )
        self._server.interrupted = interrupted
        self._has_ended = threading.Event()
        self._has_ended.set()

    def serve(self, listener: socket.socket) -> None:
        """Serve what comes in at ``listener`` until stopped or, in the main thread, a signal."""
        self._has_ended.clear()
        try:
            self._server.run(sockets=[listener])
        finally:
            self._has_ended.set()

    def stop(self) -> None:
        """Close every connection, and wait a little for the end. Safe in any thread."""
        self._server.should_exit = True
        self._has_ended.wait(2 * LONGEST_SHUTDOWN)


class _Server(uvicorn.Server):
    interrupted: Callable[[], None]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.interrupted()


def _protocol(options: Mapping[str, Any]) -> type[WebSocketProtocol]:
    """Return the WebSocket protocol with the limits of the command, where 0 is none."""
    message_bytes = options["websocket_max_message_size"] or sys.maxsize
    frame_bytes = options["websocket_max_frame_size"] or sys.maxsize

    class SiteProtocol(WebSocketProtocol):
        __slots__ = ()

        @classmethod
        def read_limits(cls, config: uvicorn.Config) -> Limits:
            return limits_of(config)._replace(
                max_message_bytes=message_bytes,
                max_frame_bytes=min(frame_bytes, message_bytes),
                handshake_timeout=options["websocket_handshake_timeout"] or threading.TIMEOUT_MAX,
            )

    return SiteProtocol

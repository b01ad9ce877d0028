"""An application that uvicorn serves until it is stopped."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

import uvicorn

from channels.conf import server_settings
from channels.devserver.limits import limit_handshakes, limit_requests, set_root_path
from channels.devserver.log import Log, log_connections
from channels.typing import App

LONGEST_SHUTDOWN: Final = 1
"""Seconds that connections have to end; whole, for uvicorn."""


class Site:
    """What ``runserver`` serves.

    Args:
        application: The project's.
        options: Those of the command.
        log: Called for each line of the log.
    """

    def __init__(self, application: App, options: Mapping[str, Any], log: Log) -> None:
        application = limit_requests(application, options["http_timeout"])
        application = limit_handshakes(application, options["websocket_handshake_timeout"])
        application = set_root_path(application, server_settings().root_path)
        self._server = uvicorn.Server(
            uvicorn.Config(
                log_connections(application, log),
                interface="asgi3",
                ws="websockets-sansio",
                ws_max_size=_limits(
                    options["websocket_max_message_size"], options["websocket_max_frame_size"]
                ),
                proxy_headers=False,
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=LONGEST_SHUTDOWN,
            )
        )
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


def _limits(message_bytes: int, frame_bytes: int) -> Any:
    """Return both limits as websockets takes them, whose one-number form every release has."""
    message_limit, frame_limit = message_bytes or sys.maxsize, frame_bytes or sys.maxsize
    return message_limit if frame_limit >= message_limit else (message_limit, frame_limit)

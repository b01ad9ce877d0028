"""One line in the log for each request, and for each step in the life of a WebSocket."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from channels.typing import App, Event, Receive, Scope, Send

Details = dict[str, Any]
Log = Callable[[str, str, Details], object]
"""Takes a protocol, an action and its details: always ``path`` and ``client``."""

READABLE: Final = "/:@!$&'()*+,;=~-._"
LEVELS: Final = ((500, logging.ERROR), (400, logging.WARNING), (0, logging.INFO))
STYLES: Final = {
    1: "HTTP_INFO",
    2: "HTTP_SUCCESS",
    3: "HTTP_REDIRECT",
    304: "HTTP_NOT_MODIFIED",
    4: "HTTP_BAD_REQUEST",
    404: "HTTP_NOT_FOUND",
    5: "HTTP_SERVER_ERROR",
}
"""Django's styles by status, or by its first digit."""

STEPS: Final = {
    "connecting": ("HANDSHAKING", "HTTP_INFO"),
    "connected": ("CONNECT", "HTTP_SUCCESS"),
    "rejected": ("REJECT", "HTTP_BAD_REQUEST"),
    "disconnected": ("DISCONNECT", "HTTP_INFO"),
}
"""Word and style for each step of a WebSocket."""

logger: logging.Logger = logging.getLogger("django.channels.server")


def log_connections(application: App, log: Log) -> App:
    """Report the requests and WebSockets of ``application`` to ``log``."""
    logged = {
        "http": _log_requests(application, log),
        "websocket": _log_websockets(application, log),
    }

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        await logged.get(scope["type"], application)(scope, receive, send)

    return dispatch


def write_action(protocol: str, action: str, details: Details, *, style: Any) -> None:
    """Write one line to the logger ``django.channels.server``.

    Args:
        protocol: ``"http"`` or ``"websocket"``.
        action: ``"complete"``, or a key of ``STEPS``.
        details: What the line is about.
        style: Django's colours, as a command has them.
    """
    if protocol == "websocket":
        word, style_name = STEPS[action]
        text = "WebSocket {word} {path} [{client}]".format(word=word, **details)
        logger.info("%s", getattr(style, style_name)(text))
    elif protocol == "http":
        status = details["status"]
        level = next(level for least, level in LEVELS if status >= least)
        style_name = STYLES.get(status) or STYLES.get(status // 100, "HTTP_SERVER_ERROR")
        text = "HTTP {method} {path} {status} [{time_taken:.2f}, {client}]".format(**details)
        logger.log(level, "%s", getattr(style, style_name)(text))


def show_path(scope: Scope) -> str:
    """Return the path, a request's with its query, as one line of ASCII whatever it holds."""
    path = quote(scope["path"], safe=READABLE)
    # That of a WebSocket often holds a token, so it is not shown.
    query = scope.get("query_string") if scope["type"] == "http" else b""
    return f"{path}?{quote(query, safe=READABLE + '%?/')}" if query else path


def _log_requests(application: App, log: Log) -> App:
    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        details = _details(scope) | {"method": scope["method"], "status": 500, "size": 0}

        async def watched_send(event: Event) -> None:
            await send(event)
            if event["type"] == "http.response.start":
                details["status"] = event["status"]
            elif event["type"] == "http.response.body":
                details["size"] += len(event.get("body", b""))
                if not event.get("more_body"):
                    complete()

        def complete() -> None:
            if "time_taken" not in details:
                details["time_taken"] = time.monotonic() - started
                log("http", "complete", details)

        try:
            await application(scope, receive, watched_send)
        finally:
            complete()

    return logged


def _log_websockets(application: App, log: Log) -> App:
    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        done: set[str] = set()

        def step(action: str, *, unless: str) -> None:
            if not done & {action, unless}:
                done.add(action)
                log("websocket", action, _details(scope))

        async def watched_receive() -> Event:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                step("disconnected", unless="")
            return event

        async def watched_send(event: Event) -> None:
            if event["type"] == "websocket.accept":
                step("connected", unless="rejected")
            elif event["type"] in ("websocket.close", "websocket.http.response.start"):
                step("rejected", unless="connected")
            await send(event)

        step("connecting", unless="")
        try:
            await application(scope, watched_receive, watched_send)
        finally:
            if "disconnected" not in done:
                # The application has ended first; without an answer the server refuses.
                step("rejected", unless="connected")
            step("disconnected", unless="")

    return logged


def _details(scope: Scope) -> Details:
    client = scope.get("client")
    return {
        "path": show_path(scope),
        "client": f"{client[0]}:{client[1]}" if client else "unknown",
    }

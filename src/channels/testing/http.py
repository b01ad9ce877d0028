"""Talks HTTP to an application under test."""

# ruff: noqa: ASYNC109 - the time-outs are parameters by contract
from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from channels.testing.application import ApplicationCommunicator
from channels.typing import App, Event


class HttpCommunicator(ApplicationCommunicator):
    """Sends one HTTP request to an application and collects its response.

    Args:
        application: An ASGI application.
        method: Of the request, in any case.
        path: Of the request, percent-encoded, with its query if it has one.
        body: Of the request.
        headers: Pairs of bytes, passed on as they are.

    Raises:
        AssertionError: ``body`` is not bytes.
        TypeError: ``path`` is not a string.
    """

    def __init__(
        self,
        application: App,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Iterable[Any] | None = None,
    ) -> None:
        if not isinstance(body, bytes):
            raise AssertionError(f"Expected a body of bytes, but it was {body!r}")
        self.body = body
        self.sent_request: bool = False
        decoded_path, query_string = split_target(path)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method.upper(),
            "path": decoded_path,
            "query_string": query_string,
            "headers": headers or [],
        }
        super().__init__(application, scope)

    async def get_response(self, timeout: float | None = 1) -> dict[str, Any]:
        """Send the request, unless it was sent before, and return the next whole response.

        Args:
            timeout: Seconds to wait for each event.

        Returns:
            ``status``, ``headers`` and ``body``, and whatever else the start event had.

        Raises:
            AssertionError: The application sent another type of event than was due, or a body
                that is not bytes.
            TimeoutError: Nothing came in time. The application was cancelled.
            Exception: What the application raised.
        """
        if not self.sent_request:
            self.sent_request = True
            await self.send_input({"type": "http.request", "body": self.body})
        start = await self.receive_output(timeout)
        require_type(start, "http.response.start")
        response = {"headers": [], **start}
        del response["type"]
        response["body"] = await receive_body(self, "http.response.body", timeout)
        return response


def split_target(target: str) -> tuple[str, bytes]:
    """Return the decoded path and the query of a path or URL.

    Raises:
        TypeError: ``target`` is not a string.
    """
    if not isinstance(target, str):
        raise TypeError(f"Expected path to be a str, but it was {target!r}")
    parts = urlsplit(target)
    return unquote(parts.path), parts.query.encode()


def require_type(event: Event, *expected: str) -> None:
    """Return if ``event`` has one of the ``expected`` types.

    Raises:
        AssertionError: It has another one.
    """
    if event.get("type") not in expected:
        names = " or ".join(repr(name) for name in expected)
        raise AssertionError(f"Expected type {names}, but was {event.get('type')!r}")


async def receive_body(
    communicator: ApplicationCommunicator, event_type: str, timeout: float | None
) -> bytes:
    """Receive the events of a response body, to the last, and return what they carry."""
    body = b""
    more = True
    while more:
        event = await communicator.receive_output(timeout)
        require_type(event, event_type)
        chunk = event.get("body", b"")
        if not isinstance(chunk, bytes):
            raise AssertionError(f"Expected a response body of bytes, but it was {chunk!r}")
        body += chunk
        more = bool(event.get("more_body", False))
    return body

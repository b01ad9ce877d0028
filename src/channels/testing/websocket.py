"""Talks WebSocket to an application under test."""

# ruff: noqa: ASYNC109 - the time-outs are parameters by contract
from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from channels.testing.application import ApplicationCommunicator
from channels.testing.http import receive_body, require_type, split_target
from channels.typing import App, Scope

ACCEPT = "websocket.accept"
CLOSE = "websocket.close"
DENIAL = "websocket.http.response.start"


class WebsocketCommunicator(ApplicationCommunicator):
    """Opens one WebSocket to an application and talks over it.

    As a context manager it connects, requires that it was accepted, and disconnects at the end::

        async with WebsocketCommunicator(application, "/echo/") as socket:
            await socket.send_to("hello")

    An application that refuses with an HTTP response does so only where the server says that it
    can: put ``{"websocket.http.response": {}}`` into ``scope["extensions"]`` for that.

    Args:
        application: An ASGI application.
        path: Percent-encoded path with its query if it has one, or a URL.
        headers: Pairs of bytes, passed on as they are.
        subprotocols: What the client offers.
        spec_version: Version of the ASGI WebSocket format to announce; by default none.

    Attributes:
        response_headers: Headers of the answer to the handshake; ``None`` before it, and if it
            was a plain refusal.
        response_body: Body of a refusal with an HTTP response; else ``None``.

    Raises:
        TypeError: ``path`` is not a string.
    """

    def __init__(
        self,
        application: App,
        path: str,
        headers: Iterable[Any] | None = None,
        subprotocols: list[str] | None = None,
        spec_version: str | None = None,
    ) -> None:
        decoded_path, query_string = split_target(path)
        scope: Scope = {
            "type": "websocket",
            "path": decoded_path,
            "query_string": query_string,
            "headers": headers or [],
            "subprotocols": subprotocols or [],
        }
        if spec_version is not None:
            # Its place is below "asgi"; Channels has always put it here.
            scope["spec_version"] = spec_version
            scope["asgi"] = {"version": "3.0", "spec_version": spec_version}
        super().__init__(application, scope)
        self.response_headers: Iterable[Any] | None = None
        self.response_body: bytes | None = None

    async def connect(self, timeout: float | None = 1) -> tuple[bool, int | str | None]:
        """Ask for the connection.

        Args:
            timeout: Seconds to wait for the answer.

        Returns:
            ``(True, subprotocol or None)`` if it was accepted, ``(False, close code)`` after a
            plain refusal, ``(False, status)`` after one with an HTTP response.

        Raises:
            AssertionError: The application answered with something else.
            TimeoutError: It did not answer in time. It was cancelled.
            Exception: What the application raised.
        """
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(timeout)
        require_type(answer, ACCEPT, CLOSE, DENIAL)
        if answer["type"] == CLOSE:
            return False, answer.get("code") or 1000
        self.response_headers = answer.get("headers", [])
        if answer["type"] == DENIAL:
            self.response_body = await receive_body(self, "websocket.http.response.body", timeout)
            return False, answer["status"]
        return True, answer.get("subprotocol")

    async def send_to(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send one frame, which is not empty; send an empty one with ``send_input``.

        Raises:
            AssertionError: Not exactly one payload was given, or it has the wrong type.
        """
        if bool(text_data) == bool(bytes_data):
            raise AssertionError(
                "Expected exactly one of text_data and bytes_data, not empty, "
                f"but they were {text_data!r} and {bytes_data!r}"
            )
        if text_data:
            _require_payload(text_data, str, "text_data")
            await self.send_input({"type": "websocket.receive", "text": text_data})
        else:
            _require_payload(bytes_data, bytes, "bytes_data")
            await self.send_input({"type": "websocket.receive", "bytes": bytes_data})

    async def send_json_to(self, data: Any) -> None:
        """Send ``data`` as JSON text."""
        await self.send_to(text_data=json.dumps(data))

    async def receive_from(self, timeout: float | None = 1) -> Any:
        """Take the next frame; return its text or bytes.

        Args:
            timeout: Seconds to wait.

        Raises:
            AssertionError: The application sent another type of event, or a frame that has not
                exactly one payload, of the right type.
            TimeoutError: Nothing came in time. The application was cancelled.
            Exception: What the application raised.
        """
        event = await self.receive_output(timeout)
        require_type(event, "websocket.send")
        if ("text" in event) == ("bytes" in event):
            raise AssertionError(
                f"Expected exactly one of the keys 'text' and 'bytes', but the event was {event!r}"
            )
        if "text" in event:
            return _require_payload(event["text"], str, "text")
        return _require_payload(event["bytes"], bytes, "bytes")

    async def receive_json_from(self, timeout: float | None = 1) -> Any:
        """Take the next frame, which must be text; return it decoded as JSON.

        Args:
            timeout: Seconds to wait.

        Raises:
            AssertionError: As ``receive_from``, and for a frame of bytes.
            ValueError: The text is not JSON.
        """
        return json.loads(_require_payload(await self.receive_from(timeout), str, "text"))

    async def disconnect(self, code: int = 1000, timeout: float | None = 1) -> None:
        """Close the connection and wait for the application to end.

        Args:
            code: Why the client closes.
            timeout: Seconds to wait; then the application is cancelled, with a warning logged.

        Raises:
            Exception: What the application raised, now or before.
            asyncio.CancelledError: It was cancelled before, by a time-out for example.
        """
        await self.send_input({"type": "websocket.disconnect", "code": code})
        await self.wait(timeout)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            AssertionError: The application refused.
        """
        accepted, detail = await self.connect()
        if not accepted:
            await self._cancel()
            raise AssertionError(f"Expected an accepted connection, but it was refused: {detail}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect; raise what the application raised, unless the test has met it before.

        After an error in the block the application is only stopped, so that the error stands.
        """
        if error is not None:
            with contextlib.suppress(Exception):
                await self._cancel()
        elif not self._has_raised and not self.future.cancelled():
            await self.disconnect()


def _require_payload(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise AssertionError(
            f"Expected {name} to be {kind.__name__}, but was {type(value).__name__}: {value!r}"
        )
    return value

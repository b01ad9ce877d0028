"""A consumer for HTTP requests that take their time: streams, long polls, server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.typing import Event

Headers = Mapping[Any, Any] | Iterable[Any]


class AsyncHttpConsumer(AsyncConsumer):
    """Serves one HTTP request. Override ``handle`` and, for cleaning up, ``disconnect``.

    The request ends when ``handle`` returns, unless it has left the response open (its last body
    had ``more_body=True``) and there is a channel layer: then messages of the layer may go on
    with the response until its last body or the client's disconnect.

    Args:
        *args: Ignored.
        **kwargs: Ignored.

    Attributes:
        body: The chunks of the request body received so far.
    """

    _more_body = False
    _is_lingering = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.body: list[bytes] = []

    async def send_headers(self, *, status: int = 200, headers: Headers | None = None) -> None:
        """Start the response.

        Args:
            status: HTTP status code.
            headers: A mapping or pairs, names and values in bytes.
        """
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        await self.send({"type": "http.response.start", "status": status, "headers": list(pairs)})

    async def send_body(self, body: bytes, *, more_body: bool = False) -> None:
        """Send a part of the response body; the last has ``more_body=False``.

        Raises:
            AssertionError: ``body`` is not bytes. Nothing was sent.
        """
        if not isinstance(body, bytes):
            raise AssertionError(f"body must be bytes, not {type(body).__name__}")
        self._more_body = more_body
        await self.send({"type": "http.response.body", "body": body, "more_body": more_body})

    async def send_response(self, status: int, body: bytes, **kwargs: Any) -> None:
        """Send a whole response; keywords go to ``send_headers``."""
        await self.send_headers(status=status, **kwargs)
        await self.send_body(body)

    async def handle(self, body: bytes) -> None:
        """Answer the request, whose complete body is ``body``."""
        raise NotImplementedError("Subclasses of AsyncHttpConsumer must provide a handle() method.")

    async def disconnect(self) -> None:
        """Clean up; nothing can be sent any more. Runs once per request."""

    async def dispatch(self, message: Event) -> None:
        """Run the handler of one event, and end a request that is complete."""
        await super().dispatch(message)
        if self._is_lingering and not self._more_body:
            await self._finish()

    async def http_request(self, message: Event) -> None:
        """Collect the body; with its last chunk, run ``handle``."""
        if "body" in message:
            self.body.append(message["body"])
        if message.get("more_body"):
            return
        self._more_body = False
        try:
            await self.handle(b"".join(self.body))
            self._is_lingering = self._more_body and self._has_layer()
        finally:
            self.body = []
            if not self._is_lingering:
                await self.disconnect()
        if not self._is_lingering:
            raise StopConsumer

    async def http_disconnect(self, message: Event) -> None:
        """Clean up after a client that has gone."""
        await self._finish()

    async def _finish(self) -> None:
        self._is_lingering = False
        await self.disconnect()
        raise StopConsumer

    async def _release(self, channel: str | None) -> None:
        """Clean up also after an open response that an error or the server has ended."""
        try:
            if self._is_lingering:
                self._is_lingering = False
                await self.disconnect()
        finally:
            await super()._release(channel)

    def _has_layer(self) -> bool:
        return getattr(self, "channel_layer", None) is not None

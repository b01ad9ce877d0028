"""WebSocket consumers: two faces, sync and async, of the same decisions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from asgiref.sync import async_to_sync
from django.utils.functional import Promise

from channels._core.events import (
    accept_event,
    close_event,
    denial_events,
    disconnect_code,
    frame_payload,
    send_event,
)
from channels._core.frames import parse_json, require_text
from channels.consumer import AsyncConsumer, SyncConsumer, not_async, require_no_coroutine
from channels.exceptions import (
    AcceptConnection,
    DenyConnection,
    InvalidChannelLayerError,
    StopConsumer,
)
from channels.typing import Event


class _Groups(AsyncConsumer):
    """The groups of one connection, joined before ``connect`` and left once."""

    groups: Any = None
    """Names of the groups that each connection joins; any iterable."""

    disconnect_reason: str | None = None
    """Why the peer closed, in its own words (ASGI 2.5); set before ``disconnect`` runs."""

    _has_joined = False
    _to_leave: tuple[str, ...] | None = None
    """What has not been left yet; ``None`` until leaving has begun."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.groups is None:
            self.groups = []

    def _require_groups(self) -> tuple[str, ...]:
        """Return the names in ``groups``, all of which the layer must be able to serve."""
        names = tuple(self.groups or ())
        if names and not hasattr(self.channel_layer, "group_add"):
            raise InvalidChannelLayerError(
                f"{type(self).__name__}.groups is set, but channel layer "
                f"{self.channel_layer_alias!r} is not configured or has no groups"
            )
        return names

    def _note_end(self, message: Event) -> int:
        """Keep why the peer closed; return the code."""
        self.disconnect_reason = message.get("reason")
        return disconnect_code(message)

    async def _join_groups(self) -> None:
        self._to_leave = None
        for group in self._require_groups():
            self._has_joined = True
            await self.channel_layer.group_add(group, self.channel_name)

    async def _leave_groups(self) -> None:
        if self._to_leave is None:
            # Names that were appended since connecting are among them.
            self._to_leave = self._require_groups()
        errors = [error for group in self._to_leave if (error := await self._leave(group))]
        if errors:
            raise errors[0]

    async def _leave(self, group: str) -> Exception | None:
        """Leave one group, so that a broken layer keeps nobody from leaving the others."""
        try:
            await self.channel_layer.group_discard(group, self.channel_name)
        except Exception as error:
            return error
        self._to_leave = tuple(name for name in self._to_leave or () if name != group)
        return None

    async def _leave_joined_groups(self) -> None:
        if self._has_joined:
            await self._leave_groups()


class WebsocketConsumer(_Groups, SyncConsumer):
    """Serves one WebSocket with plain functions. Override ``connect``, ``receive``, ``disconnect``.

    Args:
        *args: Ignored.
        **kwargs: Ignored.
    """

    def websocket_connect(self, message: Event) -> None:
        """Join the groups, then ask ``connect``."""
        if self._require_groups():
            async_to_sync(self._join_groups)()
        # Any, here and below: an override may be a coroutine function by mistake.
        connect: Any = self.connect
        try:
            require_no_coroutine(self, connect())
        except AcceptConnection:
            self.accept()
        except DenyConnection as denial:
            self.close(**_close_arguments(denial))

    def connect(self) -> None:
        """Decide on the handshake; by default accept it."""
        self.accept()

    def accept(self, subprotocol: str | None = None, headers: Iterable[Any] | None = None) -> None:
        """Accept the WebSocket.

        Args:
            subprotocol: One of ``scope["subprotocols"]``.
            headers: Pairs of bytes for the response.
        """
        SyncConsumer.send(self, accept_event(subprotocol, headers))

    def websocket_receive(self, message: Event) -> None:
        """Pass a frame to ``receive``."""
        receive: Any = self.receive
        if (outcome := receive(**frame_payload(message))) is not None:
            require_no_coroutine(self, outcome)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one frame; called with just the keyword it has."""

    def send(  # type: ignore[override]
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> bool:
        """Send one frame; text wins if both are given.

        Args:
            text_data: Text, which may be empty, or a lazy translation.
            bytes_data: Bytes, which may be empty.
            close: Close afterwards; a number is the code.

        Returns:
            Whether the peer may still get it.

        Raises:
            ValueError: Neither payload was given.
            TypeError: The payload is of the wrong type.
            IllegalEventError: Not accepted yet, or closed by this handler. Nothing was sent.
        """
        try:
            event = send_event(text_data, bytes_data)
        except TypeError as error:
            event = _lazy_event(text_data, error)
        sent = super().send(event)
        if close:
            self.close(close)
        return sent

    def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the WebSocket; closing twice does nothing more."""
        super().send(close_event(code, reason))

    def deny_with_response(
        self, status: int = 403, body: bytes = b"", headers: Iterable[Any] | None = None
    ) -> None:
        """Refuse the handshake with an HTTP response; a plain refusal if the server cannot."""
        for event in denial_events(self.scope, status, body, headers=headers):
            super().send(event)

    def websocket_disconnect(self, message: Event) -> NoReturn:
        """Leave the groups, tell ``disconnect``, stop."""
        if self._require_groups():
            async_to_sync(self._leave_groups)()
        disconnect: Any = self.disconnect
        require_no_coroutine(self, disconnect(self._note_end(message)))
        raise StopConsumer

    def disconnect(self, code: int) -> None:
        """Clean up; the WebSocket has closed with ``code``."""


class JsonWebsocketConsumer(WebsocketConsumer):
    """Serves one WebSocket that carries JSON in text frames. Override ``receive_json``."""

    def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Decode a frame for ``receive_json``.

        Raises:
            ValueError: The frame is empty, binary or not JSON.
        """
        content = self.decode_json(require_text(text_data, bytes_data))
        receive_json: Any = self.receive_json
        if (outcome := receive_json(content, **kwargs)) is not None:
            require_no_coroutine(self, outcome)

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Handle one decoded frame."""

    def send_json(self, content: Any, close: bool | int = False) -> bool:
        """Send ``content`` as JSON text; return whether the peer may still get it."""
        return super().send(text_data=self.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        """Decode JSON text; override for another decoder."""
        return parse_json(text_data)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        """Encode as JSON text; override for another encoder."""
        return json.dumps(content)


class AsyncWebsocketConsumer(_Groups):
    """Serves one WebSocket. Override ``connect``, ``receive``, ``disconnect``.

    Args:
        *args: Ignored.
        **kwargs: Ignored.
    """

    async def websocket_connect(self, message: Event) -> None:
        """Join the groups, then ask ``connect``."""
        await self._join_groups()
        try:
            await self.connect()
        except AcceptConnection:
            await self.accept()
        except DenyConnection as denial:
            await self.close(**_close_arguments(denial))
        except TypeError as error:
            _explain(error, self.connect)
            raise

    async def connect(self) -> None:
        """Decide on the handshake; by default accept it."""
        await self.accept()

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[Any] | None = None
    ) -> None:
        """Accept the WebSocket.

        Args:
            subprotocol: One of ``scope["subprotocols"]``.
            headers: Pairs of bytes for the response.
        """
        await super().send(accept_event(subprotocol, headers))

    async def websocket_receive(self, message: Event) -> None:
        """Pass a frame to ``receive``."""
        try:
            await self.receive(**frame_payload(message))
        except TypeError as error:
            _explain(error, self.receive)
            raise

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle one frame; called with just the keyword it has."""

    async def send(  # type: ignore[override]
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> bool:
        """Send one frame; text wins if both are given.

        Args:
            text_data: Text, which may be empty, or a lazy translation.
            bytes_data: Bytes, which may be empty.
            close: Close afterwards; a number is the code.

        Returns:
            Whether the peer may still get it.

        Raises:
            ValueError: Neither payload was given.
            TypeError: The payload is of the wrong type.
            IllegalEventError: Not accepted yet, or closed by this handler. Nothing was sent.
        """
        try:
            event = send_event(text_data, bytes_data)
        except TypeError as error:
            event = _lazy_event(text_data, error)
        sent = await super().send(event)
        if close:
            await self.close(close)
        return sent

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the WebSocket; closing twice does nothing more."""
        await super().send(close_event(code, reason))

    async def deny_with_response(
        self, status: int = 403, body: bytes = b"", headers: Iterable[Any] | None = None
    ) -> None:
        """Refuse the handshake with an HTTP response; a plain refusal if the server cannot."""
        for event in denial_events(self.scope, status, body, headers=headers):
            await super().send(event)

    async def websocket_disconnect(self, message: Event) -> NoReturn:
        """Leave the groups, tell ``disconnect``, stop."""
        await self._leave_groups()
        try:
            await self.disconnect(self._note_end(message))
        except TypeError as error:
            _explain(error, self.disconnect)
            raise
        raise StopConsumer

    async def disconnect(self, code: int) -> None:
        """Clean up; the WebSocket has closed with ``code``."""


class AsyncJsonWebsocketConsumer(AsyncWebsocketConsumer):
    """Serves one WebSocket that carries JSON in text frames. Override ``receive_json``."""

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Decode a frame for ``receive_json``.

        Raises:
            ValueError: The frame is empty, binary or not JSON.
        """
        content = await self.decode_json(require_text(text_data, bytes_data))
        try:
            await self.receive_json(content, **kwargs)
        except TypeError as error:
            _explain(error, self.receive_json)
            raise

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Handle one decoded frame."""

    async def send_json(self, content: Any, close: bool | int = False) -> bool:
        """Send ``content`` as JSON text; return whether the peer may still get it."""
        return await super().send(text_data=await self.encode_json(content), close=close)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Decode JSON text; override for another decoder."""
        return parse_json(text_data)

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        """Encode as JSON text; override for another encoder."""
        return json.dumps(content)


def _lazy_event(text: Any, error: TypeError) -> Event:
    """Build ``websocket.send`` of a lazy translation, or raise ``error`` if it is none.

    Asked only then: plain text, which almost all is, pays nothing for it.
    """
    if not isinstance(text, Promise):
        raise error
    return send_event(str(text), None)


def _explain(error: TypeError, method: Callable[..., Any]) -> None:
    """Raise a better error if ``error`` is that ``method`` gave nothing to await.

    Asked only then: awaiting what a plain function returns is allowed, and costs nothing.
    """
    trace = error.__traceback__
    # Raised by the caller's ``await`` itself: whoever is called has a frame of its own in there.
    if trace is not None and trace.tb_next is None and "await" in str(error):
        raise not_async(method) from error


def _close_arguments(denial: DenyConnection) -> dict[str, Any]:
    # Only what was given: an overridden close() may take no arguments.
    return {
        name: value
        for name, value in (("code", denial.code), ("reason", denial.reason))
        if value is not None
    }

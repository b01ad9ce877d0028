"""HTTP under uvicorn, with a deadline for each request's head and a limit on connections.

Uvicorn itself waits for ever for a client that sends its head a byte at a time. Every WebSocket
begins as such a request; the handshakes of browsers, which come in one piece, never meet uvicorn's
parser.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.server import ServerState

from channels import telemetry
from channels.server import handshake
from channels.server.limits import limits_of
from channels.server.protocol import WebSocketProtocol
from channels.server.wheel import get_wheel

if TYPE_CHECKING:
    # Both do the same; the other one's library has no types.
    from uvicorn.protocols.http.h11_impl import H11Protocol as _UvicornProtocol
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _UvicornProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as _UvicornProtocol


MAX_HEAD_BYTES: Final = 65536
UPGRADE: Final = b"pgrade: websocket\r\n"
"""In every handshake, as browsers send it, and in hardly any other request."""


class HttpProtocol(asyncio.Protocol):
    """What a connection is until its first bytes have come; for uvicorn's ``http`` setting.

    Attributes:
        slot: Where the connection's deadline stands; the wheel's own.
    """

    __slots__ = ("_app_state", "_config", "_server", "_transport", "_wheel", "slot")

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._wheel = get_wheel()
        self.slot: int = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, unless there are too many connections already."""
        # What asyncio and uvloop make for a stream is more than a BaseTransport.
        self._transport = cast("asyncio.Transport", transport)
        connections = self._server.connections
        connections.add(cast("Any", self))
        limits = limits_of(self._config)
        if len(connections) > limits.max_connections:
            _refuse(self._transport, 503, "too many connections", limit="max_connections")
        else:
            self._wheel.set(self, limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        """Hand the connection to who serves it, with its first bytes."""
        asked = self._read_handshake(data) if UPGRADE in data else None
        kind: Any = Requests if asked is None else self._config.ws_protocol_class
        protocol = kind(self._config, self._server, self._app_state)
        self._server.connections.discard(cast("Any", self))
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if asked is None:
            self._wheel.move(self, protocol)
            protocol.data_received(data)
        else:
            self._wheel.forget(self)
            protocol.open(asked)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._wheel.forget(self)
        self._server.connections.discard(cast("Any", self))

    def deadline_passed(self) -> None:
        """Refuse a client that sends nothing."""
        _refuse_late(self._transport)

    def shutdown(self) -> None:
        """Close, because the server ends."""
        self._transport.close()

    def _read_handshake(self, data: bytes) -> handshake.Handshake | None:
        """Return what the first bytes ask for, if they are a whole handshake without doubt."""
        kind = self._config.ws_protocol_class
        if not isinstance(kind, type) or not issubclass(kind, WebSocketProtocol):
            return None
        has_deflate = kind.read_limits(self._config).has_deflate
        return handshake.read_plain_request(data, offers_deflate=has_deflate)


class Requests(_UvicornProtocol):
    """Serves a connection that does not begin with a plain handshake.

    A request's head may have ``MAX_HEAD_BYTES`` bytes, and what one read brings beyond them.

    Attributes:
        slot: Where the connection's deadline stands; the wheel's own.
    """

    slot: int = -1
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wheel = get_wheel()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends; the first bytes of a request start its deadline."""
        before = self.cycle
        # The cycle of a request is made when its head is whole.
        if self.slot < 0 and (cast("Any", before) is None or before.response_complete):
            self._wheel.set(self, limits_of(self.config).header_timeout)
            self._head_bytes = 0
        super().data_received(data)
        if self.cycle is not before:
            self._wheel.forget(self)
        elif self.slot >= 0:
            # Uvicorn holds every header until the head is whole, with httptools without a limit.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                text = "the head of the request is too large"
                _refuse(self.transport, 431, text, limit="max_head_bytes")

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        """Hand the connection to the WebSocket protocol, which has deadlines of its own."""
        self._wheel.forget(self)
        super().handle_websocket_upgrade(*arguments)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._wheel.forget(self)
        super().connection_lost(exc)

    def deadline_passed(self) -> None:
        """Refuse a client whose request does not come."""
        _refuse_late(self.transport)


def _refuse_late(transport: asyncio.Transport) -> None:
    _refuse(transport, 408, "the request did not come in time", limit="header_timeout")


def _refuse(transport: asyncio.Transport, status: int, reason: str, *, limit: str) -> None:
    telemetry.emit(telemetry.ConnectionLimited(limit))
    transport.write(handshake.refuse(status, reason))
    transport.close()

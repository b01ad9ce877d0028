"""HTTP under uvicorn, with a deadline for each request's head and a limit on connections.

Uvicorn itself waits for ever for a client that sends its head a byte at a time. Every WebSocket
begins as such a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

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


class HttpProtocol(_UvicornProtocol):
    """Serves one connection; for uvicorn's ``http`` setting.

    A request's head may have ``MAX_HEAD_BYTES`` bytes, and what one read brings beyond them.

    Attributes:
        slot: Where the connection's deadline stands; the wheel's own.
    """

    slot: int = -1
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request, unless there are too many connections already."""
        super().connection_made(transport)
        self._wheel = get_wheel()
        if len(self.connections) > limits_of(self.config).max_connections:
            self._refuse(503, "too many connections", limit="max_connections")
        else:
            self._wheel.set(self, limits_of(self.config).header_timeout)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends; the first bytes of a request start its deadline."""
        before = self.cycle
        if cast("Any", before) is None and not self._head_bytes and UPGRADE in data:
            asked = self._read_handshake(data)
            if asked is not None:
                self._open_websocket(asked)
                return
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
                self._refuse(431, "the head of the request is too large", limit="max_head_bytes")

    def _read_handshake(self, data: bytes) -> handshake.Handshake | None:
        """Return what the first bytes ask for, if they are a whole handshake without doubt."""
        kind = self.ws_protocol_class
        if not isinstance(kind, type) or not issubclass(kind, WebSocketProtocol):
            return None
        has_deflate = kind.read_limits(self.config).has_deflate
        return handshake.read_plain_request(data, offers_deflate=has_deflate)

    def _open_websocket(self, asked: handshake.Handshake) -> None:
        """Do as ``handle_websocket_upgrade``, without the request being parsed twice."""
        self._wheel.forget(self)
        self.connections.discard(self)
        protocol: Any = self.ws_protocol_class
        protocol = protocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        protocol.open(asked, (self.server, self.client))
        self.transport.set_protocol(protocol)
        # Httptools' parser and this hold each other: the collector would have to find them.
        vars(self).pop("parser", None)

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
        self._refuse(408, "the request did not come in time", limit="header_timeout")

    def _refuse(self, status: int, reason: str, *, limit: str) -> None:
        telemetry.emit(telemetry.ConnectionLimited(limit))
        self.transport.write(handshake.refuse(status, reason))
        self.transport.close()

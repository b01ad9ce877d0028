"""One WebSocket of a client, frame by frame: ten thousand of them must be cheap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

REQUEST: Final = (
    "GET /ws/topics/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: channels.topics.v1\r\n\r\n"
)


class TopicSocket(asyncio.Protocol):
    """A WebSocket to a server that is known to speak it.

    Args:
        opened: Called when the handshake is done.
        took: Called with each text frame.
        loop: The running one.

    Attributes:
        closed: Done when the connection is gone; has the close code, or 1006.
    """

    def __init__(
        self,
        opened: Callable[[], None],
        took: Callable[[str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.closed: asyncio.Future[int] = loop.create_future()
        self._opened = opened
        self._took = took
        self._code = 1006
        self._is_open = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(REQUEST.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so."""
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(self._code)

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then frames."""
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.abort()
                return
            self._is_open, self._buffer = True, rest
            self._opened()
        self._read()

    def send(self, text: str) -> None:
        """Send a text frame, if there is a connection."""
        self._write(TEXT, text.encode())

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport is None:
            return
        size = len(payload)
        head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else (
            bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
        )  # fmt: skip
        # A mask of zeros leaves the payload as it is.
        self._transport.write(head + bytes(4) + payload)

    def _read(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) >= at + 2:
            opcode, size, start = buffer[at] & 15, buffer[at + 1], at + 2
            if size > 125:
                width = 2 if size == 126 else 8
                if len(buffer) < start + width:
                    break
                size, start = int.from_bytes(buffer[start : start + width], "big"), start + width
            if len(buffer) < start + size:
                break
            payload, at = buffer[start : start + size], start + size
            self._take(opcode, payload)
        self._buffer = buffer[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._took(payload.decode())
        elif opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE:
            self._code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._write(CLOSE, payload[:2])

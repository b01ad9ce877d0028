"""One open connection to Redis: commands out in one write a turn of the loop, replies in order.

Speaks RESP2, the protocol of every server from Redis 5 on. A connection that has subscribed hands
out the server's pushes in the same way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, cast

import hiredis

from channels.descriptors import NONE, descriptor_of

Reply = Any
"""Bytes, int, ``None``, a list of these, or a ``hiredis.ReplyError``."""


class Wire(asyncio.Protocol):
    """Takes over a connection whose handshake is done.

    Args:
        writer: Connected and authenticated, with nothing unread.
        replied: Called with each reply, in the order of the commands.
        lost: Called once when the connection has ended, not after ``close``.
    """

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        replied: Callable[[Reply], None],
        lost: Callable[[Exception], None],
    ) -> None:
        # Forgotten, it would close the connection.
        self._writer = writer
        self._transport = transport = cast("asyncio.Transport", writer.transport)
        # To be written to past the transport, which would queue it (uvloop).
        self._fd = descriptor_of(transport)
        self._replied = replied
        self._lost: Callable[[Exception], None] | None = lost
        self._reader = hiredis.Reader()
        self._unwritten: list[bytes] = []
        self._pauses = 0
        self._loop = asyncio.get_running_loop()
        transport.set_protocol(self)
        # A peer that went away during the handshake has been reported to the protocol before.
        if transport.is_closing():
            self._loop.call_soon(self.fail, ConnectionError("connection closed while opening"))
        transport.resume_reading()

    def write(self, command: bytes) -> None:
        """Send a packed command with all others of this turn of the loop."""
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(command)

    def hand_over(
        self, replied: Callable[[Reply], None], lost: Callable[[Exception], None]
    ) -> None:
        """Give replies and the loss to others from now on."""
        self._replied = replied
        if self._lost is not None:
            self._lost = lost

    def close(self) -> None:
        """End the connection without a word to anyone."""
        self._lost = None
        self._transport.abort()

    def fail(self, error: Exception) -> None:
        """End the connection and say that it was lost."""
        lost, self._lost = self._lost, None
        self._transport.abort()
        if lost is not None:
            lost(error)

    def pause_until(self, later: asyncio.Future[Any]) -> None:
        """Read nothing more until ``later`` is done; what was read already is handed out."""
        self._pauses += 1
        self._transport.pause_reading()
        later.add_done_callback(self._resume)

    @property
    def address(self) -> str:
        """Say where the other end is."""
        return str(self._transport.get_extra_info("peername") or "unix socket")

    def data_received(self, data: bytes) -> None:
        """Hand out every reply that is complete."""
        self._reader.feed(data)
        try:
            # ``False`` stands for an incomplete one; RESP2 has no such value.
            while self._lost is not None and (reply := self._reader.gets()) is not False:
                self._replied(reply)
        except hiredis.ProtocolError as error:
            self.fail(ConnectionError(f"not the language of Redis: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the connection has ended."""
        self.fail(exc or ConnectionError("connection closed by the server"))

    def _resume(self, later: asyncio.Future[Any]) -> None:
        self._pauses -= 1
        if not self._pauses and not self._transport.is_closing():
            self._transport.resume_reading()

    def _flush(self) -> None:
        data, self._unwritten = b"".join(self._unwritten), []
        if self._lost is None:
            return
        if self._fd != NONE and not self._transport.get_write_buffer_size():
            # What it does not take, and what is wrong with it, is for the transport.
            try:
                written = os.write(self._fd, data)
            except OSError:
                written = 0
            if written == len(data):
                return
            data = data[written:]
        self._transport.write(data)


def pack(*words: Any) -> bytes:
    """Return the bytes of a command; words are ``str``, ``bytes``, ``int`` or ``float``."""
    # hiredis is untyped here; it always gives bytes.
    packed: bytes = hiredis.pack_command(words)
    return packed

"""The way out of one WebSocket: straight to the kernel, or through an outbox while that is full.

A frame is written to the socket by one system call, past the transport, as long as the transport
holds nothing: half of what a fan-out costs under uvloop is its queue of writes. What the kernel
does not take goes to the transport, which from then on counts as full until it is empty again.
What handlers send waits for the other sockets' frames first (``writing``).

While it is full, what the application sends itself waits, and a broadcast, which never waits, goes
to the outbox, as the policy of the consumer's class has it.
"""

from __future__ import annotations

import asyncio
from os import write
from typing import Final, cast

from channels import telemetry
from channels._core.broadcast import Broadcast, Joined
from channels._core.outbox import Outbox, SlowConsumer
from channels.descriptors import NONE, descriptor_of
from channels.exceptions import PeerGoneError
from channels.server.framing import PONG, broadcast_frame, encode
from channels.server.limits import Limits
from channels.server.writing import get_writing

NEW: Final = "new"
ASKING: Final = "asking"
DENYING: Final = "denying"
OPEN: Final = "open"
CLOSING: Final = "closing"
ENDED: Final = "ended"
LOST: Final = "lost"
"""States of a socket; ``protocol`` has their theory."""

SLOW_CONSUMER: Final = 3001
"""Close code for a client that read too slowly: it should come back and catch up."""
MOST_UNSENT: Final = 16384
"""Bytes of one socket that wait for the others' frames."""


class Outgoing(asyncio.Protocol):
    """Writes to one transport.

    Attributes:
        slow_consumer: What happens to broadcasts while the client does not read.
        farewell: A last frame before the server closes for a restart, if the application has one.
    """

    __slots__ = (
        "_drained",
        "_fd",
        "_limits",
        "_outbox",
        "_owed_pong",
        "_state",
        "_transport",
        "_unsent",
        "_window_bits",
        "_writing",
        "farewell",
        "slow_consumer",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = NEW
        # Of permessage-deflate towards the client; 0 without it.
        self._window_bits = 0
        # The socket's, or -1 where only the transport may write.
        self._fd = -1
        # These exist only while the transport is full.
        self._drained: asyncio.Event | None = None
        self._outbox: Outbox | None = None
        self._owed_pong: bytes | None = None
        # What handlers have sent in this turn of the event loop.
        self._unsent = b""
        self.slow_consumer: SlowConsumer = SlowConsumer.DROP_NEWEST
        self.farewell: Broadcast | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write to ``transport`` from now on."""
        # What asyncio and uvloop make for a stream is more than a BaseTransport.
        self._transport = cast("asyncio.Transport", transport)
        self._writing = get_writing()
        self._fd = descriptor_of(transport)
        if self._fd != NONE:
            # Full as soon as it holds anything.
            self._transport.set_write_buffer_limits(high=0)

    def write(self, event: Broadcast | Joined) -> None:
        """Send a broadcast without waiting; nothing is done for a client that has gone.

        Its frame is encoded for the first socket and kept for the others.
        """
        if self._state is not OPEN:
            return
        frame = event.frames.get(self._window_bits)
        if frame is None:
            frame = broadcast_frame(event, self._window_bits)
        if self._drained is not None:
            self._put_off(event)
        elif self._unsent or self._fd < 0:
            self._transmit(frame)
        else:
            try:
                sent = write(self._fd, frame)
            except OSError as error:
                self._not_written(frame, error)
                return
            if sent < len(frame):
                self._written_in_part(frame, sent)

    def pause_writing(self) -> None:
        """Note that the transport is full."""
        if self._drained is None:
            self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        """Send what has waited, and let the application send again."""
        drained, self._drained = self._drained, None
        if self._owed_pong is not None:
            owed, self._owed_pong = self._owed_pong, None
            self._transmit(encode(PONG, owed))
        # Any of them may be one too many.
        while self._outbox and self._drained is None:
            self._transmit(self._outbox.pop())
        if not self._outbox:
            self._outbox = None
        if drained is None:
            return
        if self._drained is None:
            drained.set()
        else:
            # Those who wait go on waiting, on the event they know.
            self._drained = drained

    def write_unsent(self) -> None:
        """Write what handlers have sent, if it has not gone out with something else."""
        if self._unsent:
            self._transmit(b"")

    def _enqueue(self, frame: bytes) -> None:
        """Write to the socket together with the others that handlers write to."""
        if self._unsent:
            self._unsent += frame
            if len(self._unsent) >= MOST_UNSENT:
                self._transmit(b"")
        else:
            self._unsent = frame
            self._writing.add(self)

    def _transmit(self, frame: bytes) -> None:
        """Write to the socket, or behind what the transport holds."""
        if self._unsent:
            frame, self._unsent = self._unsent + frame, b""
        if self._fd < 0 or self._drained is not None:
            self._transport.write(frame)
            return
        try:
            sent = write(self._fd, frame)
        except OSError as error:
            self._not_written(frame, error)
            return
        if sent < len(frame):
            self._written_in_part(frame, sent)

    def _not_written(self, frame: bytes, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._written_in_part(frame, 0)
        else:
            # The transport meets the same error, and ends the connection as it always does.
            self._transport.write(frame)

    def _written_in_part(self, frame: bytes, sent: int) -> None:
        self.pause_writing()
        self._transport.write(frame[sent:])
        # Uvloop writes at the end of this turn of the loop, and may then hold nothing.
        asyncio.get_running_loop().call_soon(self._resume_if_empty)

    def _resume_if_empty(self) -> None:
        if self._drained is not None and not self._transport.get_write_buffer_size():
            self.resume_writing()

    def _pong(self, payload: bytes) -> None:
        """Answer a ping; while nothing can be sent, only the last of them (RFC 6455, 5.5.3)."""
        if self._drained is None:
            self._transmit(encode(PONG, payload))
        else:
            self._owed_pong = payload

    async def _wait_until_drained(self) -> None:
        """Return when the transport takes more.

        Raises:
            PeerGoneError: The socket has closed meanwhile.
        """
        while self._drained is not None:
            await self._drained.wait()
        if self._state is not OPEN:
            raise PeerGoneError(f"the socket is {self._state}")

    def _put_off(self, event: Broadcast | Joined) -> None:
        if self._outbox is None:
            limits = self._limits
            self._outbox = Outbox(self.slow_consumer, limits.outbox_frames, limits.outbox_bytes)
        for part in event.parts if isinstance(event, Joined) else (event,):
            frame = broadcast_frame(part, self._window_bits)
            dropped = self._outbox.add(frame, part.key, part.slow_consumer)
            if dropped.frames:
                telemetry.emit(telemetry.FrameDropped(*dropped))
                if dropped.reason == "disconnected":
                    self._close(SLOW_CONSUMER, "slow consumer")
                    return

    def _flush_outbox(self) -> None:
        """Hand all that waits to the transport, full or not: the close comes behind it."""
        outbox, self._outbox = self._outbox, None
        while outbox:
            self._transport.write(outbox.pop())

    def _forget_outbox(self) -> None:
        """Drop what waits, and wake whoever waits to send; the transport writes what comes."""
        self.write_unsent()
        self._fd = -1
        outbox, self._outbox = self._outbox, None
        if outbox:
            telemetry.emit(telemetry.FrameDropped("closed", outbox.clear()))
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set()

    def _close(self, code: int, reason: str) -> None:
        """Close the open socket from our side."""
        raise NotImplementedError

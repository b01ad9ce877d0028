"""The way in of one WebSocket: bytes to events, no further ahead than the application takes them.

Reading is lazy. One event waits for the application; what follows stays bytes in the reader, and
the transport is paused while there are many. ``websocket.disconnect`` is the last event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from channels.exceptions import PeerError
from channels.server.framing import BINARY, CLOSE, PING, TEXT, encode_close
from channels.server.limits import TokenBucket
from channels.server.opening import Opening
from channels.server.outgoing import CLOSING, LOST, NEW, OPEN
from channels.typing import Event

MOST_UNREAD: Final = 4096
"""Bytes behind a message that the application has not taken, from which on reading pauses."""


class Incoming(Opening):
    """Reads from one transport, for ``receive`` or for whoever listens."""

    __slots__ = (
        "_arrived",
        "_bucket",
        "_farewell",
        "_has_parted",
        "_is_quiet",
        "_is_reading_paused",
        "_message_at",
        "_more",
        "_waiter",
    )

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, server_state, app_state)
        # The last event the application will ever get, until it has taken it.
        self._farewell: Event | None = None
        self._has_parted = False
        # Events read further ahead, because the first one is not taken.
        self._more: list[Event] | None = None
        self._arrived: Callable[[Event], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_reading_paused = False
        # Nothing has come since a ping.
        self._is_quiet = False
        # When the last message came, where somebody wants to know.
        self._message_at = 0.0
        self._bucket: TokenBucket | None = None

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self._is_quiet = False
        if self._state is NEW:
            self._start(data)
        elif self._reader is not None:
            self._reader.feed(data)
            if self._state is CLOSING or (self._state is OPEN and self._event is None):
                self._read_on()
            elif self._reader.pending() >= MOST_UNREAD:
                self._pause_reading()

    async def receive(self) -> Event:
        """Wait for the next event and take it; for ever after ``websocket.disconnect``.

        Cancelling it takes nothing.
        """
        while (event := self.take()) is None:
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                # One that was cancelled may end after the next has begun.
                if self._waiter is waiter:
                    self._waiter = None
        return event

    def listen(self, arrived: Callable[[Event], None] | None) -> None:
        """Call ``arrived`` with each event as soon as it can be taken; with what is there at once.

        Nobody may await ``receive`` meanwhile.
        """
        self._arrived = arrived
        if arrived is not None:
            for event in (self._event, *(self._more or ()), self._farewell):
                if event is not None:
                    arrived(event)

    def take(self) -> Event | None:
        """Remove and return the next event, or ``None``, and read on."""
        event, self._event = self._event, self._more.pop(0) if self._more else None
        if event is None:
            event, self._farewell = self._farewell, None
        elif self._event is None and (self._state is OPEN or self._state is LOST):
            self._read_on()
        return event

    def look_ahead(self) -> None:
        """Read one event further although one is untaken."""
        first, self._event = self._event, None
        self._read_on()
        if first is not None:
            if self._event is not None:
                self._more = [*(self._more or ()), self._event]
            self._event = first

    def _read_on(self) -> None:
        """Parse until an event waits for the application, or nothing more is whole."""
        reader = self._reader
        if reader is None:
            return
        try:
            while self._event is None or self._state is CLOSING:
                frame = reader.next()
                if frame is None:
                    break
                self._take_frame(*frame)
                if self._reader is None:
                    return
        except PeerError as error:
            self._fail(error)
            return
        if self._is_reading_paused and (self._event is None or not reader.pending()):
            self._resume_reading()

    def _take_frame(self, opcode: int, payload: Any) -> None:
        if opcode in (TEXT, BINARY):
            if self._state is not CLOSING:
                self._count_message()
                key = "text" if opcode == TEXT else "bytes"
                self._event = event = {"type": "websocket.receive", key: payload}
                self._tell(event)
        elif opcode == PING:
            if self._state is OPEN:
                self._pong(payload)
        elif opcode == CLOSE:
            self._take_close(*payload)

    def _take_close(self, code: int, reason: str) -> None:
        if self._state is OPEN:
            self._part(code, reason)
            self._end(encode_close(code))
        elif self._state is CLOSING:
            self._end(b"")
        elif self._farewell is not None:
            self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}

    def _count_message(self) -> None:
        now = self._message_at = asyncio.get_running_loop().time()
        if self._bucket is not None and not self._bucket.take(now):
            raise PeerError(1008, "too many messages", limit="message_rate")

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and not self._transport.is_closing():
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._is_reading_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _tell(self, event: Event) -> None:
        """Let the application know that there is something to take."""
        if self._arrived is not None:
            self._arrived(event)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _part(self, code: int, reason: str) -> None:
        """Let ``websocket.disconnect`` be the last event; the first one to say so is right."""
        if not self._has_parted:
            self._has_parted = True
            event = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._farewell = event
            self._tell(event)

    def _fail(self, error: PeerError) -> None:
        """Close because of what the peer has done."""
        raise NotImplementedError

"""Where the events of one connection come from, one at a time and never far ahead.

An event is taken only when it is dispatched. Until then a source holds it and reads no further, so
that back-pressure reaches the socket; but once a handler has taken long, it looks ahead by one
event at a time, up to ``LOOK_AHEAD``, to find a disconnect behind unread frames.

Any ``receive`` is read by a ``Pump``, which is a task. Our own server gives itself as the source,
ASGI extension ``channels.direct``: then there is no task, and nothing to wait for between a frame
and its handler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from channels._core.broadcast import Broadcast, Joined
from channels._core.outbox import SlowConsumer
from channels.typing import Event, Receive, Scope

EXTENSION: Final = "channels.direct"
LOOK_AHEAD: Final = 10
"""Unread events, and turns of the event loop, within which a failed send must be explained."""
TAKEN: Final = float("inf")
"""Since when an event is unread if none is."""


class Source(Protocol):
    """Where events come from."""

    def take(self) -> Event | None:
        """Remove and return the next event, or ``None``; raise what ended the source."""
        ...


class DirectSocket(Protocol):
    """A server's WebSocket, without coroutines between: ``socket`` in the extension.

    Attributes:
        slow_consumer: What happens to broadcasts while the client does not read.
        farewell: A last frame before the close when the server restarts, or ``None``.
    """

    slow_consumer: SlowConsumer
    farewell: Broadcast | None

    def write(self, event: Broadcast | Joined) -> None:
        """Send ``event`` in the order of the calls, without waiting."""
        ...

    def send_now(self, event: Event) -> bool:
        """Send a ``websocket.send`` at once; ``False``, and nothing done, for anything else."""
        ...

    def frame_of(self, event: Event) -> bytes | None:
        """Return the frame of a ``websocket.send``, in any thread.

        ``None`` where it could not be sent at once, or for anything else.
        """
        ...

    def send_frame(self, frame: bytes) -> bool:
        """Send what ``frame_of`` returned; ``False`` if the socket has closed meanwhile."""
        ...

    def listen(self, arrived: Callable[[Event], None] | None) -> None:
        """Call ``arrived`` with each event as soon as it can be taken; ``None`` for no more."""
        ...

    def take(self) -> Event | None:
        """Remove and return the next event, or ``None``; then read on."""
        ...

    def look_ahead(self) -> None:
        """Read one event further although one is untaken."""
        ...


def direct_socket(scope: Scope) -> DirectSocket | None:
    """Return the server's socket where it has the extension."""
    extension = (scope.get("extensions") or {}).get(EXTENSION)
    return extension["socket"] if extension else None


def is_method_of(function: Callable[..., Any], owner: object) -> bool:
    """Return whether ``function`` is a method of ``owner``, with nothing put before it."""
    return owner is not None and getattr(function, "__self__", None) is owner


class Direct:
    """Takes events from a server's socket itself.

    Args:
        socket: The server's.
        arrived: Called with each event as soon as it can be taken.
        patience: Seconds after which one more event is read although one is unhandled.
    """

    __slots__ = ("_ahead", "_loop", "_patience", "_socket", "_timer", "_unread_since")

    def __init__(
        self, socket: DirectSocket, arrived: Callable[[Event], None], patience: float
    ) -> None:
        self._socket = socket
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        # Runs on when what it was set for is taken: a timer for each frame costs more than that.
        self._timer: asyncio.TimerHandle | None = None
        self._unread_since = TAKEN
        self._ahead = 0
        socket.listen(arrived)

    def take(self) -> Event | None:
        """Remove and return the next event, or ``None``."""
        self._unread_since, self._ahead = TAKEN, 0
        return self._socket.take()

    def is_unread(self) -> None:
        """Note that an event has come during a handler, and will not be taken at once."""
        if self._unread_since == TAKEN:
            self._unread_since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._patience, self._look)

    def look_ahead(self) -> None:
        """Read one event further, unless ``LOOK_AHEAD`` are unread already."""
        self._unread_since = TAKEN
        self._ahead += 1
        if self._ahead < LOOK_AHEAD:
            self.is_unread()
            self._socket.look_ahead()

    def _look(self) -> None:
        self._timer = None
        if self._unread_since == TAKEN:
            return
        rest = self._unread_since + self._patience - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._look)
        else:
            self.look_ahead()

    def stop(self) -> None:
        """Take no more."""
        self._socket.listen(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Pump:
    """Reads a source in a task of its own, one event ahead.

    Args:
        receive: Gives the next event.
        arrived: Called with each event as soon as it is read.
        ahead: Read the next event while the last one is being handled. Otherwise what has not
            been handled when the connection ends has not been read either.
        patience: Seconds after which one more event is read although one is unhandled, or
            ``None`` for never.
    """

    def __init__(
        self,
        receive: Receive,
        arrived: Callable[[Event], None],
        *,
        ahead: bool = True,
        patience: float | None = None,
    ) -> None:
        self._receive = receive
        self._arrived = arrived
        self._ahead = ahead
        self._patience = patience
        self._events: deque[Event] = deque()
        self._room: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    def take(self) -> Event | None:
        """Remove and return the next event, or ``None``.

        Raises:
            BaseException: What ``receive`` raised, once every event before it was taken.
        """
        if self._events:
            event = self._events.popleft()
            if self._room is not None and self._ahead and not self._events:
                self._make_room()
            return event
        if self._error is not None:
            raise self._error
        self._make_room()
        return None

    def is_unread(self) -> None:
        """Do nothing: it looks ahead by itself, within its patience."""

    def look_ahead(self) -> None:
        """Read one event further, unless ``LOOK_AHEAD`` are unread already."""
        if len(self._events) < LOOK_AHEAD:
            self._make_room()

    def stop(self) -> asyncio.Task[None]:
        """Cancel the read; return the task, which ends soon."""
        self._task.cancel()
        return self._task

    async def _run(self) -> None:
        try:
            while True:
                event = await self._receive()
                self._events.append(event)
                self._arrived(event)
                if self._events or not self._ahead:
                    await self._wait_for_room()
        except BaseException as error:
            self._error = error
            self._arrived({})

    async def _wait_for_room(self) -> None:
        loop = asyncio.get_running_loop()
        self._room = loop.create_future()
        timer = loop.call_later(self._patience, self.look_ahead) if self._patience else None
        try:
            await self._room
        finally:
            self._room = None
            if timer is not None:
                timer.cancel()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

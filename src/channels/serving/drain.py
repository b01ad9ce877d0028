"""How a worker's connections end: each WebSocket at its own moment, and handlers in their time.

What a WebSocket is, a response of server-sent events is here too: it ends only when it is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from uvicorn.server import ServerState

from channels.diagnosis import places_of_threads, where_it_waits
from channels.server import WebSocketProtocol
from channels.topics.events import open_responses

STEP: Final = 0.05
"""Seconds between two looks at whether everything has ended."""
LAST: Final = 1.0
"""Seconds that a handler has for its clean-up once it was cancelled."""

logger: logging.Logger = logging.getLogger("channels.server")


class Drain:
    """Ends the connections of one server.

    Args:
        state: The server's.
        window: Seconds over which the WebSockets are closed.
        timeout: Seconds after which what still runs is cancelled.
    """

    def __init__(self, state: ServerState, *, window: float, timeout: float) -> None:
        self._state = state
        self._window = window
        self._timeout = timeout
        self._is_hurried = asyncio.Event()
        # Connections that have been told to end, or are to be.
        self._told: set[object] = set()

    def hurry(self) -> None:
        """Close everything now, and wait for nothing."""
        self._is_hurried.set()

    async def run(self) -> None:
        """Return when everything has ended, or has been cut at the deadline."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        await self._close_all()
        while self._is_busy() and loop.time() < deadline and not self._is_hurried.is_set():
            # Accepted before the end, and heard of only now: a client that was slow with its TLS.
            for end in self._newcomers():
                end()
            await self.pause(STEP)
        if self._is_hurried.is_set():
            self._close_at_once()
        if self._state.tasks:
            await self._cut()

    async def pause(self, seconds: float) -> None:
        """Wait so long, unless there is haste."""
        if seconds > 0:
            waiter = asyncio.create_task(self._is_hurried.wait())
            await asyncio.wait({waiter}, timeout=seconds)
            waiter.cancel()

    async def _close_all(self) -> None:
        endings: list[Callable[[], None]] = [one.end_for_restart for one in open_responses()]
        events = len(endings)
        endings += self._newcomers()
        if websockets := len(endings) - events:
            logger.info("Closing %d WebSockets over %g s for a restart.", websockets, self._window)
        if events:
            logger.info("Ending %d event streams over %g s.", events, self._window)
        random.shuffle(endings)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, end in enumerate(endings):
            moment = start + self._window * (number + random.random()) / len(endings)  # noqa: S311
            await self.pause(moment - loop.time())
            if self._is_hurried.is_set():
                return
            end()

    def _newcomers(self) -> list[Callable[[], None]]:
        """Return how the WebSockets end that nobody has told yet."""
        endings: list[Callable[[], None]] = []
        for connection in self._state.connections - self._told:
            self._told.add(connection)
            if isinstance(connection, WebSocketProtocol):
                endings.append(connection.close_for_restart)
            else:
                # Answers the request it has, and takes no other.
                connection.shutdown()
        return endings

    def _close_at_once(self) -> None:
        for connection in tuple(self._state.connections):
            connection.shutdown()

    def _is_busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks)

    async def _cut(self) -> None:
        """Cancel every handler that still runs; the log says where it was."""
        tasks = tuple(self._state.tasks)
        for task in tasks:
            logger.error("Still running at the end, cancelled: %s.", where_it_waits(task))
        for place in places_of_threads():
            logger.error("Still running at the end, left to its thread: %s.", place)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LAST)

"""Frames of handlers wait for each other, so that the sockets are written to one after the other.

A system call empties the processor's caches of what Python needs next, and Python those of the
kernel: handlers that write in turns with it take twice the time. So what a handler sends stays with
its socket until the next turn of the event loop, or until ``AT_ONCE`` sockets have something; what
one socket gets meanwhile is one write.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from channels.per_loop import PerLoop

AT_ONCE: Final = 64
"""Sockets that are written to together: more would hold the event loop, and outgrow the caches."""

logger: logging.Logger = logging.getLogger("channels.server")


class Written(Protocol):
    """What has something to write."""

    def write_unsent(self) -> None:
        """Write all that waits, if anything still does."""


class Writing:
    """The sockets of one event loop that have something to write."""

    def __init__(self) -> None:
        self._waiting: list[Written] = []

    def add(self, socket: Written) -> None:
        """Let ``socket`` write soon."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self._write)
        waiting.append(socket)
        if len(waiting) >= AT_ONCE:
            self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for socket in waiting:
            try:
                socket.write_unsent()
            except Exception:
                # One socket must not keep the others from their frames.
                logger.exception("%r could not write", socket)


get_writing: Final = PerLoop(Writing)

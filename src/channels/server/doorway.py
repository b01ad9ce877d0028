"""How many handshakes begin in one turn of the event loop.

After a restart thousands of clients come at once. If all their handshakes began together, they
would all end together, at the end; and those that gave up meanwhile would have been work for
nothing. So only a few begin in each turn, in the order in which they came, and what has begun goes
on in every turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from channels.per_loop import PerLoop

AT_ONCE: Final = 8
"""Handshakes that begin in one turn."""

logger: logging.Logger = logging.getLogger("channels.server")


class Doorway:
    """Lets in one after the other, on the running event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._begun = 0

    def enter(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` at once, or in its turn; it does nothing for a client that has gone."""
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)
        if self._begun < AT_ONCE:
            self._begun += 1
            begin()
        else:
            self._waiting.append(begin)

    def _next_turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < AT_ONCE:
            self._begun += 1
            try:
                self._waiting.popleft()()
            except Exception:
                # One client must not keep the others waiting.
                logger.exception("A handshake could not begin.")
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)


get_doorway: Final = PerLoop(Doorway)

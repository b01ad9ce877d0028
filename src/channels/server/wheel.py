"""The deadlines of all sockets of one event loop, on one timer.

A wheel of slots turns by one slot each ``TICK``. A socket stands in at most one slot, for as many
rounds as its deadline needs. So setting, moving and forgetting a deadline are O(1), and ten
thousand sockets cost one timer, and one dict entry each.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final, Protocol

from channels.per_loop import PerLoop

TICK: Final = 0.25
"""Seconds between two turns: deadlines are met up to so much later, and never earlier."""
SLOTS: Final = 256

logger: logging.Logger = logging.getLogger("channels.server")


class Timed(Protocol):
    """What has a deadline.

    Attributes:
        slot: Where it stands in the wheel; -1 for nowhere. The wheel's own.
    """

    slot: int

    def deadline_passed(self) -> None:
        """Do what is due; called once for each deadline set."""


class Wheel:
    """Calls ``deadline_passed`` of what it holds, in the loop it was made in."""

    def __init__(self) -> None:
        # What stands in each slot, and how many rounds it has still to wait there.
        self._slots: list[dict[Timed, int]] = [{} for _ in range(SLOTS)]
        self._now = 0
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, timed: Timed, seconds: float) -> None:
        """Let ``timed`` know in ``seconds``, and no more of a deadline set before. O(1)."""
        self.forget(timed)
        turns = max(1, math.ceil(seconds / TICK))
        if self._timer is None:
            self._start()
        else:
            # The next turn comes sooner than in a tick.
            turns += 1
        timed.slot = (self._now + turns) % SLOTS
        self._slots[timed.slot][timed] = (turns - 1) // SLOTS
        self._held += 1

    def move(self, timed: Timed, other: Timed) -> None:
        """Let ``other``, which has no deadline, have that of ``timed``. O(1)."""
        if timed.slot >= 0:
            slot = self._slots[timed.slot]
            slot[other] = slot.pop(timed)
            other.slot, timed.slot = timed.slot, -1

    def forget(self, timed: Timed) -> None:
        """Take ``timed`` out. Idempotent. O(1)."""
        if timed.slot >= 0:
            del self._slots[timed.slot][timed]
            timed.slot = -1
            self._held -= 1

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)

    def _turn(self) -> None:
        self._now = (self._now + 1) % SLOTS
        slot = self._slots[self._now]
        due = []
        for timed, rounds in slot.items():
            slot[timed] = rounds - 1
            if not rounds:
                due.append(timed)
        for timed in due:
            self.forget(timed)
        # Armed before anything may fail, and only while there is something to wait for.
        self._timer = None
        if self._held:
            self._start()
        for timed in due:
            try:
                timed.deadline_passed()
            except Exception:
                # One socket must not keep the others from their deadlines.
                logger.exception("%r failed at its deadline", timed)


get_wheel: Final = PerLoop(Wheel)

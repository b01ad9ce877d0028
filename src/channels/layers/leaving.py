"""What a handler has sent to a large group without waiting until all its members have it.

What the handler sends next, or whatever it has called or started, must not overtake that: to the
same group it stands in the same line, and elsewhere it waits.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Final

from channels.layers.fan_out import FanOut

PAUSE: Final = 0.001
"""Seconds between two looks at another event loop's fan-out."""

_left: Final[contextvars.ContextVar[tuple[str, asyncio.Future[None]] | None]] = (
    contextvars.ContextVar("channels_left", default=None)
)
"""The last group that was sent to, and what is done when all of it has the message."""


def leave(fan: FanOut) -> None:
    """Note what has been sent."""
    if fan.done is not None:
        _left.set((fan.group, fan.done))


def unfinished(group: str | None = None) -> asyncio.Future[None] | None:
    """Return what has to be done before something is sent to ``group``, or to a channel."""
    left = _left.get()
    if left is None or left[1].done():
        return None
    if left[0] == group and left[1].get_loop() is asyncio.get_running_loop():
        return None
    return left[1]


async def wait_for(done: asyncio.Future[None]) -> None:
    """Return when it is, whatever event loop it belongs to."""
    if done.get_loop() is asyncio.get_running_loop():
        await asyncio.wait([done])
    while not done.done() and not done.get_loop().is_closed():  # noqa: ASYNC110 - another loop's
        await asyncio.sleep(PAUSE)

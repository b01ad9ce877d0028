"""What a handler has sent to a large group without waiting until all its members have it.

What the handler does next, or whatever it then calls or starts, must not overtake that: what it
sends to the same group stands in the same line, and anything else waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Final

from channels.layers.fan_out import FanOut

PAUSE: Final = 0.001
"""Seconds between two looks at another event loop's fan-out."""
PATIENCE: Final = 1.0
"""Seconds to wait for another event loop, which may be the one that waits for this."""

_left: Final[contextvars.ContextVar[tuple[object, str, asyncio.Future[None]] | None]] = (
    contextvars.ContextVar("channels_left", default=None)
)
"""The last group that was sent to, and whose; and what is done when all of it has the message."""

logger: logging.Logger = logging.getLogger("channels.layers")


def leave(fan: FanOut, layer: object) -> None:
    """Note what has been sent by ``layer``."""
    if fan.done is not None:
        _left.set((layer, fan.group, fan.done))


def unfinished(layer: object, group: str | None = None) -> asyncio.Future[None] | None:
    """Return what has to be done before something is sent to ``group``, or else is done."""
    left = _left.get()
    if left is None or left[2].done():
        return None
    if left[:2] == (layer, group) and left[2].get_loop() is asyncio.get_running_loop():
        return None
    return left[2]


async def wait_for(done: asyncio.Future[None]) -> None:
    """Return when it is; of another event loop, within ``PATIENCE``."""
    loop, here = done.get_loop(), asyncio.get_running_loop()
    if loop is here:
        await asyncio.wait([done])
        return
    until = here.time() + PATIENCE
    while loop.is_running() and not done.done():
        if here.time() > until:
            logger.warning(
                "An event loop is blocked while a message of it is on its way to a group; what is "
                "sent now from another thread may overtake that."
            )
            return
        await asyncio.sleep(PAUSE)

"""What a process does for its topics from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from channels.exceptions import LayerUnavailableError
from channels.topics.attendance import RENEWAL
from channels.topics.engine import Engine
from channels.topics.local import EVERYBODY
from channels.topics.open_topic import frame_of

logger: logging.Logger = logging.getLogger("django.channels.topics")

TICK: Final = 1.0
PING_INTERVAL: Final = 25.0
"""Seconds within which a client hears something."""
CHECK_INTERVAL: Final = 5.0
"""Seconds within which a process finds out that it missed the last publication of a topic."""
AT_ONCE: Final = 500
"""Topics in one call to the broker."""

LONGEST: Final = 60.0
"""Seconds after which a chore is given up, until the next time."""

Chore = Callable[[Engine], Coroutine[Any, Any, None]]


async def keep_up(engine: Engine, *chores: tuple[float, Chore]) -> None:
    """Do what is due as long as there are connections or members.

    Each chore has a task of its own: one that waits for a database holds up no lease.

    Args:
        engine: The topics of this process.
        *chores: More of them, each with the seconds between two times.
    """
    schedule = (
        (TICK, announce),
        (PING_INTERVAL, ping),
        (CHECK_INTERVAL, check_positions),
        (RENEWAL, renew_leases),
        *chores,
    )
    tasks = [asyncio.create_task(_repeat(engine, chore, pause)) for pause, chore in schedule]
    try:
        await _do(engine, hear_signals)
        while engine.connections or engine.attendance.topics:  # noqa: ASYNC110 - looks now and then
            await asyncio.sleep(TICK)
    finally:
        for task in tasks:
            task.cancel()


async def _repeat(engine: Engine, chore: Chore, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        await _do(engine, chore)


async def _do(engine: Engine, chore: Chore) -> None:
    try:
        async with asyncio.timeout(LONGEST):
            await chore(engine)
    except (LayerUnavailableError, TimeoutError) as error:
        logger.warning("The upkeep of topics is late: %s: %r", chore.__name__, error)
    except Exception:
        # Whatever is wrong this time, there is a next one.
        logger.exception("The upkeep of topics failed")


async def hear_signals(engine: Engine) -> None:
    """Have this process hear who was signed out."""
    await engine.broker.hear_signals()


async def announce(engine: Engine) -> None:
    """Say where topics stand that have gone quiet."""
    now = time.monotonic()
    for topic in tuple(engine.topics.values()):
        text = topic.announcement(now)
        if text is not None:
            engine.tell(topic, text)


async def ping(engine: Engine) -> None:
    """Let every client know that its connection lives."""
    engine.local.hand_out(EVERYBODY, frame_of('{"type":"ping"}'))


async def check_positions(engine: Engine) -> None:
    """Compare what this process knows with the broker."""
    topics = [topic for topic in engine.topics.values() if topic.position is not None]
    for start in range(0, len(topics), AT_ONCE):
        part = topics[start : start + AT_ONCE]
        for topic, position in zip(
            part, await engine.broker.positions([one.name for one in part]), strict=True
        ):
            known = topic.position
            if known is not None and (
                known.epoch != position.epoch or known.offset < position.offset
            ):
                engine.catch_up(topic)


async def renew_leases(engine: Engine) -> None:
    """Keep the members of this process, and let those of dead ones go."""
    with_presence = {topic.name for topic in engine.topics.values() if topic.cls.presence}
    topics = sorted(with_presence.union(engine.attendance.topics))
    for start in range(0, len(topics), AT_ONCE):
        await engine.attendance.renew(topics[start : start + AT_ONCE])

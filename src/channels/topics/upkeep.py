"""What a process does for its topics from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

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

Chore = Callable[[Engine], Awaitable[None]]


async def keep_up(engine: Engine, *chores: tuple[float, Chore]) -> None:
    """Do what is due as long as there are connections or members.

    Args:
        engine: The topics of this process.
        *chores: More of them, each with the seconds between two times.
    """
    schedule = [
        (TICK, announce),
        (PING_INTERVAL, ping),
        (CHECK_INTERVAL, check_positions),
        (RENEWAL, renew_leases),
        *chores,
    ]
    started = time.monotonic()
    due = [started + interval for interval, _ in schedule]
    while engine.connections or engine.attendance.topics:
        for index, (interval, chore) in enumerate(schedule):
            now = time.monotonic()
            if now < due[index]:
                continue
            due[index] = now + interval
            try:
                await chore(engine)
            except LayerUnavailableError as error:
                logger.warning("The upkeep of topics is late: %s", error)
            except Exception:
                # Whatever is wrong with one, the others go on.
                logger.exception("The upkeep of topics failed")
        await asyncio.sleep(TICK)


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

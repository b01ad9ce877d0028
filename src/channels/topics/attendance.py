"""Presence of one process's connections: entered at once, left after a grace."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from channels.exceptions import LayerUnavailableError
from channels.history.broker import TopicBroker
from channels.topics.topic import Topic

logger: logging.Logger = logging.getLogger("django.channels.topics")

LEASE: Final = 15.0
"""Seconds after which the members of a process that has died are gone."""
RENEWAL: Final = 3.0
"""Seconds between two renewals; also how late another process may see that a lease has ended."""
RETRY: Final = 2.0
"""Seconds before a leave that the broker did not answer is tried again."""


class Place(NamedTuple):
    """One client of one member in one topic.

    Attributes:
        topic: The topic's name.
        connection: Stands for both. Clients choose their ids, so another member's client with the
            same id is another connection.
    """

    topic: str
    connection: str

    @classmethod
    def of(cls, topic: Topic, member: str) -> Place:
        """Return the place of a subscription."""
        both = f"{len(member)}:{member}{topic.connection}"
        return cls(topic.name, hashlib.sha256(both.encode()).hexdigest()[:32])


class Attendance:
    """Which clients of this process are in presence, and which are about to leave.

    A client whose connection was lost may come back within its topic's grace, and then has never
    been away. On another process it has entered there before it leaves here.

    Args:
        broker: Where presence is.
    """

    def __init__(self, broker: TopicBroker) -> None:
        self._broker = broker
        # The channels of a client in a topic: right after a break it may have two.
        self._entered: dict[Place, set[str]] = {}
        self._leaving: dict[Place, asyncio.TimerHandle] = {}
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def topics(self) -> list[str]:
        """Names of topics with members here, or with some that have yet to leave."""
        return list({*self._counts, *(place.topic for place in self._leaving)})

    async def enter(self, topic: Topic, channel: str, shown: str) -> Place:
        """Note that a connection is there, and return its place. Idempotent.

        Raises:
            LayerUnavailableError: The broker did not answer. It is not there, as far as is known.
        """
        member = topic.member()
        place = Place.of(topic, member)
        leaving = self._leaving.pop(place, None)
        if leaving is not None:
            leaving.cancel()
        is_first = not self._counts[topic.name]
        if place not in self._entered:
            self._entered[place] = set()
            self._counts[topic.name] += 1
        self._entered[place].add(channel)
        try:
            await self._broker.enter(topic.name, place.connection, member, shown=shown)
            if is_first:
                await self.renew([topic.name])
        except BaseException:
            # It may have entered all the same.
            self.leave(place, channel)
            raise
        return place

    async def renew(self, topics: Sequence[str]) -> None:
        """Keep the members of this process, and let those of dead ones go."""
        # It ends early enough for another process to see it in time.
        await self._broker.renew(topics, LEASE - RENEWAL)

    def leave(self, place: Place, channel: str, grace: float = 0.0) -> None:
        """Note that a connection has left; with ``grace`` it may come back in so many seconds."""
        channels = self._entered.get(place)
        if channels is None:
            return
        channels.discard(channel)
        if channels:
            return
        del self._entered[place]
        self._counts[place.topic] -= 1
        if not self._counts[place.topic]:
            del self._counts[place.topic]
        self._leave_in(grace, place)

    def _leave_in(self, seconds: float, place: Place) -> None:
        loop = asyncio.get_running_loop()
        self._leaving[place] = loop.call_later(seconds, self._begin_to_leave, place)

    def _begin_to_leave(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._leave(place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self, place: Place) -> None:
        if place in self._entered or self._leaving.pop(place, None) is None:
            return  # it came back
        try:
            await self._broker.leave(*place)
        except LayerUnavailableError as error:
            # This process's lease keeps it there until it has left.
            logger.warning("Cannot leave topic %s: %s; trying again.", place.topic, error)
            if place not in self._entered:
                self._leave_in(RETRY, place)

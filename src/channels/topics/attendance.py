"""Presence of one process's connections: entered at once, left after a grace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

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

Place = tuple[str, str]
"""A topic's name and a client's id."""


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
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def topics(self) -> list[str]:
        """Names of topics with members here."""
        return list({name for name, _ in (*self._entered, *self._leaving)})

    async def enter(self, topic: Topic, channel: str, shown: str) -> None:
        """Note that a connection is there. Idempotent.

        Raises:
            LayerUnavailableError: The broker did not answer.
        """
        place = (topic.name, topic.connection)
        leaving = self._leaving.pop(place, None)
        if leaving is not None:
            leaving.cancel()
        is_first = topic.name not in self.topics
        self._entered.setdefault(place, set()).add(channel)
        await self._broker.enter(topic.name, topic.connection, topic.member(), shown=shown)
        if is_first:
            await self.renew([topic.name])

    async def renew(self, topics: Sequence[str]) -> None:
        """Keep the members of this process, and let those of dead ones go."""
        # It ends early enough for another process to see it in time.
        await self._broker.renew(topics, LEASE - RENEWAL)

    def leave(self, topic: Topic, channel: str) -> None:
        """Note that a connection has left, for good."""
        place = (topic.name, topic.connection)
        if self._release(place, channel):
            self._leave_in(0.0, place)

    def lose(self, topic: Topic, channel: str) -> None:
        """Note that a connection was lost; it may come back."""
        place = (topic.name, topic.connection)
        if self._release(place, channel):
            self._leave_in(topic.presence_grace, place)

    def _release(self, place: Place, channel: str) -> bool:
        """Forget one of a client's connections; return whether it was the last."""
        channels = self._entered.get(place)
        if channels is None:
            return False
        channels.discard(channel)
        if channels:
            return False
        del self._entered[place]
        return True

    def _leave_in(self, seconds: float, place: Place) -> None:
        loop = asyncio.get_running_loop()
        self._leaving[place] = loop.call_later(seconds, self._begin_to_leave, place)

    def _begin_to_leave(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._leave(place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self, place: Place) -> None:
        leaving = self._leaving.get(place)
        try:
            await self._broker.leave(*place)
        except LayerUnavailableError as error:
            # This process's lease keeps it there until it has left.
            logger.warning("Cannot leave topic %s: %s; trying again.", place[0], error)
            if self._leaving.get(place) is leaving and place not in self._entered:
                self._leave_in(RETRY, place)
            return
        if self._leaving.get(place) is leaving:
            self._leaving.pop(place, None)

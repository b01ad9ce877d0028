"""Listening to one shard as a whole: which kind of topics it has, and whether they are heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from channels_redis._connection import RedisError, ResponseError
from channels_redis._link import Link
from channels_redis._subscriber import Kinds, Subscriber
from channels_redis.exceptions import RedisUnavailableError

BEAT: Final = 5.0
"""Seconds between two messages of a process to itself."""
DEAF: Final = 3 * BEAT
"""Seconds without one of these after which a connection that seems sound is given up."""


class Sharding:
    """Whether a cluster has topics that stay on the servers of their slot, as from Redis 7 on.

    Args:
        in_cluster: Whether the servers are a cluster.
        ask: Gives the connection that is asked, once.
    """

    def __init__(self, *, in_cluster: bool, ask: Callable[[], Link]) -> None:
        self.kind: str | None = None if in_cluster else Kinds.TOPIC
        self._ask = ask

    async def find_out(self) -> str:
        """Return the kind of subscription, and first part of the verbs, of the servers' topics."""
        if self.kind is None:
            try:
                answer = await self._ask().call("COMMAND", "INFO", "SPUBLISH")
                self.kind = Kinds.TOPIC if None in answer else Kinds.SHARDED
            except ResponseError:
                self.kind = Kinds.TOPIC
        return self.kind


async def confirmed(confirmation: asyncio.Future[None], budget: float) -> None:
    """Return when a subscription is confirmed, or was given up meanwhile.

    Raises:
        RedisUnavailableError: It is not within ``budget`` seconds.
    """
    if not confirmation.done():
        await asyncio.wait([confirmation], timeout=budget)
        if not confirmation.done():
            raise RedisUnavailableError(f"Redis did not confirm a subscription within {budget:g} s")


class Echo:
    """Sends a process messages of its own, and mends a connection that does not bring them.

    Args:
        subscriber: The connection that listens.
        link: The one that sends.
        topic: The topic, of this process alone.
        find_kind: Returns the kind of the topic.
        budget: Seconds within which Redis must confirm.
        logger: Where faults are said.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        link: Link,
        *,
        topic: str,
        find_kind: Callable[[], Awaitable[str]],
        budget: float,
        logger: logging.Logger,
    ) -> None:
        self._subscriber = subscriber
        self._link = link
        self._topic = topic
        self._find_kind = find_kind
        self._budget = budget
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._heard_at: float | None = None

    def heard(self) -> None:
        """Note that a message has come back."""
        self._heard_at = self._loop.time()

    async def run(self) -> Any:
        """Go on until cancelled."""
        while True:
            try:
                kind = await self._find_kind()
                await confirmed(self._subscriber.subscribe(kind, self._topic), self._budget)
                if self._heard_at is None:
                    self.heard()
                await self._link.call(f"{kind}PUBLISH", self._topic, b"", repeatable=False)
            except RedisError as error:
                self._logger.debug("No echo from Redis shard %s: %s", self._link.name, error)
            else:
                self._look()
            await asyncio.sleep(BEAT)

    def _look(self) -> None:
        if self._heard_at is not None and self._loop.time() - self._heard_at > DEAF:
            self.heard()
            self._subscriber.break_off(TimeoutError(f"nothing arrived for {DEAF:g} s"))

"""Listening to one shard as a whole: which kind of topics it has, and whether they are heard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

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
    """Return when a subscription is confirmed.

    Raises:
        RedisUnavailableError: It is not within ``budget`` seconds, or was given up meanwhile.
        RedisRefusedError: The server wants another password.
    """
    if not confirmation.done():
        await asyncio.wait([confirmation], timeout=budget)
    if not confirmation.done():
        raise RedisUnavailableError(f"Redis did not confirm a subscription within {budget:g} s")
    if confirmation.cancelled():
        raise RedisUnavailableError("the subscription was given up before it was confirmed")
    confirmation.result()


class Echo:
    """Messages of a process to itself, by which it knows that it hears.

    Args:
        topic: Theirs, of this process alone.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._loop = asyncio.get_running_loop()
        self._heard_at: float | None = None

    def heard(self, topic: bytes = b"", payload: bytes = b"") -> None:
        """Note that a message has come back, whatever it holds."""
        self._heard_at = self._loop.time()

    async def keep(
        self,
        subscriber: Subscriber,
        link: Link,
        *,
        sharding: Sharding,
        budget: float,
        logger: logging.Logger,
    ) -> None:
        """Send them until cancelled, and mend a subscriber that does not bring them.

        Args:
            subscriber: The connection that listens.
            link: The one that sends.
            sharding: Of the servers.
            budget: Seconds within which Redis must confirm.
            logger: Where faults are said.
        """
        while True:
            try:
                kind = await sharding.find_out()
                await confirmed(subscriber.subscribe(kind, self.topic, self.heard), budget)
                if self._heard_at is None:
                    self.heard()
                await link.call(f"{kind}PUBLISH", self.topic, b"", repeatable=False)
            except RedisError as error:
                logger.debug("No echo from Redis shard %s: %s", link.name, error)
            else:
                if self._heard_at is not None and self._loop.time() - self._heard_at > DEAF:
                    self.heard()
                    subscriber.break_off(TimeoutError(f"nothing arrived for {DEAF:g} s"))
            await asyncio.sleep(BEAT)

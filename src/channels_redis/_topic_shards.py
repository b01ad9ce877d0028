"""Connections of one broker of topics: to each shard one for calls and one that listens."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from channels_redis import _scripts
from channels_redis._connection import ResponseError, Shard
from channels_redis._health import ShardHealth
from channels_redis._hearing import Echo, Sharding, confirmed
from channels_redis._keys import Keys
from channels_redis._lifeline import close_all
from channels_redis._link import ASK_SERVER, Link
from channels_redis._scripts import Script
from channels_redis._subscriber import Arrived, Subscriber
from channels_redis._wire import Reply
from channels_redis.exceptions import RedisUnavailableError

GREETING: Final = (ASK_SERVER, *_scripts.LOAD_TOPICS)

ArrivedFrom = Callable[[int, str, bytes], "asyncio.Future[Any] | None"]
"""Takes a shard's index, a channel of Redis, and a payload. Nothing more is read until what it
returns is done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the shards of one broker have in common.

    Attributes:
        node: Id of the broker.
        budget: Seconds within which Redis must answer.
        logger: The layer's.
    """

    node: str
    budget: float
    logger: logging.Logger


class TopicShard:
    """One shard, on the running event loop. No connection is made before it is used.

    Args:
        shard: Where its server is.
        keys: The names there.
        options: Of the broker.
        arrived: Called with the channel and the payload of what is heard.
        restored: Called when, after a break, everything is listened to again.
        sharding: Of the servers.
    """

    def __init__(
        self,
        shard: Shard,
        keys: Keys,
        options: Options,
        *,
        arrived: Arrived,
        restored: Callable[[], None],
        sharding: Sharding,
    ) -> None:
        self.keys = keys
        self._shard = shard
        self._options = options
        self._arrived = arrived
        self._restored = restored
        self._sharding = sharding
        self._link: Link | None = None
        self._subscriber: Subscriber | None = None
        self._echo = Echo(keys.echo(options.node))
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def link(self) -> Link:
        """The connection for calls."""
        if self._link is None:
            self._require_open()
            options = self._options
            self._link = Link(
                self._shard.open,
                name=self.keys.tag,
                logger=options.logger,
                greeting=GREETING,
                budget=options.budget,
            )
        return self._link

    async def call(self, *command: Any, repeatable: bool = True) -> Reply:
        """Send a command and return its answer.

        Raises:
            RedisUnavailableError: No answer in time, or a refusal.
        """
        try:
            return await self.link.call(*command, repeatable=repeatable)
        except ResponseError as error:
            raise RedisUnavailableError(f"Redis refuses: {error}") from error

    async def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Reply:
        """Run a script, which may be repeated, and return its answer; see ``call``."""
        return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

    async def listen(self, channel: str) -> None:
        """Return when ``channel`` is listened to.

        Raises:
            RedisUnavailableError: Not in time.
        """
        kind = await self._sharding.find_out()
        self._require_open()
        confirmation = self._reader().subscribe(kind, channel, self._arrived)
        await confirmed(confirmation, self._options.budget)

    def unlisten(self, channel: str) -> None:
        """Listen to ``channel`` no more."""
        kind = self._sharding.kind
        if self._subscriber is not None and kind is not None:
            self._subscriber.unsubscribe(kind, channel)

    def health(self) -> list[ShardHealth]:
        """Describe the connections that were needed."""
        lines = (("calls", self._link), ("reading", self._subscriber))
        return [ShardHealth.of(role, line) for role, line in lines if line is not None]

    async def close(self) -> None:
        """Close the connections for good."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._shard.close()
        await close_all(line for line in (self._link, self._subscriber) if line is not None)

    def _reader(self) -> Subscriber:
        if self._subscriber is None:
            options = self._options
            self._subscriber = Subscriber(
                self._shard.open,
                name=self.keys.tag,
                logger=options.logger,
                restored=self._restored,
                broke=lambda: None,
            )
            keeping = self._echo.keep(
                self._subscriber,
                self.link,
                sharding=self._sharding,
                budget=options.budget,
                logger=options.logger,
            )
            self._task = asyncio.create_task(keeping)
        return self._subscriber

    def _require_open(self) -> None:
        if self._is_closed:
            raise RedisUnavailableError("the broker was closed")


class TopicShards:
    """All shards of one broker.

    Args:
        shards: Where each server is, with the names there.
        options: Of the broker.
        shard_of: Gives the index of the shard of a topic.
        arrived: Takes what is heard.
        restored: Called when, after a break, everything is listened to again.
    """

    def __init__(
        self,
        shards: Sequence[tuple[Shard, Keys]],
        options: Options,
        *,
        shard_of: Callable[[str], int],
        arrived: ArrivedFrom,
        restored: Callable[[], None],
    ) -> None:
        self.options = options
        self._shard_of = shard_of
        self._sharding = Sharding(
            in_cluster=shards[0][0].is_in_cluster, ask=lambda: self.all[0].link
        )

        def arrived_from(index: int) -> Arrived:
            return lambda channel, payload: arrived(index, channel.decode(), payload)

        self.all: list[TopicShard] = [
            TopicShard(
                shard,
                keys,
                options,
                arrived=arrived_from(index),
                restored=restored,
                sharding=self._sharding,
            )
            for index, (shard, keys) in enumerate(shards)
        ]

    def of(self, topic: str) -> TopicShard:
        """Return the shard of ``topic``."""
        return self.all[self._shard_of(topic)]

    def by_shard(self, topics: Sequence[str], most: int) -> list[tuple[TopicShard, list[str]]]:
        """Return ``topics`` by shard, at most so many together."""
        groups: dict[int, list[str]] = {}
        for topic in topics:
            groups.setdefault(self._shard_of(topic), []).append(topic)
        return [
            (self.all[index], group[start : start + most])
            for index, group in groups.items()
            for start in range(0, len(group), most)
        ]

    async def verb(self) -> str:
        """Return the command that publishes."""
        kind = self._sharding.kind
        return f"{await self._sharding.find_out() if kind is None else kind}PUBLISH"

    def health(self) -> list[ShardHealth]:
        """Describe every connection that was needed."""
        return [state for shard in self.all for state in shard.health()]

    async def close(self) -> None:
        """Close every connection for good."""
        for shard in self.all:
            await shard.close()

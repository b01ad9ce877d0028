"""What ``pubsub`` has on one event loop: a connection to each shard, and one that listens."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any, Final

from channels.layers.brokered import Registrations
from channels_redis._connection import RedisError, ResponseError, Shard
from channels_redis._health import ShardHealth
from channels_redis._lifeline import close_all
from channels_redis._link import Link
from channels_redis._subscriber import Arrived, Kinds, Subscriber
from channels_redis.exceptions import RedisUnavailableError

BEAT: Final = 5.0
"""Seconds between two messages of a process to itself."""
DEAF: Final = 3 * BEAT
"""Seconds without one of these after which a connection that seems sound is given up."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """What the connections need of their layer.

    Attributes:
        shards: Where its servers are.
        node: Id of this process.
        budget: Seconds within which Redis must answer.
        outer: The layer itself.
        shard_of: Gives the index of the shard that a topic is on.
        topic_of: Gives the topic of a group, without its hash tag.
        has_members: Whether a group has members in this process.
        arrived: Takes a shard's index, a topic without its hash tag, and a payload. Nothing more is
            read until what it returns is done.
        changed: Takes whether the connection to a shard is there again.
    """

    shards: list[Shard]
    node: str
    budget: float
    outer: Any
    shard_of: Callable[[str], int]
    topic_of: Callable[[str], str]
    has_members: Callable[[str], bool]
    arrived: Callable[[int, str, bytes], asyncio.Future[Any] | None]
    changed: Callable[[bool], None]


class Closable:
    """The connection of a subscriber, for whoever closes it from outside."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    async def aclose(self) -> None:
        """Break the connection; it is made again."""
        self._subscriber.break_off(ConnectionError("closed by the application"))

    close = aclose


class RedisSingleShardConnection(Subscriber):
    """Listens to the topics of one shard."""

    @property
    def _redis(self) -> Closable:
        return Closable(self)


class RedisPubSubLoopLayer:
    """Connections of one layer on the running event loop.

    Attributes:
        channel_layer: The layer.
        registrations: Groups whose topics are listened to.
    """

    def __init__(self, layer: Layer, logger: logging.Logger) -> None:
        self.channel_layer: Any = layer.outer
        self.registrations: Registrations = Registrations(
            layer.has_members, self._register, self._unregister
        )
        self._layer = layer
        self._logger = logger
        self._links = [
            Link(
                shard.open,
                name=shard.tag,
                logger=logger,
                budget=layer.budget,
            )
            for shard in layer.shards
        ]
        self._shards: list[RedisSingleShardConnection] = []
        self._beats: list[asyncio.Task[None]] = []
        self._heard: dict[int, float] = {}
        self._in_cluster = layer.shards[0].is_in_cluster
        # Whether groups have sharded topics; unknown before the first use of a cluster.
        self._is_sharded: bool | None = None if self._in_cluster else False

    def listen(self) -> None:
        """Listen from now on."""
        if self._shards:
            return
        for index, shard in enumerate(self._layer.shards):
            self._shards.append(
                RedisSingleShardConnection(
                    shard.open,
                    name=shard.tag,
                    logger=self._logger,
                    arrived=self._arrived_from(index),
                    restored=lambda: self._layer.changed(True),
                    broke=lambda: self._layer.changed(False),
                )
            )
            self._beats.append(asyncio.create_task(self._beat(index)))

    def health(self) -> list[ShardHealth]:
        """Describe every connection."""
        return [
            *(ShardHealth.of("calls", link) for link in self._links),
            *(ShardHealth.of("reading", shard) for shard in self._shards),
        ]

    async def close(self) -> None:
        """Close every connection."""
        for beat in self._beats:
            beat.cancel()
        await asyncio.gather(*self._beats, return_exceptions=True)
        for shard in self._layer.shards:
            await shard.close()
        await close_all([*self._links, *self._shards])

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[Any]:
        """Send to a channel. Never twice, so it fails if the connection breaks meanwhile."""
        link = self._links[self._layer.shard_of(topic)]
        return link.call("PUBLISH", topic, payload, repeatable=False)

    async def publish_to_group(self, topic: str, payload: bytes) -> None:
        """Send to a group's topic; likewise."""
        is_sharded = self._is_sharded
        if is_sharded is None:
            is_sharded = await self._find_out()
        index = self._layer.shard_of(topic)
        verb = "SPUBLISH" if is_sharded else "PUBLISH"
        await self._links[index].call(verb, self._tagged(index, topic), payload, repeatable=False)

    async def require_pattern(self, index: int, pattern: str) -> None:
        """Return when every channel of a shard whose name fits ``pattern`` is listened to."""
        await self._confirmed(self._shards[index].subscribe(Kinds.PATTERN, pattern))

    async def require_channel(self, channel: str) -> None:
        """Return when a channel that is read in many processes is listened to here."""
        shard = self._shards[self._layer.shard_of(channel)]
        await self._confirmed(shard.subscribe(Kinds.TOPIC, channel))

    def forget_channel(self, channel: str) -> None:
        """Listen to such a channel no more."""
        self._shards[self._layer.shard_of(channel)].unsubscribe(Kinds.TOPIC, channel)

    def _register(self, group: str) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._subscribe(group))

    async def _subscribe(self, group: str) -> None:
        kind = await self._group_kind()
        topic = self._layer.topic_of(group)
        index = self._layer.shard_of(topic)
        await self._confirmed(self._shards[index].subscribe(kind, self._tagged(index, topic)))

    def _unregister(self, group: str) -> None:
        topic = self._layer.topic_of(group)
        index = self._layer.shard_of(topic)
        kind = Kinds.SHARDED if self._is_sharded else Kinds.TOPIC
        self._shards[index].unsubscribe(kind, self._tagged(index, topic))

    async def _group_kind(self) -> str:
        is_sharded = self._is_sharded
        if is_sharded is None:
            is_sharded = await self._find_out()
        return Kinds.SHARDED if is_sharded else Kinds.TOPIC

    async def _find_out(self) -> bool:
        """Ask a cluster whether it has sharded topics, as from Redis 7 on."""
        try:
            self._is_sharded = None not in await self._links[0].call("COMMAND", "INFO", "SPUBLISH")
        except ResponseError:
            self._is_sharded = False
        return self._is_sharded

    async def _confirmed(self, confirmation: asyncio.Future[None]) -> None:
        if confirmation.done():
            return
        try:
            async with asyncio.timeout(self._layer.budget):
                await asyncio.shield(confirmation)
        except TimeoutError as error:
            raise RedisUnavailableError(
                f"Redis did not confirm a subscription within {self._layer.budget:g} s"
            ) from error

    def _tagged(self, index: int, topic: str) -> str:
        return f"{{{self._layer.shards[index].tag}}}{topic}" if self._in_cluster else topic

    def _beat_topic(self, index: int) -> str:
        return self._tagged(index, f"{self._layer.topic_of('beat')}.{self._layer.node}")

    def _arrived_from(self, index: int) -> Arrived:
        beat = self._beat_topic(index)
        tag = len(self._tagged(index, ""))
        loop = asyncio.get_running_loop()
        arrived = self._layer.arrived

        def take(topic: str, payload: bytes) -> asyncio.Future[Any] | None:
            if topic == beat:
                self._heard[index] = loop.time()
                return None
            return arrived(index, topic[tag:] if topic.startswith("{") else topic, payload)

        return take

    async def _beat(self, index: int) -> None:
        """Send this process messages of its own, and mend a connection that does not bring them."""
        topic, shard, link = self._beat_topic(index), self._shards[index], self._links[index]
        kind = Kinds.TOPIC
        loop = asyncio.get_running_loop()
        while True:
            try:
                kind = await self._group_kind()
                await self._confirmed(shard.subscribe(kind, topic))
                self._heard.setdefault(index, loop.time())
                await link.call(f"{kind}PUBLISH", topic, b"", repeatable=False)
            except RedisError as error:
                self._logger.debug("No beat through Redis shard %s: %s", index, error)
            else:
                if loop.time() - self._heard[index] > DEAF:
                    self._heard[index] = loop.time()
                    shard.break_off(TimeoutError(f"nothing arrived for {DEAF:g} s"))
            await asyncio.sleep(BEAT)

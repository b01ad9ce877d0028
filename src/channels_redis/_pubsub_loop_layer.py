"""What ``pubsub`` has on one event loop: a connection to each shard, and one that listens."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from channels.layers.brokered import Registrations
from channels_redis._connection import Shard
from channels_redis._health import ShardHealth
from channels_redis._hearing import Echo, Sharding, confirmed
from channels_redis._lifeline import close_all
from channels_redis._link import Link
from channels_redis._subscriber import Arrived, Kinds, Subscriber
from channels_redis._wire import Reply

PUBLISH: Final = {Kinds.TOPIC: "PUBLISH", Kinds.SHARDED: "SPUBLISH"}
"""Commands that send to a topic of each kind."""


class ArrivedForGroup(Protocol):
    """Hands a payload to the members of a group here."""

    def __call__(
        self, group: str, topic: bytes, payload: bytes, *, shard: int
    ) -> asyncio.Future[Any] | None:
        """Take it; nothing more is read from the shard until what this returns is done."""
        ...


class ArrivedForChannel(Protocol):
    """Hands a payload to a channel here."""

    def __call__(self, channel: bytes, payload: bytes, *, shard: int) -> None:
        """Take it."""
        ...


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
        arrived_for_group: Takes what a topic has brought.
        arrived_for_channel: Likewise, the topic being a channel.
        changed: Takes whether the connection to a shard is there again.
    """

    shards: list[Shard]
    node: str
    budget: float
    outer: Any
    shard_of: Callable[[str], int]
    topic_of: Callable[[str], str]
    has_members: Callable[[str], bool]
    arrived_for_group: ArrivedForGroup
    arrived_for_channel: ArrivedForChannel
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
        self._echoes: list[asyncio.Task[None]] = []
        self._in_cluster = layer.shards[0].is_in_cluster
        # Where the topics of groups are, for as many as may well be in use.
        self._place = functools.lru_cache(maxsize=4096)(self._place_of)
        self._sharding = Sharding(in_cluster=self._in_cluster, ask=lambda: self._links[0])

    def listen(self) -> None:
        """Listen from now on."""
        if self._shards:
            return
        for index, shard in enumerate(self._layer.shards):
            echo = Echo(self._tagged(index, f"{self._layer.topic_of('beat')}.{self._layer.node}"))
            subscriber = RedisSingleShardConnection(
                shard.open,
                name=shard.tag,
                logger=self._logger,
                restored=lambda: self._layer.changed(True),
                broke=lambda: self._layer.changed(False),
            )
            self._shards.append(subscriber)
            keeping = echo.keep(
                subscriber,
                self._links[index],
                sharding=self._sharding,
                budget=self._layer.budget,
                logger=self._logger,
            )
            self._echoes.append(asyncio.create_task(keeping))

    def health(self) -> list[ShardHealth]:
        """Describe every connection."""
        return [
            *(ShardHealth.of("calls", link) for link in self._links),
            *(ShardHealth.of("reading", shard) for shard in self._shards),
        ]

    async def close(self) -> None:
        """Close every connection."""
        for echo in self._echoes:
            echo.cancel()
        try:
            await asyncio.gather(*self._echoes, return_exceptions=True)
            await self.settle()
            for shard in self._layer.shards:
                await shard.close()
        finally:
            await close_all([*self._links, *self._shards])

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[Any]:
        """Send to a channel. Never twice, so it fails if the connection breaks meanwhile."""
        link = self._links[self._layer.shard_of(topic)]
        return link.call("PUBLISH", topic, payload, repeatable=False)

    def publish_to_group(self, group: str, payload: bytes) -> Awaitable[Any]:
        """Send to a group's topic; likewise."""
        kind = self._sharding.kind
        if kind is None:
            return self._find_out_and_publish(group, payload)
        index, topic = self._place(group)
        return self._links[index].call(PUBLISH[kind], topic, payload, repeatable=False)

    def post_to_group(
        self, group: str, payload: bytes, answered: Callable[[Reply | Exception], object]
    ) -> bool:
        """Send to a group's topic, and have ``answered`` take what comes of it.

        Returns:
            Whether that was done; see ``Link.post``. Not to one of several servers, where what is
            sent to another one next could overtake it.
        """
        kind = self._sharding.kind
        if kind is None or len(self._links) > 1:
            return False
        index, topic = self._place(group)
        return self._links[index].post(
            PUBLISH[kind], topic, payload, answered=answered, repeatable=False
        )

    async def settle(self) -> None:
        """Return when all that was posted is answered, or after a second."""
        for link in self._links:
            await link.settle()

    async def require_pattern(self, index: int, pattern: str) -> None:
        """Return when every channel of a shard whose name fits ``pattern`` is listened to."""
        await self._listen(index, Kinds.PATTERN, pattern)

    async def require_channel(self, channel: str) -> None:
        """Return when a channel that is read in many processes is listened to here."""
        await self._listen(self._layer.shard_of(channel), Kinds.TOPIC, channel)

    def forget_channel(self, channel: str) -> None:
        """Listen to such a channel no more."""
        self._unsubscribe(self._layer.shard_of(channel), Kinds.TOPIC, channel)

    async def _find_out_and_publish(self, group: str, payload: bytes) -> None:
        await self._sharding.find_out()
        await self.publish_to_group(group, payload)

    def _register(self, group: str) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._subscribe(group))

    async def _subscribe(self, group: str) -> None:
        kind = await self._sharding.find_out()
        index, topic = self._place(group)
        await self._listen(index, kind, topic, group=group)

    def _unregister(self, group: str) -> None:
        index, topic = self._place(group)
        self._unsubscribe(index, self._sharding.kind or Kinds.TOPIC, topic)

    def _unsubscribe(self, index: int, kind: str, topic: str) -> None:
        # Where the layer was closed, there may be connections again that only send.
        if self._shards:
            self._shards[index].unsubscribe(kind, topic)

    async def _listen(self, index: int, kind: str, topic: str, *, group: str | None = None) -> None:
        arrived: Arrived
        if group is None:
            arrived = functools.partial(self._layer.arrived_for_channel, shard=index)
        else:
            arrived = functools.partial(self._layer.arrived_for_group, group, shard=index)
        await confirmed(self._shards[index].subscribe(kind, topic, arrived), self._layer.budget)

    def _place_of(self, group: str) -> tuple[int, str]:
        """Return the index of the shard and the topic of ``group``."""
        topic = self._layer.topic_of(group)
        index = self._layer.shard_of(topic)
        return index, self._tagged(index, topic)

    def _tagged(self, index: int, topic: str) -> str:
        return f"{{{self._layer.shards[index].tag}}}{topic}" if self._in_cluster else topic

"""What ``core`` has on one event loop: a connection to each shard, and readers of the inboxes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from channels.layers.brokered import Registrations
from channels_redis._connection import RedisError, Shard
from channels_redis._health import ShardHealth
from channels_redis._keys import Keys
from channels_redis._lifeline import close_all
from channels_redis._node import BATCH, InboxReader, NodeOptions, ShardNode
from channels_redis._wire import Reply

LONGEST_BEAT: Final = 5.0
"""Most seconds between two signs of life of a process."""


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """What the connections need of their layer.

    Attributes:
        shards: Where its servers are, with the names on each.
        options: Of its nodes.
        shard_of: Gives the index of the shard that a group is on.
        groups: Gives the groups that have members in this process.
        has_members: Whether a group is one of them.
        arrived: Takes a shard's index, an envelope, and its age in seconds. Nothing more is read
            until what it returns is done.
        returned: Called when a shard was away.
    """

    shards: list[tuple[Shard, Keys]]
    options: NodeOptions
    shard_of: Callable[[str], int]
    groups: Callable[[], Iterable[str]]
    has_members: Callable[[str], bool]
    arrived: Callable[[int, bytes, float], asyncio.Future[Any] | None]
    returned: Callable[[], None]


class RedisLoopLayer:
    """Connections of one layer on the running event loop.

    Attributes:
        nodes: Calls to each shard.
        registrations: Groups in which Redis knows this process to be.
        bells: Readers of normal channels here that found nothing.
        rests: What posted messages are still to be put into: normal channels.
    """

    def __init__(self, layer: Layer, logger: logging.Logger) -> None:
        self._layer = layer
        self._logger = logger
        self.nodes: list[ShardNode] = [
            ShardNode(shard, keys, layer.options, logger=logger) for shard, keys in layer.shards
        ]
        self.registrations: Registrations = Registrations(
            layer.has_members,
            self._register,
            self._unregister,
            lifetime=layer.options.group_expiry / 3000,
        )
        self.bells: dict[str, set[asyncio.Event]] = {}
        self.readers: list[InboxReader] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._reached: set[int] = set()
        self.rests: set[asyncio.Future[Any]] = set()
        # How far each server's clock, in ms, is ahead of this loop's.
        self._ahead: dict[int, float] = {}

    def listen(self) -> None:
        """Read the inboxes from now on."""
        if self.readers:
            return
        for index, (shard, keys) in enumerate(self._layer.shards):
            returned = asyncio.Event()
            self.readers.append(
                InboxReader(
                    shard,
                    keys,
                    self._layer.options,
                    logger=self._logger,
                    arrived=self._arrived_from(index),
                    restored=functools.partial(self._restored, index, returned),
                )
            )
            self._keepers.append(asyncio.create_task(self._keep(index, returned)))

    def health(self) -> list[ShardHealth]:
        """Describe every connection."""
        return [
            *(ShardHealth.of("calls", node.link) for node in self.nodes),
            *(ShardHealth.of("reading", reader.link) for reader in self.readers),
        ]

    async def close(self) -> None:
        """Close every connection."""
        for keeper in self._keepers:
            keeper.cancel()
        for reader in self.readers:
            reader.stop()
        try:
            await asyncio.gather(*self._keepers, return_exceptions=True)
            await self.settle()
            for shard, _ in self._layer.shards:
                await shard.close()
        finally:
            links = [reader.link for reader in self.readers]
            await close_all([*links, *(node.link for node in self.nodes)])

    async def flush(self) -> None:
        """Delete every key of the layer; no group is registered any more."""
        self.registrations.forget()
        await asyncio.gather(*[node.flush() for node in self.nodes])

    def post_to_group(
        self, group: str, envelope: bytes, answered: Callable[[Reply | Exception], object]
    ) -> bool:
        """Put an envelope into the inboxes of a group's nodes; ``answered`` takes what comes of it.

        Returns:
            Whether that was done; see ``Link.post``. Not to one of several servers, where what is
            sent to another one next could overtake it.
        """
        return len(self.nodes) == 1 and self.nodes[0].post_to_group(group, envelope, answered)

    async def settle(self) -> None:
        """Return when all that was posted is answered, or after two seconds at most."""
        for node in self.nodes:
            await node.link.settle()
        if self.rests:
            # Only what was posted leaves any, to the one server.
            await self.nodes[0].link.wait_for(*self.rests)

    def ring(self, channel: str) -> None:
        """Have the readers of a normal channel look for messages."""
        for bell in self.bells.get(channel, ()):
            bell.set()

    @contextlib.contextmanager
    def bell_of(self, channel: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever ``channel`` may have messages."""
        bell = asyncio.Event()
        bells = self.bells.setdefault(channel, set())
        bells.add(bell)
        try:
            yield bell
        finally:
            bells.discard(bell)
            if not bells and self.bells.get(channel) is bells:
                del self.bells[channel]

    def _register(self, group: str) -> asyncio.Future[Any]:
        return self.nodes[self._layer.shard_of(group)].join([group])

    def _unregister(self, group: str) -> None:
        let_go(self.nodes[self._layer.shard_of(group)].leave(group))

    def _arrived_from(self, index: int) -> Callable[[bytes, int], asyncio.Future[Any] | None]:
        loop = asyncio.get_running_loop()
        arrived = self._layer.arrived

        def take(envelope: bytes, sent: int) -> asyncio.Future[Any] | None:
            ahead = self._ahead.get(index)
            age = 0.0 if ahead is None else max(loop.time() + (ahead - sent) / 1000, 0.0)
            return arrived(index, envelope, age)

        return take

    def _restored(self, index: int, returned: asyncio.Event) -> None:
        if index in self._reached:
            self._layer.returned()
        self._reached.add(index)
        returned.set()

    async def _keep(self, index: int, returned: asyncio.Event) -> None:
        """Keep this process known to a shard, and all its memberships once it was away."""
        options = self._layer.options
        interval = min(options.expiry / 3000, options.group_expiry / 3000, LONGEST_BEAT)
        registered_at = 0.0
        node = self.nodes[index]
        loop = asyncio.get_running_loop()
        while True:
            try:
                if returned.is_set() or loop.time() - registered_at > options.group_expiry / 3000:
                    returned.clear()
                    registered_at = loop.time()
                    await self._register_all(index)
                known, server = await node.beat()
                self._ahead[index] = server - loop.time() * 1000
                if not known:
                    returned.set()
            except RedisError as error:
                self._logger.warning("No sign of life to Redis shard %s: %s", index, error)
                returned.set()
                await asyncio.sleep(1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await returned.wait()

    async def _register_all(self, index: int) -> None:
        groups = [
            group for group in tuple(self._layer.groups()) if self._layer.shard_of(group) == index
        ]
        for start in range(0, len(groups), BATCH):
            await self.nodes[index].join(groups[start : start + BATCH])
        # A bell may have been lost with the connection.
        for channel in tuple(self.bells):
            self.ring(channel)


def let_go(answer: asyncio.Future[Any]) -> None:
    """Wait for nobody; a failure is mended by a later look."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())

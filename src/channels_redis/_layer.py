"""What both Redis layers are: shards, a serializer, connections on one event loop of a process."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from channels import telemetry
from channels.history.broker import Listener
from channels.layers.brokered import BrokeredChannelLayer, Registrations
from channels.layers.inbox import Inbox
from channels.stepping import is_stepping
from channels.typing import Message
from channels_redis._connection import Client, Pool, Shard, client_of, shards
from channels_redis._health import ShardHealth
from channels_redis._homes import Homes, Resident
from channels_redis._keys import Keys
from channels_redis._sealing import Seal
from channels_redis.serializers import Key
from channels_redis.topics import RedisTopicBroker
from channels_redis.utils import _consistent_hash, create_pool, decode_hosts, require_hosts


class Residence(Resident, Protocol):
    """A layer's connections on one event loop."""

    registrations: Registrations

    def listen(self) -> None:
        """Read what comes for this process, from now on."""
        ...

    async def settle(self) -> None:
        """Return when all that was posted is answered, or after a second."""
        ...

    def health(self) -> list[ShardHealth]:
        """Describe every connection."""
        ...


R = TypeVar("R", bound=Residence)


class RedisLayer(BrokeredChannelLayer, Generic[R]):
    """The common part of ``RedisChannelLayer`` and ``RedisPubSubChannelLayer``.

    Args:
        logger: Of the layer.
        hosts: See ``utils.decode_hosts``; more than one means sharding. A Redis Cluster is one
            entry ``{"cluster": [(host, port), ...], "parts": 4, ...}``.
        prefix: Of all names in Redis.
        serializer: Has ``serialize`` and ``deserialize``.
        timeout: Seconds within which Redis must answer a call, connecting again included.
        encryption_keys: Encrypt what topics keep with the first, decrypt with any.
        **options: See ``BrokeredChannelLayer``.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        hosts: Any,
        prefix: str,
        serializer: Any,
        timeout: float,
        encryption_keys: Sequence[Key] | None,
        **options: Any,
    ) -> None:
        if not isinstance(prefix, str):
            raise AssertionError(f"prefix must be a string, not {prefix!r}")
        super().__init__(logger, **options)
        self.hosts: list[dict[str, Any]] = decode_hosts(hosts)
        # A subclass may make pools of what only it understands.
        if type(self).create_pool is RedisLayer.create_pool:
            require_hosts(self.hosts)
        self.prefix = prefix
        self.timeout = timeout
        self._serializer = serializer
        self._seal = Seal(encryption_keys)
        self._brokers: set[RedisTopicBroker] = set()
        self._servers: list[Shard] = shards(self.hosts, lambda index: self.create_pool(index))
        self.ring_size: int = len(self._servers)
        self._take_identity()
        self._homes: Homes[R] = Homes(self._new_residence, self._find_home, self._begin_again)

    def create_pool(self, index: int) -> Pool:
        """Return a pool of redis-py that knows the server ``index`` of ``hosts``; to be overridden.

        The layer asks for one whenever it connects, and takes its class and options.
        """
        return create_pool(self.hosts[index])

    def serialize(self, message: Message) -> bytes:
        """Return the bytes of a message.

        Raises:
            TypeError: It holds what the serializer cannot take.
        """
        payload: bytes = self._serializer.serialize(message)
        return payload

    def deserialize(self, message: bytes) -> Message:
        """Return the message of these bytes."""
        found: Message = self._serializer.deserialize(message)
        return found

    def topic_broker(self, listener: Listener) -> RedisTopicBroker:
        """Return a new broker of topics for the running event loop. No I/O.

        It is closed with the loop, or by ``close_pools``. A child process needs one of its own.
        """
        # Of its own, so that nothing that ends with it is of use to the layer.
        servers = shards(self.hosts, lambda index: self.create_pool(index))
        broker = RedisTopicBroker(
            [(shard, Keys(self.prefix, shard.tag, shard.database)) for shard in servers],
            shard_of=self.consistent_hash,
            listener=listener,
            seal=self._seal,
            budget=self.timeout,
            logger=self._logger,
            left=self._brokers.discard,
        )
        self._brokers.add(broker)
        return broker

    @property
    def _layers(self) -> dict[asyncio.AbstractEventLoop, R]:
        """The connections, by event loop, of the loops that have some."""
        return {home.loop: home.resident for home in self._homes.homes if not home.is_shared}

    def connection(self, index: int) -> Client:
        """Return a client of redis-py for the server ``index``; whoever asks for it closes it.

        Raises:
            RuntimeError: There is no running event loop.
            ValueError: There is no such server.
        """
        asyncio.get_running_loop()
        if not 0 <= index < len(self.hosts):
            raise ValueError(f"there are {len(self.hosts)} hosts, none has the index {index!r}")
        return client_of(self.create_pool(index))

    def consistent_hash(self, value: str | bytes) -> int:
        """Return the index of the shard for ``value``."""
        return _consistent_hash(value, self.ring_size)

    async def close_pools(self) -> None:
        """Close every connection; the next call makes new ones.

        Brokers of topics on this event loop are closed for good.
        """
        await self._homes.close()
        here = asyncio.get_running_loop()
        for broker in [each for each in self._brokers if each.loop is here]:
            await broker.close()

    def health(self) -> list[ShardHealth]:
        """Describe every connection of this process, for health checks. No I/O; in any thread."""
        homes = [state for home in self._homes.homes for state in home.resident.health()]
        return [*homes, *(state for broker in tuple(self._brokers) for state in broker.health())]

    @abstractmethod
    def _new_residence(self) -> R:
        """Make the connections on the running loop, without I/O."""

    @abstractmethod
    def _take_identity(self) -> None:
        """Be a process of its own, at the start and in a child after a fork."""

    @abstractmethod
    def _is_local(self, channel: str) -> bool:
        """Return whether ``channel`` was made by this process."""

    def _listen(self) -> None:
        home = self._homes.settle()
        if home.loop is asyncio.get_running_loop():
            home.resident.listen()

    def _connections_in_handler(self) -> R | None:
        """Return the connections, within a handler that need not wait for what it sends.

        The handler of a consumer on the layer's event loop; that goes on, unlike others.
        """
        return self._homes.at_home() if is_stepping() else None

    async def _settle_posted(self) -> None:
        """Return when what handlers here have sent to groups has arrived, or is not expected to.

        Whoever joins or leaves a group next does so after that.
        """
        if (here := self._homes.at_home()) is not None:
            await here.settle()

    def _not_sent(self, group: str, error: BaseException) -> None:
        """Count a message whose sender has gone on."""
        self._logger.error("A message to group %s may not have been sent: %s", group, error)
        telemetry.emit(telemetry.MessageDropped(group, "failed"))

    def _find_home(self) -> None:
        """Listen on the loop of another consumer, now that the home has ended."""
        ended = asyncio.get_running_loop()
        for box in tuple(self._hub.channels.values()):
            if isinstance(box, Inbox) and box.loop is not ended and not box.loop.is_closed():
                box.loop.call_soon_threadsafe(self._listen)
                return

    def _settle(self, take: Callable[[], set[str]]) -> None:
        if not self._homes.call_soon(lambda here: here.registrations.settle(take())):
            # Connections that are yet to be made have registered nothing.
            take()

    def _begin_again(self) -> None:
        """Forget, in a child process, what its parent served."""
        self._start_hub()
        self._brokers = set()
        self._take_identity()

    async def _join(self, group: str, channel: str) -> None:
        if isinstance(self._hub.channels.get(channel), Inbox):
            self._listen()  # again, should the connections have been closed meanwhile
        await self._settle_posted()
        was_member = channel in self._hub.membership.groups[group]
        self._hub.join(group, channel)
        try:
            await self._homes.run(lambda here: here.registrations.require(group))
        except BaseException:
            if not was_member:
                self._hub.leave(group, channel)
            raise

    def _read_payload(self, shard: int, payload: bytes) -> Message | None:
        try:
            message: object = self.deserialize(payload)
        except Exception as error:
            # Whatever a serializer raises: a wrong key, an expired token, foreign bytes.
            self._reject(shard, "payload", error)
            return None
        if isinstance(message, dict):
            return message
        what = f"expected a dict, got {type(message).__name__}"
        self._reject(shard, "payload", ValueError(what))
        return None

    def _reject(self, shard: int, reason: str, error: Exception) -> None:
        self._logger.error("Skipped what came from Redis shard %s: %s (%r)", shard, reason, error)
        telemetry.emit(telemetry.MessageRejected(str(shard), reason))

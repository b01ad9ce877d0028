"""A channel layer over Redis that queues: what was sent waits until it is read or expires.

Each process has one inbox in Redis on each shard, and each group is the set of processes that have
members. So sending to a group costs one call whatever the number of members, joining and leaving
cost one for the first and the last member of a process, and messages outlive a broken connection
between a process and Redis for up to ``expiry`` seconds. A normal channel is a list that workers
take from.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from channels import telemetry
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from channels.layers.inbox import Inbox
from channels.typing import Message
from channels_redis import _envelope
from channels_redis._envelope import Kind
from channels_redis._keys import Keys
from channels_redis._layer import RedisLayer
from channels_redis._loop_layer import Layer, RedisLoopLayer, let_go
from channels_redis._node import NodeOptions
from channels_redis._queues import Queues
from channels_redis._upstream_names import BoundedQueue, ChannelLock, UpstreamNames
from channels_redis._wire import Reply
from channels_redis.serializers import registry
from channels_redis.utils import _consistent_hash, create_pool, decode_hosts

# Some are here because projects import them from this module.
__all__ = [
    "BaseChannelLayer",
    "BoundedQueue",
    "ChannelFull",
    "ChannelLock",
    "RedisChannelLayer",
    "RedisLoopLayer",
    "_consistent_hash",
    "create_pool",
    "decode_hosts",
]

logger: logging.Logger = logging.getLogger("channels_redis.core")


class RedisChannelLayer(UpstreamNames, RedisLayer[RedisLoopLayer]):
    """Messages and groups over one or more Redis or Valkey servers, with queues.

    Delivery is at most once and in order for one sender and one group or channel on one shard. A
    message is lost only with the server's data, when it expires, or when a bound is reached,
    which is raised or counted.

    Args:
        hosts: See ``utils.decode_hosts``; more than one means sharding. A Redis Cluster is one
            entry ``{"cluster": [(host, port), ...], "parts": 4, ...}``.
        prefix: Of all keys, so that several sites may share a server.
        expiry: Seconds after which an unread message is dropped, and for which a process that is
            cut off keeps its inbox and its memberships.
        group_expiry: Seconds after which a membership ends that no running consumer holds.
        capacity: Most unread messages in one channel.
        channel_capacity: Capacities by channel name; see ``BaseChannelLayer``.
        symmetric_encryption_keys: Encrypt messages with the first, decrypt with any.
        random_prefix_length: Random bytes before each serialized message.
        serializer_format: ``"msgpack"``, ``"json"``, or one registered in ``serializers``.
        timeout: Seconds within which Redis must answer a call, connecting again included.
        inbox_capacity: Most envelopes that wait for one process on one shard.

    Attributes:
        client_prefix: Id of this process in channel names.
    """

    def __init__(
        self,
        hosts: Any = None,
        prefix: str = "asgi",
        expiry: int = 60,
        group_expiry: int = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        symmetric_encryption_keys: Sequence[str | bytes] | None = None,
        random_prefix_length: int = 12,
        serializer_format: str = "msgpack",
        *,
        timeout: float = 10.0,
        inbox_capacity: int = 10_000,
    ) -> None:
        self._inbox_capacity = inbox_capacity
        super().__init__(
            logger,
            hosts=hosts,
            prefix=prefix,
            serializer=registry.get_serializer(
                serializer_format,
                symmetric_encryption_keys=symmetric_encryption_keys,
                random_prefix_length=random_prefix_length,
                expiry=expiry,
            ),
            timeout=timeout,
            encryption_keys=symmetric_encryption_keys,
            expiry=expiry,
            group_expiry=group_expiry,
            capacity=capacity,
            channel_capacity=channel_capacity,
        )

        self._queues = Queues(self.shard_of, self.get_capacity, read=self._read, logger=logger)

    # What a layer does

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a new name, ``{prefix}.{client_prefix}!{32 hex digits}``. No I/O."""
        return f"{prefix}.{self.client_prefix}!{uuid.uuid4().hex}"

    async def send(self, channel: str, message: Message) -> None:
        """Queue ``message``. One round trip.

        To a normal channel it goes behind what handlers here have sent without waiting.

        What a specific channel of another process has no room for is dropped there, counted.

        Raises:
            AssertionError: ``message`` is not a dict, or has a key ``__asgi_channel__``.
            InvalidNameError: ``channel`` is no channel name. Nothing was sent.
            TypeError: The message cannot be serialized. Nothing was sent.
            ChannelFull: The channel, or the inbox of its process, is at capacity. Nothing was
                sent.
            RedisUnavailableError: Redis did not answer in time. It may have been sent.
        """
        self._require_message(message)
        self.require_valid_channel_name(channel)
        payload = self.serialize(message)
        if "!" not in channel:
            await self._settle_posted()
            is_sent = await self._put(channel, payload)
        elif self._is_local(channel) and not self._hub.has_room(
            channel, self._on_the_way.get(channel, 0) + 1
        ):
            is_sent = 0
        else:
            is_sent = await self._send_to_node(channel, payload)
        if not is_sent:
            raise ChannelFull(channel, self.get_capacity(channel))

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel`` to a consumer on the running event loop. No I/O."""
        # Here again, beside the ``receive`` that it stands for: whoever overrides that is asked.
        return super().attach(channel, wake)

    async def receive(self, channel: str) -> Message:
        """Wait for the next message of ``channel`` and take it. A fault of Redis does not end it.

        Cancelling it takes nothing on the loop that the layer lives on, and at most one message
        of a normal channel on another one.

        Raises:
            AssertionError: It is a specific channel of another process.
            InvalidNameError: ``channel`` is no channel name.
        """
        self.require_valid_channel_name(channel)
        if "!" not in channel:
            self._listen()
            return await self._homes.run(lambda here: self._queues.get(here, channel))
        if not self._is_local(channel):
            raise AssertionError(
                f"channel {channel!r} is of another process; expected one of {self.client_prefix}"
            )
        self._listen()
        return await self._hub.receive(channel)

    async def receive_single(self, channel: str) -> tuple[str, Message]:
        """Return ``channel`` and its next message."""
        return channel, await self.receive(channel)

    async def group_add(self, group: str, channel: str) -> None:
        """Put ``channel`` into ``group``. One round trip for the first member of a process.

        Raises:
            InvalidNameError: A name breaks the grammar. Nothing was joined.
            ChannelFull: The process of ``channel`` does not read its inbox. Nothing was joined.
            RedisUnavailableError: Redis did not answer in time. It may have been joined.
        """
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        shard = self.shard_of(group)
        if self._is_local(channel):
            await self._join(group, channel)
        elif "!" not in channel:
            await self._homes.run(lambda here: here.nodes[shard].join_channel(group, channel))
        else:
            envelope = _envelope.pack(Kind.JOIN, group, channel.encode())
            node = _node_of(channel)
            if not await self._homes.run(
                lambda here: here.nodes[shard].join_other(group, node, envelope)
            ):
                raise ChannelFull(channel, self._inbox_capacity)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``. One round trip for a channel of another process.

        One of this process leaves once Redis has answered what handlers here have sent without
        waiting, or after two seconds; mostly at once.

        Raises:
            InvalidNameError: A name breaks the grammar.
            ChannelFull: The process of ``channel`` does not read its inbox. Nothing was left.
            RedisUnavailableError: Redis did not answer in time.
        """
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        shard = self.shard_of(group)
        if self._is_local(channel):
            await self._settle_posted()
            self._hub.leave(group, channel)
        elif "!" not in channel:
            await self._homes.run(lambda here: here.nodes[shard].leave(group, channel))
        else:
            envelope = _envelope.pack(Kind.LEAVE, group, channel.encode())
            node = _node_of(channel)
            if not await self._homes.run(lambda here: here.nodes[shard].send(node, envelope)):
                raise ChannelFull(channel, self._inbox_capacity)

    async def group_send(self, group: str, message: Message) -> None:
        """Send ``message`` to every channel that is in ``group`` now. One round trip.

        It is serialized once and put once into the inbox of each process that has members. A
        process or a channel over its capacity misses it; that is counted and logged. A consumer's
        handler does not wait for Redis, where there is one server and it has few calls to answer;
        a failure is then logged and counted.

        Raises:
            AssertionError: ``message`` is not a dict, or has a key ``__asgi_channel__``.
            InvalidNameError: ``group`` is no group name. Nothing was sent.
            TypeError: The message cannot be serialized. Nothing was sent.
            ValueError: It is a broadcast without a payload, or with two. Nothing was sent.
            RedisUnavailableError: Redis did not answer in time. It may have been sent.
        """
        self._require_message(message)
        if type(group) is not str or group not in self._hub.membership.groups:
            self.require_valid_group_name(group)
        payload = self.serialize(message)
        envelope = _envelope.pack(Kind.GROUP, group, payload)
        here = self._connections_in_handler()
        answered = functools.partial(self._posted, group, payload)
        if here is None or not here.post_to_group(group, envelope, answered):
            shard = self.shard_of(group)
            answer = await self._homes.run(
                lambda here: here.nodes[shard].group_send(group, envelope)
            )
            await self._sent(group, payload, answer)

    async def flush(self) -> None:
        """Delete every message and every group of this prefix, on all shards."""
        self._hub.flush()
        await self._homes.run(lambda here: here.flush())

    async def wait_received(self) -> None:
        """Do nothing: nothing is left to do in the background after a receive."""

    # Its connections

    def _group_key(self, group: str) -> bytes:
        """Return the key of the set of processes that are in ``group``."""
        return Keys(self.prefix, self._servers[self.shard_of(group)].tag).group(group).encode()

    def shard_of(self, name: str) -> int:
        """Return the index of the shard that a group or channel is on."""
        return self.consistent_hash(self.non_local_name(name))

    def _new_residence(self) -> RedisLoopLayer:
        layer = Layer(
            shards=[(shard, Keys(self.prefix, shard.tag)) for shard in self._servers],
            options=self._options,
            shard_of=self.shard_of,
            groups=lambda: self._hub.membership.groups,
            has_members=self._has_members,
            arrived=self._arrived,
            # What was on the way may have been lost with the connection.
            returned=self._on_the_way.clear,
        )
        return RedisLoopLayer(layer, logger)

    def _take_identity(self) -> None:
        self.client_prefix: str = uuid.uuid4().hex
        self._on_the_way: dict[str, int] = {}
        self._options = NodeOptions(
            self.client_prefix,
            expiry=self.expiry,
            group_expiry=self.group_expiry,
            inbox_capacity=self._inbox_capacity,
            budget=self.timeout,
        )

    def _is_local(self, channel: str) -> bool:
        return channel.partition("!")[0].endswith(self.client_prefix)

    async def _send_to_node(self, channel: str, payload: bytes) -> int:
        envelope = _envelope.pack(Kind.CHANNEL, channel, payload)
        shard, node = self.shard_of(channel), _node_of(channel)
        # What this process has sent to itself counts before it has arrived.
        if node == self.client_prefix:
            self._on_the_way[channel] = self._on_the_way.get(channel, 0) + 1
        is_sent = 0
        try:
            is_sent = await self._homes.run(lambda here: here.nodes[shard].send(node, envelope))
        finally:
            if not is_sent:
                self._has_landed(channel)
        return is_sent

    def _has_landed(self, channel: str) -> None:
        if channel in self._on_the_way:
            self._on_the_way[channel] -= 1
            if self._on_the_way[channel] <= 0:
                self._on_the_way.pop(channel, None)

    async def _put(self, channel: str, payload: bytes) -> int:
        return await self._homes.run(lambda here: self._queues.put(here, channel, payload))

    def _posted(self, group: str, payload: bytes, answer: Reply | Exception) -> None:
        if isinstance(answer, Exception):
            self._not_sent(group, answer)
        elif answer[1:] != [0]:
            here = self._homes.settle().resident
            puts = [self._queues.put(here, each.decode(), payload) for each in answer[2:]]
            # No task: that would be cancelled at the end of the loop, before the connections close.
            rest = asyncio.gather(*puts, return_exceptions=True)
            here.rests.add(rest)
            rest.add_done_callback(functools.partial(self._rest_sent, here, group, answer=answer))

    def _rest_sent(
        self, here: RedisLoopLayer, group: str, rest: asyncio.Future[Any], *, answer: Reply
    ) -> None:
        here.rests.discard(rest)
        full = answer[1]
        for is_in in rest.result():
            if isinstance(is_in, BaseException):
                self._not_sent(group, is_in)
            else:
                full += not is_in
        self._count_full(group, full, answer)

    async def _sent(self, group: str, payload: bytes, answer: Reply) -> None:
        """Count the nodes that had no room, and serve the normal channels that are members."""
        full = answer[1]
        for channel in answer[2:]:
            full += not await self._put(channel.decode(), payload)
        self._count_full(group, full, answer)

    def _count_full(self, group: str, full: int, answer: Reply) -> None:
        reached, _, *channels = answer
        if full:
            over = "%s of %s channels over capacity in group %s"
            logger.info(over, full, reached + full + len(channels), group)
            telemetry.emit(telemetry.MessageDropped(group, "full", full))

    # What arrives

    def _arrived(self, shard: int, data: bytes, age: float) -> asyncio.Future[Any] | None:
        try:
            return self._handle(shard, _envelope.unpack(data), age)
        except _envelope.EnvelopeError as error:
            self._reject(shard, error.reason, error)
        except Exception as error:
            # Whatever a message does, the reader lives.
            self._reject(shard, "handling", error)
        return None

    def _handle(
        self, shard: int, envelope: _envelope.Envelope, age: float
    ) -> asyncio.Future[Any] | None:
        match envelope.kind:
            case Kind.GROUP:
                return self._group_message(shard, envelope, age)
            case Kind.CHANNEL:
                self._has_landed(envelope.name)
                message = self._read_payload(shard, envelope.payload)
                if message is not None:
                    self._arrived_for_channel(envelope.name, message, age)
            case Kind.JOIN:
                self._hub.join(envelope.name, envelope.payload.decode())
            case Kind.LEAVE:
                self._hub.leave(envelope.name, envelope.payload.decode())
            case Kind.BELL:
                self._homes.settle().resident.ring(envelope.name)
        return None

    def _group_message(
        self, shard: int, envelope: _envelope.Envelope, age: float
    ) -> asyncio.Future[Any] | None:
        if not self._has_members(envelope.name):
            # A leave that never reached Redis.
            here = self._homes.settle().resident
            if not here.registrations.is_registered(envelope.name):
                let_go(here.nodes[shard].leave(envelope.name))
            return None
        message = self._read_payload(shard, envelope.payload)
        if message is None:
            return None
        return self._arrived_for_group(envelope.name, message, age)

    def _read(self, shard: int, data: bytes) -> Message | None:
        try:
            payload = _envelope.unpack(data).payload
        except _envelope.EnvelopeError as error:
            self._reject(shard, error.reason, error)
            return None
        return self._read_payload(shard, payload)


def _node_of(channel: str) -> str:
    """Return the id of the process that a specific channel belongs to."""
    return channel.partition("!")[0].rpartition(".")[2]

"""A channel layer over Redis that publishes: what nobody listens to at the moment is lost.

A message costs one ``PUBLISH``. A process listens to one pattern for all its channels and to one
topic for each group that has members in it, and fans out what arrives to its consumers. What is
published while a process is cut off from Redis, it misses; ``on_disconnect`` and ``on_reconnect``
tell its consumers so.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from channels.layers.inbox import Inbox
from channels.typing import Message
from channels_redis._keys import escape
from channels_redis._layer import RedisLayer
from channels_redis._pubsub_loop_layer import (
    Layer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from channels_redis._wire import Reply
from channels_redis.serializers import registry
from channels_redis.utils import _consistent_hash, create_pool, decode_hosts

# The helpers are here because projects import them from this module.
__all__ = [
    "RedisPubSubChannelLayer",
    "RedisPubSubLoopLayer",
    "RedisSingleShardConnection",
    "_consistent_hash",
    "create_pool",
    "decode_hosts",
]

logger: logging.Logger = logging.getLogger("channels_redis.pubsub")


class RedisPubSubChannelLayer(RedisLayer[RedisPubSubLoopLayer]):
    """Messages and groups over one or more Redis or Valkey servers, by publish and subscribe.

    Delivery is at most once and in order for one sender and one group or channel.

    Args:
        hosts: See ``utils.decode_hosts``; more than one means sharding. A Redis Cluster is one
            entry ``{"cluster": [(host, port), ...], "parts": 4, ...}``.
        prefix: Of all topics, so that several sites may share a server.
        on_disconnect: Type of a message that every channel of this process gets when the
            connection to a shard breaks: what is sent from then on may be missed.
        on_reconnect: Likewise when all topics of the shard are listened to again.
        channel_layer: Ignored; upstream passes the layer to its inner object here.
        symmetric_encryption_keys: Encrypt messages with the first, decrypt with any.
        serializer_format: ``"msgpack"``, ``"json"``, or one registered in ``serializers``.
        expiry: Seconds after which a message is dropped that has arrived here unread.
        group_expiry: Seconds after which a membership ends that no running consumer holds.
        capacity: Most unread messages in one channel; the newest is dropped, counted.
        channel_capacity: Capacities by channel name; see ``BaseChannelLayer``.
        timeout: Seconds within which Redis must answer a call, connecting again included.
        **ignored: Options of other layers, so that a site may switch between them.
    """

    def __init__(
        self,
        hosts: Any = None,
        prefix: str = "asgi",
        on_disconnect: str | None = None,
        on_reconnect: str | None = None,
        channel_layer: Any = None,
        *,
        symmetric_encryption_keys: Sequence[str | bytes] | None = None,
        serializer_format: str = "msgpack",
        expiry: int = 60,
        group_expiry: int = 86400,
        capacity: int = 1000,
        channel_capacity: Mapping[Any, int] | None = None,
        timeout: float = 10.0,
        **ignored: Any,
    ) -> None:
        self.on_disconnect = on_disconnect
        self.on_reconnect = on_reconnect
        super().__init__(
            logger,
            hosts=hosts,
            prefix=prefix,
            serializer=registry.get_serializer(
                serializer_format, symmetric_encryption_keys=symmetric_encryption_keys
            ),
            timeout=timeout,
            encryption_keys=symmetric_encryption_keys,
            expiry=expiry,
            group_expiry=group_expiry,
            capacity=capacity,
            channel_capacity=channel_capacity,
        )

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a new name, ``{prefix of the layer}{prefix}{32 hex digits}``.

        One round trip for the first of a prefix in a process.

        Raises:
            RedisUnavailableError: Redis did not answer in time.
        """
        start = f"{self.prefix}{prefix}{self._node}"
        shard = self.consistent_hash(start)
        self._listen()
        await self._homes.run(lambda here: here.require_pattern(shard, f"{escape(start)}*"))
        # All of them on one shard, where the pattern is listened to.
        while self.consistent_hash(name := f"{start}{uuid.uuid4().hex[:16]}") != shard:
            pass
        return name

    async def send(self, channel: str, message: Message) -> None:
        """Publish ``message`` for whoever reads ``channel`` now. One round trip.

        Raises:
            AssertionError: ``message`` is not a dict. Nothing was sent.
            TypeError: The message cannot be serialized, or ``channel`` is no ``str``. Nothing was
                sent.
            RedisUnavailableError: Redis did not answer in time. It may have been sent.
            UnicodeEncodeError: ``channel`` is no text. Nothing was sent.
        """
        self._require_message(message)
        payload = self.serialize(message)
        await self._homes.run(lambda here: here.publish(channel, payload))

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel`` to a consumer on the running event loop. No I/O."""
        # Here again, beside the ``receive`` that it stands for: whoever overrides that is asked.
        return super().attach(channel, wake)

    async def receive(self, channel: str) -> Message:
        """Wait for the next message of ``channel``. A fault of Redis does not end it.

        A channel that this process did not make is listened to from the first call until one is
        cancelled; every process that does so gets every message.
        """
        self._listen()
        if self._is_local(channel):
            return await self._hub.receive(channel)
        await self._homes.run(lambda here: here.require_channel(channel))
        try:
            return await self._hub.receive(channel)
        except asyncio.CancelledError:
            if channel not in self._hub.channels:
                self._homes.call_soon(lambda here: here.forget_channel(channel))
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Put ``channel`` into ``group``. One round trip for the first member of a process.

        Raises:
            RuntimeError: ``channel`` is not one of this process.
            RedisUnavailableError: Redis did not answer in time. Nothing was joined.
        """
        if not self._is_local(channel) and channel not in self._hub.channels:
            raise RuntimeError(
                f"channel {channel!r} is not one of this process; expected a name that "
                "new_channel() gave here, or a channel that is being received from"
            )
        self._listen()
        await self._join(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``. No round trip of its own.

        It leaves once Redis has answered what handlers here have sent without waiting, or after a
        second; mostly at once.
        """
        await self._settle_posted()
        self._hub.leave(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        """Publish ``message`` to every channel that is in ``group`` now. One round trip.

        A consumer's handler does not wait for it, where there is one server and it has few calls to
        answer; a failure is then logged and counted.

        Raises:
            AssertionError: ``message`` is not a dict. Nothing was sent.
            TypeError: The message cannot be serialized. Nothing was sent.
            RedisUnavailableError: Redis did not answer in time. It may have been sent.
        """
        self._require_message(message)
        payload = self.serialize(message)
        here = self._connections_in_handler()
        answered = functools.partial(self._posted, group)
        if here is None or not here.post_to_group(group, payload, answered):
            await self._homes.run(lambda here: here.publish_to_group(group, payload))

    async def flush(self) -> None:
        """Drop every message and membership of this process; consumers keep their channels."""
        self._hub.flush()

    def _get_layer(self) -> RedisPubSubLoopLayer:
        return self._homes.settle().resident

    @property
    def _shards(self) -> list[RedisSingleShardConnection]:
        return self._get_layer()._shards

    def _take_identity(self) -> None:
        self._node = uuid.uuid4().hex[:16]

    def _is_local(self, channel: str) -> bool:
        return self._node in channel

    def _topic_of(self, group: str) -> str:
        return f"{self.prefix}__group__{group}"

    def _new_residence(self) -> RedisPubSubLoopLayer:
        layer = Layer(
            shards=self._servers,
            node=self._node,
            budget=self.timeout,
            outer=self,
            shard_of=self.consistent_hash,
            topic_of=self._topic_of,
            has_members=self._has_members,
            arrived_for_group=self._take_for_group,
            arrived_for_channel=self._take_for_channel,
            changed=self._connection_changed,
        )
        return RedisPubSubLoopLayer(layer, logger)

    def _posted(self, group: str, answer: Reply | Exception) -> None:
        if isinstance(answer, Exception):
            self._not_sent(group, answer)

    def _take_for_group(
        self, group: str, topic: bytes, payload: bytes, *, shard: int
    ) -> asyncio.Future[Any] | None:
        message = self._read_payload(shard, payload)
        try:
            return None if message is None else self._arrived_for_group(group, message)
        except Exception as error:
            # Whatever a message does, the reader lives.
            self._reject(shard, "handling", error)
            return None

    def _take_for_channel(self, channel: bytes, payload: bytes, *, shard: int) -> None:
        message = self._read_payload(shard, payload)
        try:
            if message is not None:
                self._arrived_for_channel(channel.decode(errors="replace"), message)
        except Exception as error:
            self._reject(shard, "handling", error)

    def _connection_changed(self, is_back: bool) -> None:
        event = self.on_reconnect if is_back else self.on_disconnect
        if event is not None:
            for channel in tuple(self._hub.channels):
                self._arrived_for_channel(channel, {"type": event})

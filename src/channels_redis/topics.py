"""Reliable topics and presence over Redis: the broker of one event loop.

A publication is one call of a script, which numbers it, keeps it in a stream and publishes it to
every process that listens, in one step. Who is in a topic is a hash, with a lease for each process.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from channels import telemetry
from channels.history.broker import Change, Listener, Present, Retention
from channels.history.position import Excerpt, Position, Publication
from channels_redis import _pushes
from channels_redis._connection import Shard
from channels_redis._envelope import EnvelopeError
from channels_redis._health import ShardHealth
from channels_redis._history import History
from channels_redis._homes import Home
from channels_redis._keys import Keys
from channels_redis._presence import Presence
from channels_redis._pushes import Kind
from channels_redis._sealing import Seal
from channels_redis._topic_shards import Options, TopicShards
from channels_redis.exceptions import RedisUnavailableError

__all__ = ["RedisTopicBroker"]


class RedisTopicBroker:
    """A ``channels.history.broker.TopicBroker`` over the servers of a layer.

    It lives on the event loop that it was made on, and ends with it. A connection to a shard is
    made when it is first needed, and made again when it breaks; a broker that only publishes does
    not listen.

    Args:
        shards: Where each server is, with the names there.
        shard_of: Gives the index of the shard of a topic.
        listener: Takes what is heard.
        seal: How bodies, and what is shown of members, are kept.
        budget: Seconds within which Redis must answer.
        logger: The layer's.
        left: Called with the broker when it is closed.
    """

    def __init__(
        self,
        shards: Sequence[tuple[Shard, Keys]],
        *,
        shard_of: Callable[[str], int],
        listener: Listener,
        seal: Seal,
        budget: float,
        logger: logging.Logger,
        left: Callable[[RedisTopicBroker], None],
    ) -> None:
        self._listener = listener
        self._seal = seal
        self._logger = logger
        options = Options(node=secrets.token_hex(8), budget=budget, logger=logger)
        self._shards = TopicShards(
            shards,
            options,
            shard_of=shard_of,
            arrived=self._arrived,
            restored=listener.interrupted,
        )
        self._history = History(self._shards, seal, self._reject)
        self._presence = Presence(self._shards, seal)
        # Topics that are listened to, by their channels.
        self._topics: dict[str, str] = {}
        self._is_closed = False
        self._signals = self._shards.all[0].keys.signals()
        self._home: Home[TopicShards] = Home(self._shards, lambda _: left(self))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Its event loop."""
        return self._home.loop

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    async def hear_signals(self) -> None:
        """Hear of signals from now on; see ``TopicBroker``."""
        await self._shards.all[0].listen(self._signals)

    def health(self) -> list[ShardHealth]:
        """Describe every connection that was needed."""
        return self._shards.health()

    async def publish(
        self, topic: str, body: bytes, *, retention: Retention | None, publication_id: str
    ) -> Position | None:
        """Give ``body`` to every process that listens; see ``TopicBroker``.

        Without ``retention`` it is never repeated: if the connection breaks before the answer, it
        raises ``RedisUnavailableError``.
        """
        return await self._history.publish(
            topic, body, retention=retention, publication_id=publication_id
        )

    async def read(self, topic: str, after: int) -> Excerpt:
        """Return what is kept after offset ``after``; see ``TopicBroker``.

        A publication that no key opens is counted, and what is before it left out.
        """
        return await self._history.read(topic, after)

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        """Return where each topic stands; see ``TopicBroker``."""
        return await self._history.positions(topics)

    async def forget(self, topic: str) -> None:
        """Erase what is kept, and who is there, which is a change; see ``TopicBroker``.

        Whoever is still there is there again after the next ``renew`` of its process.
        """
        await self._presence.forget(topic)

    async def listen(self, topic: str) -> None:
        """Have the listener hear of ``topic``, and of signals; see ``TopicBroker``."""
        shard = self._shards.of(topic)
        channel = shard.keys.topic(topic)
        self._topics[channel] = topic
        await self.hear_signals()
        try:
            # Not any more, if that was said meanwhile.
            if channel in self._topics:
                await shard.listen(channel)
        except RedisUnavailableError:
            if channel in self._topics or self._is_closed:
                raise

    def unlisten(self, topic: str) -> None:
        """Hear of ``topic`` no more; see ``TopicBroker``."""
        shard = self._shards.of(topic)
        channel = shard.keys.topic(topic)
        if self._topics.pop(channel, None) is not None:
            shard.unlisten(channel)

    async def signal(self, body: bytes) -> None:
        """Give ``body`` to every broker that has begun to listen; see ``TopicBroker``."""
        payload = Kind.SIGNAL.head + self._seal.seal(body)
        verb = await self._shards.verb()
        await self._shards.all[0].call(verb, self._signals, payload, repeatable=False)

    async def enter(self, topic: str, connection: str, key: str, *, shown: str) -> None:
        """Note that ``connection`` is in ``topic``; see ``TopicBroker``.

        It renews the lease of this process there, of 60 s until ``renew`` has said another.
        """
        await self._presence.enter(topic, connection, key, shown=shown)

    async def leave(self, topic: str, connection: str) -> None:
        """Note that ``connection`` has left; see ``TopicBroker``.

        What failed is done at the next ``renew``.
        """
        await self._presence.leave(topic, connection)

    async def renew(self, topics: Sequence[str], lease: float) -> None:
        """Renew this process's lease, and end those that have run out; see ``TopicBroker``.

        Where Redis has forgotten this process, its members enter again.
        """
        await self._presence.renew(topics, lease)

    async def present(self, topic: str) -> Present:
        """Return who is in ``topic``; see ``TopicBroker``. Leases that have run out are ended."""
        return await self._presence.present(topic)

    async def close(self) -> None:
        """Close every connection, for good."""
        self._is_closed = True
        await self._home.move_out()

    def _arrived(self, shard: int, channel: str, payload: bytes) -> asyncio.Future[Any] | None:
        try:
            return self._handle(channel, payload)
        except EnvelopeError as error:
            self._reject(str(shard), error.reason, error)
        except Exception as error:
            # Whatever decryption raises: a wrong key, foreign bytes.
            self._reject(str(shard), "payload", error)
        return None

    def _handle(self, channel: str, payload: bytes) -> asyncio.Future[Any] | None:
        kind, rest = _pushes.unpack(payload)
        topic = self._topics.get(channel)
        if kind is Kind.SIGNAL:
            self._listener.signalled(self._seal.open(rest))
        elif topic is None:
            pass  # on its way when it was said that nobody listens
        elif kind is Kind.PUBLICATION:
            position, sealed = _pushes.read_publication(rest)
            publication = Publication(position.offset, self._seal.open(sealed))
            return self._listener.arrived(topic, position.epoch, publication)
        elif kind is Kind.VOLATILE:
            return self._listener.arrived(topic, "", Publication(0, self._seal.open(rest)))
        else:
            raw = _pushes.read_change(rest)
            joined = {key: self._seal.open_marked(shown) for key, shown in raw.joined}
            self._listener.presence_changed(topic, Change(raw.version, joined, raw.left))
        return None

    def _reject(self, shard: str, reason: str, error: Exception) -> None:
        self._logger.error("Skipped what came from Redis shard %s: %s (%r)", shard, reason, error)
        telemetry.emit(telemetry.MessageRejected(shard, reason))

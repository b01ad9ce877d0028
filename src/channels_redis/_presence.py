"""What a broker has Redis do for presence, and what it remembers of its own members."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from channels.history.broker import Present
from channels_redis import _scripts
from channels_redis._pushes import Kind
from channels_redis._sealing import Seal
from channels_redis._topic_shards import TopicShard, TopicShards

FIRST_LEASE: Final = 60.0
"""Seconds of the lease of a broker that has renewed none yet."""
LINGER: Final = 3600.0
"""Seconds for which what nobody renews stays in Redis at least, though it does not count."""
BATCH: Final = 100
"""Most topics in one call."""


class Presence:
    """Who is in topics, from one broker.

    It remembers its own members, so that a server which has lost them, or another broker that took
    this one for dead, is told again at the next ``renew``.

    Args:
        shards: The connections.
        seal: How what is shown is kept.
    """

    def __init__(self, shards: TopicShards, seal: Seal) -> None:
        self._shards = shards
        self._seal = seal
        self._node = shards.options.node
        self._lease = FIRST_LEASE
        # By topic, the key and what is shown of each connection.
        self._entered: defaultdict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        # By topic, connections of which Redis may not know that they have left.
        self._owed: defaultdict[str, set[str]] = defaultdict(set)

    async def enter(self, topic: str, connection: str, key: str, *, shown: str) -> None:
        """See ``TopicBroker``."""
        self._entered[topic][connection] = (key, shown)
        self._is_settled(topic, connection)
        try:
            await self._enter(topic, connection, key=key, shown=shown)
        except BaseException:
            # It may have happened.
            self._forget_entry(topic, connection)
            self._owed[topic].add(connection)
            raise

    async def leave(self, topic: str, connection: str) -> None:
        """See ``TopicBroker``."""
        self._forget_entry(topic, connection)
        self._owed[topic].add(connection)
        shard = self._shards.of(topic)
        await shard.run(
            _scripts.LEAVE,
            self._keys(shard, topic),
            *await self._common(shard, topic),
            self._node,
            connection,
        )
        self._is_settled(topic, connection)

    async def renew(self, topics: Sequence[str], lease: float) -> None:
        """See ``TopicBroker``."""
        self._lease = lease
        batches = self._shards.by_shard(topics, BATCH)
        owed = [
            self._leave_at_last(topic, connection)
            for topic in topics
            for connection in self._owed.pop(topic, ())
        ]
        answers = await asyncio.gather(*owed, *[self._renew(*batch) for batch in batches])
        unknown = [topic for answer in answers[len(owed) :] for topic in answer or ()]
        await asyncio.gather(
            *[
                self._enter_again(topic, connection)
                for topic in unknown
                for connection in tuple(self._entered.get(topic, ()))
            ]
        )

    async def present(self, topic: str) -> Present:
        """See ``TopicBroker``."""
        shard = self._shards.of(topic)
        common = await self._common(shard, topic)
        version, *words = await shard.run(_scripts.PRESENT, self._keys(shard, topic)[:3], *common)
        members = {
            key.decode(): self._seal.open_marked(entry.partition(b":")[2])
            for key, entry in zip(words[::2], words[1::2], strict=True)
        }
        return Present(int(version), members)

    async def forget(self, topic: str) -> None:
        """Erase who is in ``topic``, and its history."""
        shard = self._shards.of(topic)
        keys = shard.keys
        await shard.run(
            _scripts.FORGET,
            [*self._keys(shard, topic)[:3], keys.position(topic), keys.history(topic)],
            *await self._common(shard, topic),
        )

    async def _leave_at_last(self, topic: str, connection: str) -> None:
        # It may have entered again since that was planned.
        if connection not in self._entered.get(topic, ()):
            await self.leave(topic, connection)

    async def _enter_again(self, topic: str, connection: str) -> None:
        # It may have left since that was planned.
        entry = self._entered.get(topic, {}).get(connection)
        if entry is not None:
            await self._enter(topic, connection, key=entry[0], shown=entry[1])

    async def _enter(self, topic: str, connection: str, *, key: str, shown: str) -> None:
        shard = self._shards.of(topic)
        await shard.run(
            _scripts.ENTER,
            self._keys(shard, topic),
            *await self._common(shard, topic),
            self._node,
            connection,
            key,
            self._seal.seal_marked(shown, topic, key),
            self._seal.significant,
            _scripts.in_ms(self._lease),
        )

    async def _renew(self, shard: TopicShard, topics: list[str]) -> list[str]:
        """Return the topics in which Redis knows nobody of this broker."""
        keys = shard.keys
        known = await shard.run(
            _scripts.RENEW,
            [key for topic in topics for key in self._keys(shard, topic)],
            *await self._common(shard, ""),
            self._node,
            _scripts.in_ms(self._lease),
            *[word for topic in topics for word in (keys.topic(topic), keys.here(topic))],
        )
        return [topic for topic, is_known in zip(topics, known, strict=True) if not is_known]

    def _keys(self, shard: TopicShard, topic: str) -> list[str]:
        keys = shard.keys
        here = keys.here(topic) + self._node
        return [keys.members(topic), keys.leases(topic), keys.version(topic), here]

    async def _common(self, shard: TopicShard, topic: str) -> list[Any]:
        keys = shard.keys
        return [
            await self._shards.verb(),
            keys.topic(topic),
            Kind.CHANGE.head,
            keys.here(topic),
            _scripts.in_ms(max(LINGER, 2 * self._lease)),
        ]

    def _forget_entry(self, topic: str, connection: str) -> None:
        entries = self._entered.get(topic, {})
        entries.pop(connection, None)
        if not entries:
            self._entered.pop(topic, None)

    def _is_settled(self, topic: str, connection: str) -> None:
        owed = self._owed.get(topic, set())
        owed.discard(connection)
        if not owed:
            self._owed.pop(topic, None)

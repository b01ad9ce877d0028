"""What a broker has Redis do for the history of topics: publish, read, say where they stand."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from channels.history.broker import Retention
from channels.history.position import Excerpt, Position, Publication
from channels_redis import _scripts
from channels_redis._link import SERVER
from channels_redis._pushes import Kind
from channels_redis._sealing import Seal
from channels_redis._topic_shards import TopicShards

KNOWN: Final = 60.0
"""Seconds for which a publication's id is known."""
IDLE: Final = 86_400.0
"""Seconds for which the position of a topic lives at least when nothing is published."""
BATCH: Final = 500
"""Most topics in one call."""
EPOCH: Final = 6
"""Random bytes of a new epoch."""


class History:
    """The histories of topics, kept in streams.

    Args:
        shards: The connections.
        seal: How bodies are kept.
        reject: Takes a shard's index, a reason and an error: a body that cannot be read.
    """

    def __init__(
        self, shards: TopicShards, seal: Seal, reject: Callable[[str, str, Exception], None]
    ) -> None:
        self._shards = shards
        self._seal = seal
        self._reject = reject

    async def publish(
        self, topic: str, body: bytes, *, retention: Retention | None, publication_id: str
    ) -> Position | None:
        """See ``TopicBroker``."""
        shard, sealed = self._shards.of(topic), self._seal.seal(body)
        keys = shard.keys
        verb = await self._shards.verb()
        if retention is None:
            # Seen twice if it were repeated.
            payload = Kind.VOLATILE.head + sealed
            await shard.call(verb, keys.topic(topic), payload, repeatable=False)
            return None
        answer = await shard.run(
            _scripts.PUBLISH,
            [keys.position(topic), keys.history(topic), keys.published(topic, publication_id)],
            SERVER,
            secrets.token_hex(EPOCH),
            sealed,
            len(body),
            retention.entries,
            retention.max_bytes,
            _scripts.in_ms(retention.ttl),
            _scripts.in_ms(KNOWN),
            _scripts.in_ms(IDLE),
            verb,
            keys.topic(topic),
            Kind.PUBLICATION.head,
        )
        return Position.parse(answer.decode())

    async def read(self, topic: str, after: int) -> Excerpt:
        """See ``TopicBroker``."""
        shard = self._shards.of(topic)
        epoch, offset, first, *bodies = await shard.run(
            _scripts.READ,
            [shard.keys.position(topic), shard.keys.history(topic)],
            SERVER,
            secrets.token_hex(EPOCH),
            _scripts.in_ms(IDLE),
            after + 1,
        )
        publications: list[Publication] = []
        for number, sealed in enumerate(bodies, start=int(first)):
            try:
                publications.append(Publication(number, self._seal.open(sealed)))
            except Exception as error:
                # Whatever decryption raises. What stands before it would leave a hole.
                self._reject(shard.keys.tag, "payload", error)
                publications.clear()
        return Excerpt(Position(epoch.decode(), int(offset)), publications)

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        """See ``TopicBroker``."""
        batches = self._shards.by_shard(topics, BATCH)
        answers = await asyncio.gather(
            *[
                shard.run(
                    _scripts.POSITIONS,
                    [
                        name
                        for topic in batch
                        for name in (shard.keys.position(topic), shard.keys.history(topic))
                    ],
                    SERVER,
                    secrets.token_hex(EPOCH),
                    _scripts.in_ms(IDLE),
                )
                for shard, batch in batches
            ]
        )
        found = {
            topic: Position(epoch.decode(), int(offset))
            for (_, batch), answer in zip(batches, answers, strict=True)
            for topic, epoch, offset in zip(batch, answer[::2], answer[1::2], strict=True)
        }
        return [found[topic] for topic in topics]

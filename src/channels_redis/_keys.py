"""The name of every key and topic in Redis, and which shard it is on."""

from __future__ import annotations

import binascii
import itertools
from typing import Final

SLOTS: Final = 16384
"""Hash slots of a Redis Cluster."""


def slot(tag: str) -> int:
    """Return the slot of every key whose hash tag is ``tag`` (Redis Cluster specification)."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def spread_tags(parts: int) -> list[str]:
    """Return ``parts`` hash tags, each in its own stretch of the slots, so masters share them."""
    return [
        next(
            tag
            for tag in (f"{part}.{n}" for n in itertools.count())
            if slot(tag) * parts // SLOTS == part
        )
        for part in range(parts)
    ]


class Keys:
    """Names on one shard. All have one hash tag, so one script may touch them together.

    Args:
        prefix: Of the layer, so that several may share a server.
        tag: Of the shard.
        database: Of the shard. Keys are in it; what is published is heard in all of them.
    """

    __slots__ = ("_base", "_channels", "inbox", "node", "tag")

    def __init__(self, prefix: str, tag: str, database: int = 0) -> None:
        self.tag = tag
        self._channels = f"{prefix}:{{{tag}}}:{database}:"
        self._base = f"{prefix}:{{{tag}}}:"
        self.inbox: str = f"{self._base}inbox:"
        """Before a node's id: the stream of what waits for it."""
        self.node: str = f"{self._base}node:"
        """Before a node's id: exists while the node may come back."""

    def group(self, group: str) -> str:
        """Sorted set: who is in ``group``, with the time of joining."""
        return f"{self._base}group:{group}"

    def queue(self, channel: str) -> str:
        """List: the messages of a normal channel."""
        return f"{self._base}queue:{channel}"

    def waiters(self, channel: str) -> str:
        """Sorted set: the nodes that wait for a message of a normal channel, and since when."""
        return f"{self._base}waiters:{channel}"

    def stored(self, sender: str) -> str:
        """The number of the latest message that a sender put into a queue."""
        return f"{self._base}stored:{sender}"

    def pulled(self, sender: str) -> str:
        """What a sender took out of a queue last, should the answer get lost."""
        return f"{self._base}pulled:{sender}"

    def history(self, topic: str) -> str:
        """Stream: the publications of ``topic`` that are kept."""
        return f"{self._base}history:{topic}"

    def position(self, topic: str) -> str:
        """Hash: where ``topic`` stands."""
        return f"{self._base}position:{topic}"

    def published(self, topic: str, publication: str) -> str:
        """The position that a publication of ``topic`` got."""
        return f"{self._base}published:{topic}:{publication}"

    def members(self, topic: str) -> str:
        """Hash: who is in ``topic``."""
        return f"{self._base}members:{topic}"

    def leases(self, topic: str) -> str:
        """Sorted set: the nodes that have members in ``topic``, and until when they count."""
        return f"{self._base}leases:{topic}"

    def version(self, topic: str) -> str:
        """The number of the latest change of who is in ``topic``."""
        return f"{self._base}version:{topic}"

    def here(self, topic: str) -> str:
        """Before a node's id: hash of its connections in ``topic``."""
        return f"{self._base}here:{topic}:"

    def topic(self, topic: str) -> str:
        """Channel of Redis: what happens in ``topic``."""
        return f"{self._channels}topic:{topic}"

    def signals(self) -> str:
        """Channel of Redis: what every process is told."""
        return f"{self._channels}signals"

    def echo(self, node: str) -> str:
        """Channel of Redis: what a node tells itself."""
        return f"{self._channels}echo:{node}"

    def everything(self) -> str:
        """Pattern of all keys of this layer on this shard."""
        return f"{escape(self._base)}*"


def escape(name: str) -> str:
    """Return a pattern of Redis that fits just ``name``."""
    return "".join(f"\\{sign}" if sign in "*?[]^-\\" else sign for sign in name)

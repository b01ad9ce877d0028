"""One process at one shard, for ``core``: what it asks Redis, and what it reads there.

A process is a *node*: on each shard it has an inbox, a stream into which others put one envelope
for any number of its channels. It reads the inbox from the start and deletes what it has read, so
nothing is lost by a broken connection, and an envelope that comes again is known by its stamp.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

from channels_redis import _scripts
from channels_redis._connection import ResponseError, Shard
from channels_redis._keys import Keys
from channels_redis._lifeline import Command
from channels_redis._link import NUMBER, STAMP, Link
from channels_redis._scripts import Script
from channels_redis._wire import Reply
from channels_redis.exceptions import RedisUnavailableError

MOST_SENDERS: Final = 10_000
"""Senders whose latest number is remembered; the one heard of least recently is forgotten."""
BATCH: Final = 500
"""Most envelopes read, and most groups registered, at a time."""
BLOCK: Final = 2.0
"""Seconds that Redis waits for an envelope before it answers that there is none."""


class NodeOptions:
    """What the shards of one layer have in common.

    Args:
        node: Id of this process.
        expiry: Seconds that messages, and a node that is away, live.
        group_expiry: Seconds that a group lives which nobody joins anew.
        inbox_capacity: Most envelopes that wait for a node on one shard.
        budget: Seconds within which a call must be answered.
    """

    def __init__(
        self,
        node: str,
        *,
        expiry: float,
        group_expiry: float,
        inbox_capacity: int,
        budget: float,
    ) -> None:
        self.node = node
        self.member: str = f"@{node}"
        self.expiry: int = _scripts.in_ms(expiry)
        self.group_expiry: int = _scripts.in_ms(group_expiry)
        self.inbox_capacity = inbox_capacity
        self.budget = budget


class ShardNode:
    """Calls to one shard, on one event loop, under the name of this process.

    Args:
        shard: Where its server is.
        keys: The names there.
        options: Of the layer.
        logger: The layer's.
    """

    def __init__(
        self, shard: Shard, keys: Keys, options: NodeOptions, *, logger: logging.Logger
    ) -> None:
        self._keys = keys
        self._options = options
        self._pulls = asyncio.Lock()
        self._pull_number = 0
        self.link = Link(
            shard.open,
            name=keys.tag,
            logger=logger,
            greeting=_scripts.LOAD_ALL,
            budget=options.budget,
        )

    def group_send(self, group: str, envelope: bytes) -> asyncio.Future[Reply]:
        """Put an envelope into the inbox of every node that has members; one call."""
        return self.link.call(*self._group_send(group, envelope))

    def post_to_group(
        self, group: str, envelope: bytes, answered: Callable[[Reply | Exception], object]
    ) -> bool:
        """Likewise, while nobody waits; return whether that was done (``Link.post``)."""
        return self.link.post(*self._group_send(group, envelope), answered=answered)

    def send(self, node: str, envelope: bytes) -> asyncio.Future[Reply]:
        """Put an envelope into the inbox of ``node``; 0 means that it is full."""
        return self._run(
            _scripts.SEND,
            [self._keys.inbox + node],
            STAMP,
            envelope,
            self._options.inbox_capacity,
            self._options.expiry,
        )

    def join(self, groups: Sequence[str]) -> asyncio.Future[Reply]:
        """Make this node a member of ``groups``."""
        options = self._options
        return self._run(
            _scripts.JOIN,
            [self._keys.node + options.node, *map(self._keys.group, groups)],
            options.member,
            options.expiry,
            options.group_expiry,
        )

    def leave(self, group: str, member: str | None = None) -> asyncio.Future[Reply]:
        """Take this node, or a normal channel, out of ``group``."""
        return self.link.call("ZREM", self._keys.group(group), member or self._options.member)

    def join_channel(self, group: str, channel: str) -> asyncio.Future[Reply]:
        """Make a normal channel a member of ``group``."""
        options = self._options
        return self._run(
            _scripts.JOIN_OTHER,
            [self._keys.group(group)],
            channel,
            options.expiry,
            options.group_expiry,
        )

    def join_other(self, group: str, node: str, envelope: bytes) -> asyncio.Future[Reply]:
        """Have another node join a channel of its own to ``group``; 0 means its inbox is full."""
        keys, options = self._keys, self._options
        return self._run(
            _scripts.JOIN_OTHER,
            [keys.group(group), keys.inbox + node, keys.node + node],
            f"@{node}",
            options.expiry,
            options.group_expiry,
            STAMP,
            envelope,
            options.inbox_capacity,
        )

    def beat(self) -> asyncio.Future[Reply]:
        """Say that this node lives; the answer is whether it was known, and the time in ms."""
        node = self._options.node
        return self._run(
            _scripts.BEAT, [self._keys.node + node, self._keys.inbox + node], self._options.expiry
        )

    def enqueue(
        self, channel: str, envelope: bytes, *, bell: bytes, capacity: int, age: int | None = None
    ) -> asyncio.Future[Reply]:
        """Put a message into a normal channel; one with an ``age`` in ms goes back to the front.

        The answer 0 means that the channel is full.
        """
        keys, options = self._keys, self._options
        return self._run(
            _scripts.ENQUEUE,
            [keys.queue(channel), keys.waiters(channel), keys.stored(self.link.sender)],
            NUMBER,
            envelope,
            capacity,
            options.expiry,
            keys.inbox,
            STAMP,
            bell,
            options.expiry,
            *(() if age is None else (age,)),
        )

    async def pull(self, channel: str) -> tuple[int, bytes] | None:
        """Take the oldest message of a normal channel, with its age in ms; wait out every fault.

        Raises:
            RedisUnavailableError: The connection was closed here.
            redis.exceptions.ResponseError: Redis refuses.
        """
        keys = self._keys
        # One at a time, and again until it is answered: Redis remembers what it gave last.
        async with self._pulls:
            self._pull_number += 1
            pull = functools.partial(
                self._run,
                _scripts.PULL,
                [keys.queue(channel), keys.waiters(channel), keys.pulled(self.link.sender)],
                self._pull_number,
                self._options.node,
                self._options.expiry,
            )
            while True:
                try:
                    answer = await pull()
                    break
                except RedisUnavailableError:
                    if self.link.is_closed:
                        raise
                    await asyncio.sleep(1)
        return None if answer is None else (int(answer[0]), answer[1])

    async def flush(self) -> None:
        """Delete every key of the layer on this shard."""
        cursor: Any = b"0"
        while True:
            cursor, found = await self.link.call(
                "SCAN", cursor, "MATCH", self._keys.everything(), "COUNT", 1000
            )
            if found:
                await self.link.call("DEL", *found)
            if int(cursor) == 0:
                return

    def _group_send(self, group: str, envelope: bytes) -> Command:
        keys, options = self._keys, self._options
        return (
            "EVALSHA",
            _scripts.GROUP_SEND.sha,
            1,
            keys.group(group),
            STAMP,
            envelope,
            keys.inbox,
            keys.node,
            options.inbox_capacity,
            options.expiry,
            options.group_expiry,
        )

    def _run(self, script: Script, keys: list[str], *arguments: Any) -> asyncio.Future[Reply]:
        return self.link.call("EVALSHA", script.sha, len(keys), *keys, *arguments)


class InboxReader:
    """Reads this node's inbox on one shard, for as long as its loop runs.

    Args:
        shard: Where its server is.
        keys: The names there.
        options: Of the layer.
        logger: The layer's.
        arrived: Called with each new envelope and when it was sent, in ms of the server's clock.
            Nothing more is read until what it returns is done.
        restored: Called after each time the connection is there.
    """

    def __init__(
        self,
        shard: Shard,
        keys: Keys,
        options: NodeOptions,
        *,
        logger: logging.Logger,
        arrived: Callable[[bytes, int], asyncio.Future[Any] | None],
        restored: Callable[[], None],
    ) -> None:
        self._key = keys.inbox + options.node
        self._logger = logger
        self._arrived = arrived
        self.link = Link(
            shard.open,
            name=keys.tag,
            logger=logger,
            patience=BLOCK + 3.0,
            restored=restored,
        )
        self._task = asyncio.create_task(self._read())

    def stop(self) -> None:
        """Stop reading."""
        self._task.cancel()

    async def _read(self) -> None:
        seen = LatestNumbers()
        wait = ("XREAD", "COUNT", BATCH, "BLOCK", int(BLOCK * 1000), "STREAMS", self._key, "0")
        delete: tuple[Any, ...] | None = None
        while True:
            try:
                # Deleting is executed before reading, which therefore finds only what is new.
                deleted = None if delete is None else self.link.call(*delete)
                answer = await self.link.call(*wait)
                if deleted is not None:
                    await deleted
            except ResponseError:
                self._logger.exception("Redis refuses to read the inbox %s.", self._key)
                await asyncio.sleep(BLOCK)
                continue
            entries = answer[0][1] if answer else []
            delete = ("XDEL", self._key, *[entry[0] for entry in entries]) if entries else None
            await self._hand_out(entries, seen)

    async def _hand_out(self, entries: Sequence[tuple[bytes, Any]], seen: LatestNumbers) -> None:
        taken: list[bytes] = []
        try:
            for identity, fields in entries:
                taken.append(identity)
                # An entry that was deleted meanwhile has no fields.
                if fields and seen.is_new(fields[1]):
                    later = self._arrived(fields[-1], int(identity.partition(b"-")[0]))
                    if later is not None:
                        await asyncio.wait([later])
        except asyncio.CancelledError:
            # The inbox's next reader must not find them again.
            self.link.post("XDEL", self._key, *taken, answered=lambda _: None)
            raise


class LatestNumbers:
    """The latest number of each sender, by which what comes again is known."""

    def __init__(self) -> None:
        self._latest: OrderedDict[bytes, int] = OrderedDict()

    def is_new(self, stamp: bytes) -> bool:
        """Return whether the number of ``stamp`` is above the latest of its sender, and note it."""
        sender, _, number = stamp.rpartition(b":")
        if not number.isdigit():
            return True  # not ours; whoever reads the envelope says so
        latest = self._latest
        if latest.get(sender, 0) >= int(number):
            return False
        latest[sender] = int(number)
        latest.move_to_end(sender)
        if len(latest) > MOST_SENDERS:
            latest.popitem(last=False)
        return True

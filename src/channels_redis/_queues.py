"""Normal channels of ``core``: what is sent waits in Redis for whichever process asks first."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Final

from channels.typing import Message
from channels_redis import _envelope
from channels_redis._connection import ResponseError
from channels_redis._envelope import Kind
from channels_redis._loop_layer import RedisLoopLayer, let_go

LOOK_AGAIN: Final = 5.0
"""Seconds after which a reader looks by itself, should it not have been told."""

Taken = tuple[int, bytes]
"""The age in ms of a message, and its envelope."""


class Queues:
    """Puts messages into normal channels and takes them out.

    Args:
        shard_of: Gives the index of the shard that a channel is on.
        capacity_of: Gives the most messages of a channel.
        read: Gives the message in an envelope from a shard, or ``None`` after it was rejected.
        logger: The layer's.
    """

    def __init__(
        self,
        shard_of: Callable[[str], int],
        capacity_of: Callable[[str], int],
        *,
        read: Callable[[int, bytes], Message | None],
        logger: logging.Logger,
    ) -> None:
        self._shard_of = shard_of
        self._capacity_of = capacity_of
        self._read = read
        self._logger = logger

    def put(self, here: RedisLoopLayer, channel: str, payload: bytes) -> asyncio.Future[int]:
        """Add a message; 0 means that the channel is full."""
        return self._enqueue(here, channel, _envelope.pack(Kind.CHANNEL, channel, payload))

    async def get(self, here: RedisLoopLayer, channel: str) -> Message:
        """Wait for the oldest message and take it. Cancelling puts it back."""
        shard = self._shard_of(channel)
        with here.bell_of(channel) as bell:
            while True:
                bell.clear()
                taken = await self._take(here, channel)
                if taken is None:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_AGAIN):
                            await bell.wait()
                elif (message := self._read(shard, taken[1])) is not None:
                    return message

    def _enqueue(
        self, here: RedisLoopLayer, channel: str, envelope: bytes, *, age: int | None = None
    ) -> asyncio.Future[int]:
        return here.nodes[self._shard_of(channel)].enqueue(
            channel,
            envelope,
            bell=_envelope.pack(Kind.BELL, channel, b""),
            capacity=self._capacity_of(channel),
            age=age,
        )

    async def _take(self, here: RedisLoopLayer, channel: str) -> Taken | None:
        pull = asyncio.ensure_future(here.nodes[self._shard_of(channel)].pull(channel))
        try:
            return await asyncio.shield(pull)
        except asyncio.CancelledError:
            pull.add_done_callback(functools.partial(self._give_back, here, channel))
            raise
        except ResponseError:
            self._logger.exception("Redis refuses to give a message of channel %s.", channel)
            return None

    def _give_back(
        self, here: RedisLoopLayer, channel: str, pull: asyncio.Task[Taken | None]
    ) -> None:
        if not pull.cancelled() and pull.exception() is None and (taken := pull.result()):
            let_go(self._enqueue(here, channel, taken[1], age=taken[0]))

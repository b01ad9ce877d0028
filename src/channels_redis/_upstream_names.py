"""Names of the Redis layer that other code leans on although nothing here needs them."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from typing import Any, ClassVar


class BoundedQueue(asyncio.Queue[Any]):
    """A queue that drops its oldest item, in place of raising, when one more is put."""

    def put_nowait(self, item: Any) -> None:
        """Put ``item``; where there is no room, the oldest goes."""
        if self.full():
            self.get_nowait()
        super().put_nowait(item)


class ChannelLock:
    """A lock for each channel, forgotten when nobody holds it."""

    def __init__(self) -> None:
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def acquire(self, channel: str) -> bool:
        """Wait for the lock of ``channel`` and take it."""
        return await self.locks[channel].acquire()

    def locked(self, channel: str) -> bool:
        """Return whether the lock of ``channel`` is taken."""
        return channel in self.locks and self.locks[channel].locked()

    def release(self, channel: str) -> None:
        """Give the lock of ``channel`` back."""
        self.locks[channel].release()
        if not self.locks[channel].locked():
            del self.locks[channel]


class UpstreamNames:
    """What a layer of upstream counts and keeps while it receives; always idle here.

    Messages wait in ``channels`` instead, each channel by itself.
    """

    brpop_timeout: ClassVar[int] = 5
    capacity: int

    receive_count: int = 0
    receive_lock: Any = None
    receive_event_loop: asyncio.AbstractEventLoop | None = None

    @functools.cached_property
    def receive_buffer(self) -> defaultdict[str, BoundedQueue]:
        """Queues by channel, each made at its first use with room for ``capacity`` items."""
        return defaultdict(functools.partial(BoundedQueue, self.capacity))

    @functools.cached_property
    def receive_cleaners(self) -> list[Any]:
        """Nothing is cleaned in the background."""
        return []

    @functools.cached_property
    def receive_clean_locks(self) -> ChannelLock:
        """Locks that nobody takes."""
        return ChannelLock()

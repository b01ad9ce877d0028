"""On which event loop of this process a layer talks to Redis.

All I/O of a layer is on one loop, its *home*: that of the consumers. So a process has the same
few connections however many threads and loops send through it. Where nothing receives, as in a
task queue or a WSGI site, calls go to a thread of this package that all layers share and that
lives as long as the process. A call from another loop is carried over, and its answer back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from channels import background
from channels_redis._carrying import Carried
from channels_redis.exceptions import RedisUnavailableError


class Resident(Protocol):
    """What lives on a loop: connections."""

    async def close(self) -> None:
        """Close them; called on their loop, when it ends or before."""
        ...


R = TypeVar("R", bound=Resident)
T = TypeVar("T")


class Home(Generic[R]):
    """The running loop, and a layer's connections on it.

    They are closed when the loop shuts down its asynchronous generators, as ``asyncio.run`` and
    ``async_to_sync`` do at their end.

    Args:
        resident: The connections.
        left: Called when they have been closed.
    """

    def __init__(self, resident: R, left: Callable[[Home[R]], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.resident = resident
        self._left = left
        self._moving = asyncio.Lock()
        self._guard = self._until_the_loop_ends()
        # Its first step makes it known to the loop; it waits for nothing.
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    @property
    def is_shared(self) -> bool:
        """Whether the loop is that of this package's thread."""
        return background.owns(self.loop)

    def is_open(self) -> bool:
        """Return whether its loop can still run."""
        return not self.loop.is_closed()

    async def move_out(self) -> None:
        """Close the connections now; on their loop."""
        # A generator cannot be closed by two at a time.
        async with self._moving:
            await self._guard.aclose()

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            try:
                await self.resident.close()
            finally:
                self._left(self)


class Homes(Generic[R]):
    """Where one layer's connections are in this process.

    Args:
        make: Makes them on the running loop, without I/O.
        orphaned: Called on a loop that ends, when the layer has no home any more.
        forked: Called in a child process, which has none of its parent's loops.
    """

    def __init__(
        self, make: Callable[[], R], orphaned: Callable[[], None], forked: Callable[[], None]
    ) -> None:
        self._make = make
        self._orphaned = orphaned
        self._forked = forked
        self._home: Home[R] | None = None
        self._outside: Home[R] | None = None
        self._lock = threading.Lock()
        _all.add(self)

    @property
    def homes(self) -> list[Home[R]]:
        """Those there are: at most that of the consumers and that of other senders."""
        return [home for home in (self._home, self._outside) if home is not None and home.is_open()]

    def settle(self) -> Home[R]:
        """Return where the layer receives; from now on the running loop if nowhere yet."""
        with self._lock:
            home = self._home
            if home is None or not home.is_open():
                home = self._home = Home(self._make(), self._left_home)
        return home

    def at_home(self) -> R | None:
        """Return the connections, if the running loop is the layer's home."""
        home = self._home
        if home is None or home.loop is not asyncio.get_running_loop():
            return None
        return home.resident

    def call_soon(self, work: Callable[[R], None]) -> bool:
        """Have ``work`` done on the home's loop, from any thread; return whether there is one."""
        for home in self.homes[:1]:
            with contextlib.suppress(RuntimeError):  # it has closed meanwhile
                home.loop.call_soon_threadsafe(work, home.resident)
                return True
        return False

    def run(self, work: Callable[[R], Awaitable[T]]) -> Awaitable[T]:
        """Do ``work`` where the connections are; await what this returns, once.

        Raises, out of it:
            RedisUnavailableError: That loop ended first.
        """
        here = self.at_home()
        if here is not None:
            return work(here)
        loop = asyncio.get_running_loop()
        home = self._home
        there = home.loop if home is not None and home.loop.is_running() else background.loop()
        if there is loop:
            return work(self._resident())
        return Carried(lambda: work(self._resident()), there).wait()

    async def close(self) -> None:
        """Close every connection; the next call makes new ones."""
        here = asyncio.get_running_loop()
        for home in self.homes:
            if home.loop is here:
                await home.move_out()
            elif home.loop.is_running():
                await asyncio.wrap_future(
                    asyncio.run_coroutine_threadsafe(home.move_out(), home.loop)
                )

    def _resident(self) -> R:
        if (here := self.at_home()) is not None:
            return here
        loop = asyncio.get_running_loop()
        if not background.owns(loop):
            raise RedisUnavailableError("the event loop of the Redis layer is about to end")
        if self._outside is None or self._outside.loop is not loop:
            self._outside = Home(self._make(), self._left_outside)
        return self._outside.resident

    def _left_home(self, home: Home[R]) -> None:
        if self._home is home:
            self._home = None
            self._orphaned()

    def _left_outside(self, home: Home[R]) -> None:
        if self._outside is home:
            self._outside = None

    def _forget(self) -> None:
        self._home = self._outside = None
        self._forked()


_all: weakref.WeakSet[Homes[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for homes in tuple(_all):
        homes._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

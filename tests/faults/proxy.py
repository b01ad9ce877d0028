"""A TCP proxy that cuts connections without a word, or lets them fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

Address = tuple[str, int]

RESET: Final = struct.pack("ii", 1, 0)
"""``SO_LINGER`` with which closing sends RST."""


class Pipe(asyncio.Protocol):
    """One end of a connection; what it reads goes out at the other."""

    def __init__(self, proxy: Proxy) -> None:
        self.other: Pipe | None = None
        self.transport: asyncio.Transport | None = None
        self.is_silent = False
        self._proxy = proxy
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = cast("asyncio.Transport", transport)
        for data in self._waiting:
            self.transport.write(data)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Pass it on, unless it falls into the hole."""
        if not self.is_silent and self.other is not None:
            self.other.write(data)

    def eof_received(self) -> bool:
        """End with the other end; but what is silent tells nobody."""
        return self.is_silent

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other end, too."""
        self.transport = None
        if self.other is not None and not self.is_silent and self.other.transport is not None:
            self.other.transport.close()
        self._proxy.forget(self)

    def write(self, data: bytes) -> None:
        """Send, once there is a way out."""
        if self.transport is None:
            self._waiting.append(data)
        else:
            self.transport.write(data)

    def reset(self) -> None:
        """End with RST."""
        if self.transport is not None:
            raw = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()


class Proxy:
    """Stands before one server.

    Args:
        server: Where it is.

    Attributes:
        address: Where clients connect.
        faults: How often each kind was done to a connection.
    """

    def __init__(self, server: Address) -> None:
        self.server = server
        self.address: Address = ("127.0.0.1", 0)
        self.faults: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._fronts: set[Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refuses = False
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._listener = await self._loop.create_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.address = self._listener.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """End everything."""
        if self._listener is not None:
            self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        for front in tuple(self._fronts):
            self._reset_both(front)

    async def harm(self, share: float, seconds: float) -> None:
        """Harm this share of the connections, and refuse new ones, for so long.

        A third each is reset at once; resets the client while the server hears nothing, and then a
        reset; or falls silent on both sides, and is reset then.
        """
        victims = [one for one in self._fronts if random.random() < share]  # noqa: S311 - any
        kinds: tuple[tuple[str, Callable[[Pipe], None]], ...] = (
            ("reset", self._reset_both),
            ("half open", self._reset_front),
            ("black hole", self._silence),
        )
        for victim in victims:
            kind, act = random.choice(kinds)  # noqa: S311 - any
            self.faults[kind] += 1
            act(victim)
        self._refuses = True
        await asyncio.sleep(seconds)
        self._refuses = False
        for victim in victims:
            self._reset_both(victim)

    def forget(self, pipe: Pipe) -> None:
        """Note that a connection is gone."""
        self._fronts.discard(pipe)

    def _accept(self) -> Pipe:
        front, back = Pipe(self), Pipe(self)
        front.other, back.other = back, front
        self._fronts.add(front)
        task = self._loop.create_task(self._join(front, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return front

    async def _join(self, front: Pipe, back: Pipe) -> None:
        if self._refuses:
            await asyncio.sleep(0)
            self.faults["refused"] += 1
            front.reset()
            return
        try:
            await self._loop.create_connection(lambda: back, *self.server)
        except OSError:
            front.reset()

    def _reset_both(self, front: Pipe) -> None:
        front.is_silent = True
        front.reset()
        if front.other is not None:
            front.other.is_silent = True
            front.other.reset()

    def _reset_front(self, front: Pipe) -> None:
        self._silence(front)
        front.reset()

    def _silence(self, front: Pipe) -> None:
        for pipe in (front, front.other):
            if pipe is not None:
                pipe.is_silent = True

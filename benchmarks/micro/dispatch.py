"""What one consumer costs: for each event of its client, each message, each connection.

    python benchmarks/micro/dispatch.py [OPTIONS OF PYPERF ...]

Timed: the whole way from a stub of the server's ``receive`` or from the in-memory layer to the
handler, and back to a stub of its ``send``. Not timed: imports, a server, a socket. The first row
is the floor, a loop that does no more than await ``receive`` and call the handler. A table of the
medians follows.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import django
import pyperf  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmark_settings")
django.setup()

from channels.consumer import AsyncConsumer, SyncConsumer  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import get_channel_layer  # noqa: E402

Event = dict[str, Any]

SCOPE: Final[Event] = {"type": "websocket", "path": "/", "headers": []}
CONNECT: Final[Event] = {"type": "websocket.connect"}
FRAME: Final[Event] = {"type": "websocket.receive", "text": '{"line": "Ahoy", "id": 7}'}
DISCONNECT: Final[Event] = {"type": "websocket.disconnect", "code": 1000}
MESSAGE: Final[Event] = {"type": "chat.line", "line": "Ahoy", "id": 7}
BURST: Final = 50
"""Messages that are sent before the consumer runs; fewer than a channel's capacity."""


class Feed:
    """A server's ``receive`` that always has the next event."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: Iterator[Event] = iter(events)

    async def __call__(self) -> Event:
        """Return the next event."""
        return next(self._events)


async def swallow(event: Event) -> None:
    """Do as a server's ``send`` that never has to wait."""


async def floor(scope: Event, receive: Feed, send: Callable[[Event], Awaitable[None]]) -> None:
    """Serve without a consumer."""

    async def handle(event: Event) -> None:
        pass

    while (event := await receive())["type"] != DISCONNECT["type"]:
        await handle(event)


class Idle(AsyncWebsocketConsumer):
    """Ignores every frame."""


class Echo(AsyncJsonWebsocketConsumer):
    """Sends each frame back."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Send it back."""
        await self.send_json(content)


class SyncIdle(WebsocketConsumer):
    """Ignores every frame, in a thread."""


class SyncEcho(JsonWebsocketConsumer):
    """Sends each frame back, from a thread."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Send it back."""
        self.send_json(content)


class Counting:
    """Counts the messages that reached the consumer of ``name``."""

    def __init__(self) -> None:
        self.name = ""
        self.seen = 0
        self.ready = asyncio.Event()

    def open(self, name: str) -> None:
        """Note that the consumer is there."""
        self.name = name
        self.ready.set()

    def count(self) -> None:
        """Count one message."""
        self.seen += 1
        if self.seen % BURST == 0:
            self.ready.set()


class Listener(AsyncConsumer):
    """Gets messages of the layer."""

    def __init__(self, counting: Counting) -> None:
        self.counting = counting

    async def websocket_connect(self, event: Event) -> None:
        """Say that it is there."""
        await self.channel_layer.group_add("room", self.channel_name)
        self.counting.open(self.channel_name)

    async def chat_line(self, event: Event) -> None:
        """Count."""
        self.counting.count()


class SyncListener(SyncConsumer):
    """Gets messages of the layer, in a thread."""

    def __init__(self, counting: Counting) -> None:
        self.counting = counting
        self.loop = asyncio.get_running_loop()

    def websocket_connect(self, event: Event) -> None:
        """Say that it is there."""
        self.loop.call_soon_threadsafe(self.counting.open, self.channel_name)

    def chat_line(self, event: Event) -> None:
        """Count."""
        self.loop.call_soon_threadsafe(self.counting.count)


def time_frames(loops: int, application: Any) -> float:
    """Return the seconds for so many frames over one connection."""

    async def run() -> float:
        feed = Feed(chain([CONNECT], repeat(FRAME, loops), [DISCONNECT]))
        start = time.perf_counter()
        await application(dict(SCOPE), feed, swallow)
        return time.perf_counter() - start

    return asyncio.run(run())


def time_connections(loops: int, application: Any) -> float:
    """Return the seconds for so many connections, one after the other."""

    async def run() -> float:
        start = time.perf_counter()
        for _ in range(loops):
            await application(dict(SCOPE), Feed([CONNECT, DISCONNECT]), swallow)
        return time.perf_counter() - start

    return asyncio.run(run())


def time_messages(loops: int, consumer: type[Listener | SyncListener], to_group: bool) -> float:
    """Return the seconds for so many bursts of messages to one consumer."""

    async def run() -> float:
        counting = Counting()
        layer = get_channel_layer()
        connected = asyncio.Queue[Event]()
        connected.put_nowait(CONNECT)
        task = asyncio.create_task(
            consumer.as_asgi(counting=counting)(dict(SCOPE), connected.get, swallow)
        )
        await counting.ready.wait()
        start = time.perf_counter()
        for _ in range(loops):
            counting.ready.clear()
            for _ in range(BURST):
                if to_group:
                    await layer.group_send("room", MESSAGE)
                else:
                    await layer.send(counting.name, MESSAGE)
            await counting.ready.wait()
        seconds = time.perf_counter() - start
        task.cancel()
        await asyncio.wait([task])
        return seconds

    return asyncio.run(run())


Case = tuple[str, Callable[..., float], tuple[Any, ...]]

CASES: Final[tuple[Case, ...]] = (
    ("frame, no consumer", time_frames, (floor,)),
    ("frame, async consumer", time_frames, (Idle.as_asgi(),)),
    ("frame echoed as JSON, async", time_frames, (Echo.as_asgi(),)),
    ("message, async consumer", time_messages, (Listener, False)),
    ("message of a group, async", time_messages, (Listener, True)),
    ("connection, async consumer", time_connections, (Idle.as_asgi(),)),
    ("frame, sync consumer", time_frames, (SyncIdle.as_asgi(),)),
    ("frame echoed as JSON, sync", time_frames, (SyncEcho.as_asgi(),)),
    ("message, sync consumer", time_messages, (SyncListener, False)),
    ("connection, sync consumer", time_connections, (SyncIdle.as_asgi(),)),
)


def main() -> None:
    """Measure each case; print the table in the process that collects."""
    runner = pyperf.Runner(processes=3, values=3, warmups=1, min_time=0.05)
    rows = [f"{'median':<30}{'us each':>10}{'a second':>12}"]
    for name, timed, arguments in CASES:
        inner_loops = BURST if timed is time_messages else 1
        found = runner.bench_time_func(name, timed, *arguments, inner_loops=inner_loops)
        if found is not None and not runner.args.worker:
            seconds = statistics.median(found.get_values())
            rows.append(f"{name:<30}{seconds * 1e6:>10.1f}{1 / seconds:>12,.0f}")
    if not runner.args.worker:
        print("\n".join(rows))


if __name__ == "__main__":
    main()

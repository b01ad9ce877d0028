"""What joining, one ``group_send`` and leaving cost for each member of a group.

    python benchmarks/micro/groups.py [OPTIONS OF PYPERF ...]

Timed: the calls of the in-memory layer alone, for groups of 10 to 10,000 channels that consumers
read, among 10,000 channels and 1,000 other groups. Not timed: making the channels, taking the
messages out again, and the garbage collector, which looks at every object of the process whatever
made it run. A table of nanoseconds for each member, the best of the values, follows, with the
largest over the smallest at the end; a ratio near 1 is O(members).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Final

import pyperf  # type: ignore[import-untyped]

from channels.layers.memory import InMemoryChannelLayer

SIZES: Final = (10, 100, 1_000, 10_000)
BYSTANDERS: Final = 10_000
OTHER_GROUPS: Final = 1_000
MESSAGE: Final = {"type": "chat.line", "author": "ann", "text": "Ahoy", "id": 7}


class Crowd:
    """A layer with one group of attached channels and many channels and groups beside it."""

    def __init__(self, size: int) -> None:
        self.layer = InMemoryChannelLayer()
        self.inboxes = [self.layer.attach(f"member!{n}", _ignore) for n in range(size)]
        self.names = [inbox.channel for inbox in self.inboxes]

    async def add_bystanders(self) -> None:
        """Fill the layer with what must not matter."""
        for number in range(BYSTANDERS):
            self.layer.attach(f"other!{number}", _ignore)
            await self.layer.group_add(f"other{number % OTHER_GROUPS}", f"other!{number}")

    async def join(self) -> None:
        """Let every member join."""
        for name in self.names:
            await self.layer.group_add("crowd", name)

    async def send(self) -> None:
        """Send one message to the group."""
        await self.layer.group_send("crowd", MESSAGE)

    async def leave(self) -> None:
        """Let every member leave."""
        for name in self.names:
            await self.layer.group_discard("crowd", name)

    def read(self) -> None:
        """Empty the inboxes."""
        for inbox in self.inboxes:
            if inbox.clear() != 1:
                raise RuntimeError("a member got something other than one message")


def _ignore() -> None:
    pass


Step = Callable[[Crowd], Awaitable[None]]
STEPS: Final[dict[str, Step]] = {
    "join": Crowd.join,
    "group_send": Crowd.send,
    "leave": Crowd.leave,
}


async def _measure(timed: str, size: int, loops: int) -> float:
    crowd = Crowd(size)
    await crowd.add_bystanders()
    seconds = 0.0
    gc.disable()
    for _ in range(loops):
        for name, step in STEPS.items():
            start = time.perf_counter()
            await step(crowd)
            if name == timed:
                seconds += time.perf_counter() - start
            if name == "group_send":
                crowd.read()
    gc.enable()
    return seconds


def _time(loops: int, timed: str, size: int) -> float:
    return asyncio.run(_measure(timed, size, loops))


def _table(nanoseconds: dict[str, list[float]]) -> str:
    head = f"{'ns per member':<14}" + "".join(f"{size:>9,}" for size in SIZES) + "    ratio"
    rows = [
        f"{name:<14}" + "".join(f"{each:>9.0f}" for each in row) + f"{max(row) / min(row):>9.2f}"
        for name, row in nanoseconds.items()
    ]
    return "\n".join([head, *rows])


def main() -> None:
    """Measure each step at each size; print the table in the process that collects."""
    runner = pyperf.Runner(processes=2, values=3, warmups=1, min_time=0.02)
    measured: dict[str, list[float]] = {name: [] for name in STEPS}
    for name, row in measured.items():
        for size in SIZES:
            found = runner.bench_time_func(f"{name}, {size:,} members", _time, name, size)
            if found is not None and not runner.args.worker:
                row.append(min(found.get_values()) / size * 1e9)
    if not runner.args.worker:
        print(_table(measured))


if __name__ == "__main__":
    main()

"""Two hundred people who chat through two servers, and the account of what each of them saw."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.servers.engines import free_port
from tests.slow import SLOW

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = 20
MEMBERS: Final = 10
PAUSE: Final = 1.0 * SLOW
"""Seconds between two lines of one person."""
STILL: Final = 3.0 * SLOW
"""Seconds after the last line within which all must have arrived."""


class Site:
    """One server process on the layer under test."""

    def __init__(self, layer: dict[str, Any], log: Path) -> None:
        self.port = free_port()
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", "tests.faults.room:application"),
                    *("--port", str(self.port), "--ws", "websockets-sansio"),
                    *("--log-level", "warning", "--ws-ping-timeout", "60"),
                ],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"ROOM_LAYER": json.dumps(layer), "PYTHONUNBUFFERED": "1"},
            )

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@dataclass
class Person:
    """One WebSocket, what went out by it and what came in.

    Times are on the monotonic clock.
    """

    name: str
    room: str
    site: Site
    sent: dict[str, float] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    lines: Counter[str] = field(default_factory=Counter)
    line_times: list[float] = field(default_factory=list)
    redis: list[tuple[str, float]] = field(default_factory=list)
    has_closed: bool = False

    def take(self, event: dict[str, Any]) -> None:
        """Note what came in."""
        now = time.monotonic()
        if "line" in event:
            self.lines[event["line"]] += 1
            self.line_times.append(now)
        elif "published" in event:
            self.published[event["published"]] = now
        elif "failed" in event:
            self.failed.add(event["failed"])
        else:
            self.redis.append((event["redis"], now))


@dataclass(frozen=True)
class Account:
    """What became of the lines.

    Attributes:
        published: Lines whose sender was told that they were published.
        failed: Lines whose sender was told that they were not, as far as is known.
        lost: Line and person, for each published line that a member did not see.
        doubled: Line and person, for each line that a member saw more than once.
        closed: People whose WebSocket closed.
    """

    published: dict[str, float]
    failed: int
    lost: list[tuple[str, str]]
    doubled: list[tuple[str, str]]
    closed: list[str]


def account(people: Iterable[Person]) -> Account:
    """Compare what was published with what each member of the room saw."""
    people = list(people)
    published: dict[str, dict[str, float]] = {}
    for person in people:
        published.setdefault(person.room, {}).update(person.published)
    return Account(
        published={line: at for lines in published.values() for line, at in lines.items()},
        failed=sum(len(person.failed) for person in people),
        lost=[
            (line, person.name)
            for person in people
            for line in published[person.room]
            if not person.lines[line]
        ],
        doubled=[
            (line, person.name)
            for person in people
            for line, times in person.lines.items()
            if times > 1
        ],
        closed=[person.name for person in people if person.has_closed],
    )


class Party:
    """The people, chatting until they are told to stop."""

    def __init__(self, sites: list[Site]) -> None:
        self.people = [
            Person(f"{room}.{member}", f"room{room}", sites[member % len(sites)])
            for room in range(ROOMS)
            for member in range(MEMBERS)
        ]
        self._has_begun = asyncio.Event()
        self._is_over = asyncio.Event()

    async def chat(self, trouble: Any) -> None:
        """Have everyone chat while ``trouble``, a coroutine, goes on, and a little longer."""
        ready = [asyncio.get_running_loop().create_future() for _ in self.people]
        async with asyncio.TaskGroup() as group:
            for person, seat in zip(self.people, ready, strict=True):
                group.create_task(self._attend(person, seat))
            await asyncio.gather(*ready)
            self._has_begun.set()
            await trouble
            self._is_over.set()

    async def _attend(self, person: Person, seat: asyncio.Future[None]) -> None:
        url = f"ws://127.0.0.1:{person.site.port}/{person.room}/"
        socket = await _connect(url)
        seat.set_result(None)
        reading = asyncio.create_task(self._read(person, socket))
        await self._talk(person, socket)
        await asyncio.sleep(STILL)
        reading.cancel()
        await asyncio.wait([reading])
        await socket.close()

    async def _talk(self, person: Person, socket: ClientConnection) -> None:
        number = 0
        # Who is not in the room yet would miss what is said in it.
        await self._has_begun.wait()
        await asyncio.sleep(hash(person.name) % 100 / 100 * PAUSE)
        while not self._is_over.is_set() and not person.has_closed:
            number += 1
            line = f"{person.name}:{number}"
            person.sent[line] = time.monotonic()
            try:
                await socket.send(json.dumps(line))
            except ConnectionClosed:
                person.has_closed = True
            await asyncio.sleep(PAUSE)

    async def _read(self, person: Person, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                person.take(json.loads(frame))
        except ConnectionClosed:
            pass
        person.has_closed = True


async def _connect(url: str) -> ClientConnection:
    end = time.monotonic() + 20 * SLOW
    while True:
        try:
            return await connect(url, compression=None, ping_interval=None, open_timeout=20 * SLOW)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)

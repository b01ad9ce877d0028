"""Thousands of clients that come back at once after a restart, and what that costs the broker."""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.history.position import Position
from tests.faults.checking import Published, Story, check
from tests.faults.conftest import RECOVERY_ROWS
from tests.faults.topic_client import Client, stop_all
from tests.faults.topic_load import Publisher, Site, until
from tests.servers.engines import Engine, single

TOPICS = 100
KILLED = int(os.environ.get("CHANNELS_TEST_KILLED", "10000"))
ROLLED = int(os.environ.get("CHANNELS_TEST_ROLLED", "2000"))
"""Clients when the server is killed, and when it is rolled."""
AT_ONCE = 500
"""Clients that connect at the same time before the test begins."""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = single(tmp_path / "engine")
    yield engine
    engine.stop()


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Crowd:
    """Many clients of one server, each in one of a hundred topics."""

    def __init__(self, site: Site, number: int) -> None:
        self.counts: Counter[str] = Counter()
        self.site = site
        self.clients = [
            Client(str(each), [f"kept.{each % TOPICS}"], lambda: [site.address], self.counts)
            for each in range(number)
        ]

    async def gather(self) -> None:
        """Connect everyone."""
        for start in range(0, len(self.clients), AT_ONCE):
            part = self.clients[start : start + AT_ONCE]
            for client in part:
                client.start()
            assert await until(functools.partial(are_ready, part)), self.counts
        self.counts.clear()

    async def judge(self, name: str, began_at: float, publisher: Publisher) -> None:
        """Wait for everyone, print how that went, and require that nothing is wrong."""
        has_come = await until(lambda: are_ready(self.clients), 3)
        published = [
            Published(each["topic"], Position.parse(each["position"]), each["data"])
            for each in publisher.outcomes()
            if each.get("position") is not None
        ]
        recovered = sorted(one.recovered_at or 0.0 for one in self.clients)
        reads = await asyncio.to_thread(self.site.reads)
        late = sum(number for what, number in self.counts.items() if "late" in what)
        RECOVERY_ROWS.append(
            (
                name, len(self.clients), len(published), self.counts["recovered"],
                f"{recovered[len(recovered) // 2] - began_at:.1f} s",
                f"{recovered[-1] - began_at:.1f} s",
                sum(reads["reads"].values()), max(reads["most_at_once"].values()), late,
            )
        )  # fmt: skip
        assert has_come, self.counts
        assert check(published, self.stories()) == []
        assert self.counts["recovered"] > 0
        assert not [what for what in self.counts if what.startswith(("gap", "error"))], self.counts
        assert late == 0, self.counts
        assert max(reads["most_at_once"].values()) == 1
        assert set(reads["reads"]) == {f"kept.{number}" for number in range(TOPICS)}

    def stories(self) -> dict[tuple[str, str], Story]:
        """Return what each client saw."""
        return {
            (client.name, topic): feed.story
            for client in self.clients
            for topic, feed in client.feeds.items()
        }


def are_ready(clients: list[Client]) -> bool:
    return all(client.is_ready for client in clients)


@asynccontextmanager
async def crowd(
    folder: Path, engine: Engine, number: int, *options: str
) -> AsyncIterator[tuple[Crowd, Site]]:
    site = Site(folder, 0, engine, *options)
    everyone = Crowd(site, number)
    try:
        await asyncio.to_thread(site.wait)
        await everyone.gather()
        yield everyone, site
    finally:
        await stop_all(everyone.clients)
        await asyncio.to_thread(site.server.kill)
    site.stop()


def publish(folder: Path, engine: Engine) -> Publisher:
    """Publish to every topic, twice."""
    publisher = Publisher(folder, engine, topics=TOPICS, rate=200)
    try:
        publisher.wait_for(4 * TOPICS)
        publisher.stop()
    finally:
        publisher.kill()
    return publisher


async def test_clients_of_a_killed_server_recover_at_once(tmp_path: Path, engine: Engine) -> None:
    async with crowd(tmp_path, engine, KILLED) as (everyone, site):
        await asyncio.to_thread(site.server.kill)
        publisher = await asyncio.to_thread(publish, tmp_path, engine)
        await asyncio.to_thread(site.start)

        await everyone.judge("SIGKILL, started again", time.monotonic(), publisher)


async def test_thousands_recover_while_a_server_is_rolled(tmp_path: Path, engine: Engine) -> None:
    options = ("--drain-window", "10", "--drain-timeout", "30")
    async with crowd(tmp_path, engine, ROLLED, *options) as (everyone, site):
        began_at = time.monotonic()
        site.server.signal(signal.SIGHUP)
        publisher = await asyncio.to_thread(publish, tmp_path, engine)
        assert await until(lambda: everyone.counts["connections lost"] >= ROLLED, 3)

        await everyone.judge("SIGHUP, drained over 10 s", began_at, publisher)
        assert everyone.counts["connections lost"] == ROLLED
        await asyncio.to_thread(site.server.wait_for_log, "All workers are new.")

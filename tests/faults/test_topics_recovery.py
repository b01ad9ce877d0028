"""Thousands of clients that come back at once after a restart, and what that costs the broker."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.history.position import Position
from tests.faults.checking import Published, check
from tests.faults.conftest import RECOVERY_ROWS
from tests.faults.topic_client import Client, stop_all
from tests.faults.topic_load import Publisher, Site, until
from tests.servers.engines import Engine, single

CLIENTS = int(os.environ.get("CHANNELS_TEST_CLIENTS", "10000"))
TOPICS = 100
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


async def test_thousands_recover_at_once_after_a_restart(tmp_path: Path, engine: Engine) -> None:
    counts: Counter[str] = Counter()
    site = Site(tmp_path, 0, engine)
    clients = [
        Client(str(number), [f"kept.{number % TOPICS}"], lambda: [site.address], counts)
        for number in range(CLIENTS)
    ]
    try:
        await asyncio.to_thread(site.wait)
        for start in range(0, CLIENTS, AT_ONCE):
            part = clients[start : start + AT_ONCE]
            for client in part:
                client.start()
            assert await until(lambda part=part: all(one.is_ready for one in part)), counts
        counts.clear()

        await asyncio.to_thread(site.server.kill)
        published = await asyncio.to_thread(publish_meanwhile, tmp_path, engine)
        await asyncio.to_thread(site.start)
        served_at = time.monotonic()
        assert await until(lambda: all(one.is_ready for one in clients)), counts

        recovered = sorted(one.recovered_at or 0.0 for one in clients)
        reads = await asyncio.to_thread(site.reads)
    finally:
        await stop_all(clients)
        await asyncio.to_thread(site.server.kill)
    site.stop()
    stories = {
        (client.name, topic): feed.story
        for client in clients
        for topic, feed in client.feeds.items()
    }
    RECOVERY_ROWS.append(
        (
            CLIENTS, len(published), counts["recovered"],
            f"{recovered[CLIENTS // 2] - served_at:.1f} s", f"{recovered[-1] - served_at:.1f} s",
            sum(reads["reads"].values()), max(reads["most_at_once"].values()),
            sum(number for what, number in counts.items() if "late" in what),
        )
    )  # fmt: skip
    assert check(published, stories) == []
    assert counts["recovered"] == len(published) * CLIENTS // TOPICS > 0
    assert [what for what in counts if "late" in what or what.startswith(("gap", "error"))] == []
    assert max(reads["most_at_once"].values()) == 1
    assert set(reads["reads"]) == {f"kept.{number}" for number in range(TOPICS)}


def publish_meanwhile(folder: Path, engine: Engine) -> list[Published]:
    """Publish to every topic while no server is there."""
    publisher = Publisher(folder, engine, topics=TOPICS, rate=200)
    try:
        publisher.wait_for(2 * TOPICS)
        publisher.stop()
    finally:
        publisher.kill()
    return [
        Published(each["topic"], Position.parse(each["position"]), each["data"])
        for each in publisher.outcomes()
        if each.get("position") is not None
    ]

"""Reliable topics over a bad network, for a short while; ``make faults`` has the long ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.topic_load import load, run
from tests.servers.engines import Engine, single

pytestmark = pytest.mark.timeout(150)

SECONDS = 12.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = single(tmp_path / "engine")
    yield engine
    engine.stop()


async def test_two_hundred_clients_whose_connections_are_cut_miss_nothing(
    tmp_path: Path, engine: Engine
) -> None:
    async with load(tmp_path, engine, with_proxies=True) as everything:
        account = await run(
            tmp_path, everything, engine, lambda: everything.harm_again_and_again(SECONDS)
        )

    assert account.published
    assert account.faults == []
    assert account.gaps == []
    assert account.counts["connections lost"] > 0
    # There was something to lose.
    assert account.missed > 0

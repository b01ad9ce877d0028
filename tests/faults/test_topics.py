"""Reliable topics lose nothing: not to cut connections, restarted servers, or a killed Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import TOPIC_ROWS
from tests.faults.topic_load import TOPICS, Account, load, run
from tests.servers.engines import Engine, Server, single
from tests.slow import SLOW

pytestmark = pytest.mark.timeout(300)

LONG = 120.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = single(tmp_path / "engine")
    yield engine
    engine.stop()


def judge(name: str, account: Account, *, gaps: bool = False) -> None:
    """Print what was seen, and require that nothing is wrong; with ``gaps`` these are right."""
    TOPIC_ROWS.append((name, *account.row))
    assert {each.topic for each in account.published} == {f"kept.{n}" for n in range(TOPICS)}
    assert account.faults == []
    assert bool(account.gaps) is gaps
    assert account.counts["answers without an end"] == 0


async def test_cut_connections_lose_nothing(tmp_path: Path, engine: Engine) -> None:
    async with load(tmp_path, engine, with_proxies=True) as everything:
        account = await run(
            tmp_path, everything, engine, lambda: everything.harm_again_and_again(LONG)
        )
        faults = sum((proxy.faults for proxy in everything.proxies), start=account.counts.copy())

    judge("cut for 2 s, for 2 min", account)
    assert all(faults[kind] for kind in ("reset", "half open", "black hole", "refused"))
    # The volatile topics show that there was something to lose.
    assert account.missed > 0


async def test_cut_connections_of_clients_and_to_redis_lose_nothing(
    tmp_path: Path, engine: Engine
) -> None:
    async def cut() -> None:
        for _ in range(60):
            await asyncio.to_thread(engine.servers[0].kill_clients)
            await asyncio.sleep(0.5)

    async with load(tmp_path, engine, with_proxies=True) as everything:

        async def trouble() -> None:
            await asyncio.gather(cut(), everything.harm_again_and_again(30))

        account = await run(tmp_path, everything, engine, trouble)

    judge("the same, and CLIENT KILL each 0.5 s, for 30 s", account)
    assert account.missed > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_a_deployment_loses_nothing(
    tmp_path: Path, engine: Engine, number: signal.Signals
) -> None:
    options = ("--drain-window", "3", "--drain-timeout", "5")
    async with load(tmp_path, engine, *options) as everything:

        async def deploy() -> None:
            for site in everything.sites * 2:
                await asyncio.sleep(3)
                await asyncio.to_thread(site.restart, number)
            await asyncio.sleep(3)

        account = await run(tmp_path, everything, engine, deploy)

    judge(f"both restarted twice, {number.name}", account)
    assert account.counts["connections lost"] > 0


@pytest.mark.parametrize("sync", ["always", "everysec", "none"])
async def test_a_killed_redis_loses_nothing_silently(tmp_path: Path, sync: str) -> None:
    kept = ("--appendonly", "yes", "--appendfsync", sync)
    server = Server(tmp_path / "engine", *(() if sync == "none" else kept))
    engine = Engine([server.address], [server])
    try:
        async with load(tmp_path, engine) as everything:

            async def trouble() -> None:
                for _ in range(3):
                    await asyncio.sleep(3)
                    await asyncio.to_thread(server.kill)
                    await asyncio.sleep(1)
                    await asyncio.to_thread(server.start)
                await asyncio.sleep(4 * SLOW)

            account = await run(tmp_path, everything, engine, trouble)
    finally:
        engine.stop()

    judge(f"Redis killed 3 times, fsync {sync}", account, gaps=True)

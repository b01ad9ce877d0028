"""Engines, each started once a session when a test first asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels import telemetry
from channels_redis.core import RedisChannelLayer
from tests.servers import engines
from tests.servers.engines import Engine, Server

Make = Callable[..., Any]

TOPOLOGIES: dict[str, Callable[[Path], Engine]] = {
    "single": engines.single,
    "two shards": lambda folder: engines.shards(folder, 2),
    "three shards": lambda folder: engines.shards(folder, 3),
    "two databases": engines.databases,
    "unix socket": engines.unix_socket,
    "tls": engines.tls,
    "sentinel": engines.SentinelEngine,
    "cluster": engines.ClusterEngine,
}


@pytest.fixture(scope="session")
def engine_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Engine]]:
    """Return the engine of a topology."""
    running: dict[str, Engine] = {}

    def engine(topology: str) -> Engine:
        if topology not in running:
            folder = tmp_path_factory.mktemp("engine") / "0"
            running[topology] = TOPOLOGIES[topology](folder)
        return running[topology]

    yield engine
    for each in running.values():
        each.stop()


@pytest.fixture
def engine(engine_of: Callable[[str], Engine]) -> Engine:
    engine = engine_of("single")
    engine.flush()
    return engine


@pytest.fixture
def server(engine: Engine) -> Server:
    return engine.servers[0]


@pytest.fixture
async def make(engine: Engine) -> AsyncIterator[Make]:
    layers: list[Any] = []

    def make(backend: Any = RedisChannelLayer, **options: Any) -> Any:
        layers.append(backend(**{"hosts": engine.hosts} | options))
        return layers[-1]

    yield make
    for layer in layers:
        await layer.close_pools()


@pytest.fixture
def told() -> Iterator[list[telemetry.Event]]:
    events: list[telemetry.Event] = []
    stop = telemetry.subscribe(events.append)
    yield events
    stop()

"""Engines, each started once a session when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import engines
from tests.servers.engines import Engine

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

"""Every snippet of the page about Redis, against the servers that it is about."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string

from channels import telemetry
from tests.servers import engines
from tests.servers.engines import ClusterEngine, Engine, SentinelEngine
from tests.slow import SLOW

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "redis.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
LAYERS = [block for block in BLOCKS if block.startswith("CHANNEL_LAYERS")]
OTHERS = [block for block in BLOCKS if block not in LAYERS]

Here = dict[str, str]
"""What a snippet says, and what is true here."""


def single(folder: Path) -> tuple[Engine, Here]:
    engine = engines.single(folder)
    port = engine.servers[0].port
    return engine, {
        "cache-a:6379": f"127.0.0.1:{port}",
        '("cache-a", 6379)': f'("127.0.0.1", {port})',
    }


def sharded(folder: Path) -> tuple[Engine, Here]:
    engine = engines.shards(folder, 2)
    return engine, {
        f'("cache-{name}", 6379)': str(server.address)
        for name, server in zip("ab", engine.servers, strict=True)
    }


def sentinel(folder: Path) -> tuple[Engine, Here]:
    engine = SentinelEngine(folder)
    return engine, {'("sentinel-a", 26379)': str(engine.hosts[0]["sentinels"][0])}


def cluster(folder: Path) -> tuple[Engine, Here]:
    engine = ClusterEngine(folder)
    return engine, {
        f'("cluster-{name}", 6379)': str(server.address)
        for name, server in zip("ab", engine.servers, strict=False)
    }


def tls(folder: Path) -> tuple[Engine, Here]:
    engine = engines.tls(folder)
    [host] = engine.hosts
    return engine, {"rediss://tls:6380": host["address"], "/etc/ssl/ca.pem": host["ssl_ca_certs"]}


def unix_socket(folder: Path) -> tuple[Engine, Here]:
    engine = engines.unix_socket(folder)
    return engine, {"/run/redis.sock": str(folder / "redis.sock")}


STARTS: dict[str, Callable[[Path], tuple[Engine, Here]]] = {
    "sentinel-a": sentinel,
    "cluster-a": cluster,
    "rediss://": tls,
    "unix://": unix_socket,
    "cache-b": sharded,
    "cache-a": single,
}


@pytest.fixture
def layer_of(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    running: list[Engine] = []

    def layer(block: str) -> Any:
        start = next(start for word, start in STARTS.items() if word in block)
        engine, here = start(tmp_path / "engine")
        running.append(engine)
        for said, true in here.items():
            assert said in block or start is single
            block = block.replace(said, true)
        config = _run(block)["CHANNEL_LAYERS"]["default"]
        return import_string(config["BACKEND"])(**config["CONFIG"])

    yield layer
    for engine in running:
        engine.stop()


@pytest.mark.parametrize("number", range(len(LAYERS)))
async def test_a_layer_of_the_page_delivers(layer_of: Callable[[str], Any], number: int) -> None:
    layer = layer_of(LAYERS[number])
    channel = await layer.new_channel()
    await layer.group_add("room", channel)

    await layer.group_send("room", {"type": "hello"})

    async with asyncio.timeout(10 * SLOW):
        assert await layer.receive(channel) == {"type": "hello"}
    await layer.close_pools()


async def test_the_other_snippets_do_what_the_page_says(layer_of: Callable[[str], Any]) -> None:
    layer = layer_of(LAYERS[0])
    names: dict[str, Any] = {}
    for block in OTHERS:
        names |= _run(block)

    assert await names["tell"](layer, "room", "hello") == "sent"
    assert names["unhealthy"](layer) == []
    telemetry.emit(telemetry.BrokerConnectionLost("0", "cut"))
    assert names["events"] == [telemetry.BrokerConnectionLost("0", "cut")]
    names["stop"]()
    await layer.close_pools()


def _run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names

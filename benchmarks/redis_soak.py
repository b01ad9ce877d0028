"""Join, send and leave over Redis for a while and see that nothing stays, here or there.

    python benchmarks/redis_soak.py [--seconds 600] [--together 50]

For each layer a server of its own is started. Again and again ``--together`` consumers attach, join
a group of their own and one that all share, get a message through both, and end: by leaving, or by
being forgotten. At the end Redis must have as many keys, subscriptions and connections as after the
first rounds, and the second half may have added at most 1 MiB of resident memory to the first.

Timed: nothing; the rounds are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import redis
from django.conf import settings  # noqa: TID251 - this is a project

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

MOST_GROWTH: Final = 1.0
"""MiB of resident memory that the second half may add."""
WARM_UP: Final = 30
"""Rounds before the first look."""
LAYERS: Final = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
# What a layer has for as long as it lives: these remember a sender for a minute.
LASTING: Final = ("stored", "pulled")


class Consumer:
    """Attached to one channel; notes when a message is there."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._arrived = asyncio.Event()

    async def sit_down(self) -> None:
        """Attach to a new channel."""
        self.channel = await self._layer.new_channel()
        self._inbox = self._layer.attach(self.channel, self._arrived.set)

    async def take(self, count: int) -> None:
        """Wait for ``count`` messages."""
        while count:
            self._arrived.clear()
            while count and self._inbox.take() is not None:
                count -= 1
            if count:
                async with asyncio.timeout(10):
                    await self._arrived.wait()


async def play(layer: Any, number: int, together: int) -> None:
    """Open, use and end some consumers."""
    consumers = [Consumer(layer) for _ in range(together)]
    for index, consumer in enumerate(consumers):
        await consumer.sit_down()
        await layer.group_add("everyone", consumer.channel)
        await layer.group_add(f"own.{number}.{index}", consumer.channel)
    await layer.group_send("everyone", {"type": "line", "text": "hello" * 20})
    for index in range(together):
        await layer.group_send(f"own.{number}.{index}", {"type": "line", "text": "you"})
    await asyncio.gather(*[consumer.take(2) for consumer in consumers])
    for index, consumer in enumerate(consumers):
        if index % 2:
            await layer.group_discard("everyone", consumer.channel)
        layer.detach(consumer.channel)


def look(client: redis.Redis) -> dict[str, int]:
    """Count what Redis holds for us."""
    keys = [key for key in client.scan_iter() if not any(word in str(key) for word in LASTING)]
    return {
        "keys": len(keys),
        "topics": len(client.pubsub_channels()),
        "patterns": int(client.pubsub_numpat()),
        "connections": len(client.client_list()),
    }


def resident() -> float:
    """Return this process's resident memory in MiB."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


async def soak(layer: Any, client: redis.Redis, *, seconds: float, together: int) -> list[str]:
    """Play for some time and return what is wrong afterwards."""
    number = 0

    async def play_until(end: float, least: int = 0) -> None:
        nonlocal number
        first = number
        while time.monotonic() < end or number < first + least:
            await play(layer, number, together)
            number += 1
        # Leaving is told to Redis a turn of the loop later, and answered.
        await asyncio.sleep(0.5)

    await play_until(0, WARM_UP)
    before, started = look(client), time.monotonic()
    await play_until(started + seconds / 2)
    middle = resident()
    await play_until(started + seconds)
    growth, after = resident() - middle, look(client)
    print(f"  {number} rounds of {together}; {after}; the second half added {growth:.2f} MiB")
    wrong = [
        f"{name}: {before[name]} -> {after[name]}" for name in before if after[name] > before[name]
    ]
    if growth > MOST_GROWTH:
        wrong.append(f"the second half added {growth:.2f} MiB, more than {MOST_GROWTH:g}")
    return wrong


def main() -> int:
    """Soak both layers; return 1 if something stayed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--together", type=int, default=50)
    arguments = parser.parse_args()
    settings.configure()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    engines = importlib.import_module("tests.servers.engines")

    wrong = []
    for name, backend in LAYERS.items():
        with tempfile.TemporaryDirectory() as folder:
            engine = engines.single(Path(folder) / "engine")
            with engine.servers[0].client() as client:
                print(f"{name}: {arguments.seconds:g} s")
                wrong += asyncio.run(_soak(backend(engine.hosts), client, arguments))
            engine.stop()
    print("\n".join(f"STAYED {each}" for each in wrong) or "nothing stayed")
    return 1 if wrong else 0


async def _soak(layer: Any, client: redis.Redis, arguments: argparse.Namespace) -> list[str]:
    try:
        return await soak(layer, client, seconds=arguments.seconds, together=arguments.together)
    finally:
        await layer.close_pools()


if __name__ == "__main__":
    sys.exit(main())

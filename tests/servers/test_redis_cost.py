"""What joining, sending and leaving cost in commands, whatever the size of the group.

A layer stands for a process here: each has its own inbox and its own memberships. The table is in
docs/reference/redis-cost.md.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from channels.history.broker import Retention
from channels.testing.contract.topics import Recorder
from channels_redis import _hearing, _loop_layer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers.engines import Engine, Server
from tests.slow import SLOW

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "redis-cost.md"
BACKENDS = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
OWN = {"INFO", "CONFIG|RESETSTAT", "CLIENT|SETINFO", "SELECT"}
"""Commands of whoever counts."""


class Counting:
    """Counts the commands that a server executes, those inside scripts included."""

    def __init__(self, server: Server) -> None:
        self._client = server.client()

    def restart(self) -> None:
        """Count from here."""
        self._client.config_resetstat()

    def calls(self) -> Counter[str]:
        """Return how often each command was executed since."""
        stats = self._client.info("commandstats")
        counts = {
            name.removeprefix("cmdstat_").upper(): each["calls"] for name, each in stats.items()
        }
        return Counter({name: count for name, count in counts.items() if name not in OWN})

    def close(self) -> None:
        """Let the server go."""
        self._client.close()


class Crowd:
    """The members of one group in several processes.

    Args:
        layers: One for each process.
        members: How many in all.
    """

    def __init__(self, layers: list[Any], members: int) -> None:
        self._layers = layers
        self._members = members
        self._channels: list[tuple[Any, str, Any]] = []
        self._missing = 0
        self._all_have_it = asyncio.Event()

    async def sit_down(self) -> None:
        """Attach every member to its process."""
        for number in range(self._members):
            layer = self._layers[number % len(self._layers)]
            channel = await layer.new_channel()
            self._channels.append((layer, channel, layer.attach(channel, self._note)))

    async def join(self) -> None:
        """Have everyone join."""
        for layer, channel, _ in self._channels:
            await layer.group_add("room", channel)

    async def send(self) -> None:
        """Send one message and wait until every member has it."""
        self._missing = self._members
        await self._layers[0].group_send("room", {"type": "line", "text": "hello"})
        async with asyncio.timeout(10):
            await self._all_have_it.wait()
        # The readers delete what they have read.
        await asyncio.sleep(0.05)

    async def leave(self) -> None:
        """Have everyone leave."""
        for layer, channel, _ in self._channels:
            layer.detach(channel)
        await asyncio.sleep(0.05)

    def _note(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all_have_it.set()


@pytest.fixture
def counting(engine_of: Callable[[str], Engine]) -> Any:
    counting = Counting(engine_of("single").servers[0])
    yield counting
    counting.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    # Signs of life are not what is counted.
    monkeypatch.setattr(_loop_layer, "LONGEST_BEAT", 1000)
    monkeypatch.setattr(_hearing, "BEAT", 1000)
    name: str = request.param
    return name


@pytest.fixture
async def crowd_of(
    backend: str, engine_of: Callable[[str], Engine]
) -> AsyncIterator[Callable[[int, int], Crowd]]:
    layers: list[Any] = []

    def crowd(processes: int, members: int) -> Crowd:
        options = {"prefix": f"asgi-cost-{members}", "expiry": 3600}
        layers.extend(
            BACKENDS[backend](engine_of("single").hosts, **options) for _ in range(processes)
        )
        return Crowd(layers[-processes:], members)

    yield crowd
    for layer in layers:
        await layer.close_pools()


async def quiet(counting: Counting) -> None:
    """Return when connecting is over: nothing but waiting reads comes any more."""
    async with asyncio.timeout(10 * SLOW):
        while True:
            counting.restart()
            await asyncio.sleep(0.3)
            if not set(counting.calls()) - {"XREAD", "PING"}:
                return


async def costs(crowd: Crowd, counting: Counting) -> dict[str, Counter[str]]:
    """Return the commands for joining, one message and leaving, without waiting reads."""
    await crowd.sit_down()
    await quiet(counting)
    result = {}
    for name, act in (("join", crowd.join), ("send", crowd.send), ("leave", crowd.leave)):
        counting.restart()
        await act()
        result[name] = counting.calls()
    return result


@pytest.mark.parametrize("processes", [1, 4])
async def test_cost_does_not_grow_with_the_members_and_is_what_the_document_says(
    crowd_of: Callable[[int, int], Crowd], counting: Counting, backend: str, processes: int
) -> None:
    seen = {}
    for members in (processes, 100, 10_000):
        by_act = await costs(crowd_of(processes, members), counting)
        # A read that waits is executed when it began, which may be before.
        seen[members] = {
            act: sum(count for name, count in calls.items() if name not in ("XREAD", "PING"))
            for act, calls in by_act.items()
        }

    few, some, many = seen.values()
    assert few == some == many
    row = f"| {backend} | {processes} | {few['join']} | {few['send']} | {few['leave']} |"
    assert row in re.sub(r" +", " ", DOCUMENT.read_text()), f"the document lacks {row}"


async def test_topics_cost_what_the_document_says(
    engine_of: Callable[[str], Engine], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hearing, "BEAT", 1000)
    layer = RedisChannelLayer(engine_of("single").hosts, prefix="asgi-cost-topics")
    broker = layer.topic_broker(Recorder())
    kept = Retention(entries=10, max_bytes=10_000, ttl=60.0)
    names = itertools.count()

    def publish(retention: Retention | None) -> Any:
        return broker.publish(
            "topic", b"body", retention=retention, publication_id=str(next(names))
        )

    acts: dict[str, Callable[[], Any]] = {
        "publish, volatile": lambda: publish(None),
        "publish, reliable": lambda: publish(kept),
        "read": lambda: broker.read("topic", 0),
        "positions of 10 topics": lambda: broker.positions([f"topic.{n}" for n in range(10)]),
        "listen": lambda: broker.listen("topic"),
        "enter": lambda: broker.enter("topic", "2", "bob", shown="{}"),
        "enter, a second tab": lambda: broker.enter("topic", "3", "bob", shown="{}"),
        "leave, the last tab": lambda: broker.leave("topic", "1"),
        "renew 10 topics": lambda: broker.renew(["topic", *map(str, range(9))], 60.0),
        "present": lambda: broker.present("topic"),
    }
    try:
        for _ in range(20):  # as many as are kept, and more
            await publish(kept)
        await broker.listen("another")
        await broker.positions([f"topic.{n}" for n in range(10)])
        await broker.enter("topic", "1", "ann", shown="{}")
        await broker.enter("topic", "0", "eve", shown="{}")
        await quiet(counting)
        for name, act in acts.items():
            counting.restart()
            await act()
            calls = sum(count for each, count in counting.calls().items() if each != "PING")
            row = f"| {name} | {calls} |"
            assert row in DOCUMENT.read_text(), f"the document lacks {row}"
    finally:
        await layer.flush()
        await layer.close_pools()

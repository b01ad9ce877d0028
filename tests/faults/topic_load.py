"""Two hundred clients of topics on two servers, a publisher beside them, and the account of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from channels.history.position import Position
from tests.faults.checking import Fault, Gap, Published, Story, check, gaps
from tests.faults.proxy import Proxy
from tests.faults.topic_client import Address, Client, stop_all
from tests.integration.production import Production
from tests.integration.serving import ROOT
from tests.servers.engines import Engine, free_port, wait_for
from tests.slow import SLOW

TOPICS: Final = 20
MEMBERS: Final = 10
RATE: Final = 100.0
"""Publications a second in all reliable topics together, and as many in all volatile ones."""
PATIENCE: Final = 60 * SLOW
"""Seconds for everyone to be subscribed, and after the end for everyone to have everything."""


class Site:
    """One server process that comes back to its port.

    Args:
        folder: Where its logs are.
        number: Of the site.
        engine: Its broker.
        *options: Of ``manage.py serve``.
    """

    def __init__(self, folder: Path, number: int, engine: Engine, *options: str) -> None:
        self.address: Address = ("127.0.0.1", free_port())
        self.logs: list[Path] = []
        self._folder = folder
        self._number = number
        self._options = options
        self._environment = {"SITE_HOSTS": json.dumps(engine.hosts)}
        self.server = self._launch()

    def wait(self) -> None:
        """Return when it serves."""
        self.server.wait_for_log("worker(s) ready.")

    def restart(self, number: int) -> None:
        """End it by a signal, politely or at once, and start it again."""
        if number == signal.SIGKILL:
            self.server.kill()
        else:
            self.server.signal(number)
            self.server.process.wait(PATIENCE)
        self.start()

    def start(self) -> None:
        """Start it again, and wait until it serves."""
        self.server = self._launch()
        self.wait()

    def stop(self) -> None:
        """End it, and see that it complained of no mistake of ours."""
        self.server.kill()
        for log in self.logs:
            assert "Traceback" not in log.read_text(), log.read_text()[-3000:]

    def reads(self) -> dict[str, dict[str, int]]:
        """Return what it has read of histories."""
        status, body = self.server.get("/reads/")
        assert status == 200, body
        found: dict[str, dict[str, int]] = json.loads(body)
        return found

    def _launch(self) -> Production:
        self.logs.append(self._folder / f"site{self._number}.{len(self.logs)}.log")
        return Production(
            self.logs[-1],
            *("--settings", "tests.faults.topic_site", "--port", str(self.address[1])),
            *("--workers", "1", "--no-access-log", *self._options),
            **self._environment,
        )


class Publisher:
    """Publishes from a process of its own until it is stopped."""

    def __init__(
        self, folder: Path, engine: Engine, *, topics: int = TOPICS, rate: float = RATE
    ) -> None:
        self._output = folder / "published.jsonl"
        with self._output.open("wb") as output, (folder / "publisher.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.publisher", str(topics), str(rate)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=log,
                env=os.environ | {"SITE_HOSTS": json.dumps(engine.hosts)},
            )

    def wait_for(self, count: int) -> None:
        """Return when it has published so often."""
        wait_for(lambda: self._output.read_bytes().count(b"\n") >= count, "publications")

    def stop(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, (self._output.parent / "publisher.log").read_text()

    def kill(self) -> None:
        """End it, if it has not."""
        self._process.kill()
        self._process.wait()

    def outcomes(self) -> list[dict[str, Any]]:
        """Return what it has written."""
        return [json.loads(line) for line in self._output.read_text().splitlines()]


@dataclass(frozen=True)
class Account:
    """What became of the publications.

    Attributes:
        published: In reliable topics, those that ``publish`` returned for.
        failed: How often it raised.
        faults: What is wrong.
        gaps: What clients were told of.
        expected: Deliveries that there would be in volatile topics without any loss.
        missed: How many of these there were not.
        seconds: How long it took until all had everything, after the last publication.
        counts: What happened to the clients.
    """

    published: list[Published]
    failed: int
    faults: list[Fault]
    gaps: list[Gap]
    expected: int
    missed: int
    seconds: float
    counts: Counter[str]

    @property
    def row(self) -> tuple[Any, ...]:
        """For the table."""
        kinds = Counter(fault.kind for fault in self.faults)
        deliveries = len(self.published) * MEMBERS
        missed = self.missed / max(self.expected, 1)
        return (
            len(self.published), self.failed, deliveries, kinds["lost"],
            len(self.faults) - kinds["lost"], len(self.gaps), f"{missed:.2%}",
            self.counts["connections lost"], f"{self.seconds:.1f} s",
        )  # fmt: skip


class Load:
    """The clients, the servers and what is between them.

    Attributes:
        sites: The servers.
        proxies: What stands before them, if anything does.
        clients: All.
        counts: What happened to them.
    """

    def __init__(self, sites: list[Site], proxies: list[Proxy]) -> None:
        self.sites = sites
        self.proxies = proxies
        self.counts: Counter[str] = Counter()
        self.clients = [
            Client(
                f"{number}-{member}",
                [f"kept.{number}", f"loose.{number}"],
                self.addresses,
                self.counts,
            )
            for number in range(TOPICS)
            for member in range(MEMBERS)
        ]

    def addresses(self) -> list[Address]:
        """Return where clients may connect."""
        return [one.address for one in self.proxies or self.sites]

    async def harm_again_and_again(self, seconds: float) -> None:
        """Cut a third of the connections for 2 s, at random moments."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(random.uniform(0, 2))  # noqa: S311 - any moment
            await random.choice(self.proxies).harm(1 / 3, 2.0)  # noqa: S311 - any

    def stories(self) -> dict[tuple[str, str], Story]:
        """Return what each client saw of its reliable topics."""
        return {
            (client.name, feed.topic): feed.story
            for client in self.clients
            for feed in client.feeds.values()
            if feed.topic.startswith("kept")
        }

    def has_settled(self, published: Iterable[Published]) -> bool:
        """Return whether everyone stands where the topics do."""
        last: dict[str, Position] = {each.topic: each.position for each in published}
        return all(
            (at := client.feeds[topic].position) is not None
            and at.epoch == position.epoch
            and at.offset >= position.offset
            for client in self.clients
            for topic, position in last.items()
            if topic in client.feeds
        )

    async def give_account(self, publisher: Publisher) -> Account:
        """Wait until everyone has everything, but not for ever, and compare."""
        outcomes = publisher.outcomes()
        returned = [each for each in outcomes if "failed" not in each]
        published = [
            Published(each["topic"], Position.parse(each["position"]), each["data"])
            for each in returned
            if each["position"] is not None
        ]
        start = time.monotonic()
        await until(lambda: self.has_settled(published))
        seconds = time.monotonic() - start
        missed = expected = 0
        for each in returned:
            if each["position"] is None:
                members = [one for one in self.clients if each["topic"] in one.feeds]
                seen = [one.feeds[each["topic"]].seen[each["data"]] for one in members]
                expected += len(members)
                missed += seen.count(0)
        stories = self.stories()
        return Account(
            published,
            len(outcomes) - len(returned),
            check(published, stories),
            gaps(stories),
            expected,
            missed,
            seconds,
            self.counts,
        )


@asynccontextmanager
async def load(
    folder: Path, engine: Engine, *options: str, with_proxies: bool = False
) -> AsyncIterator[Load]:
    """Start two servers and all clients, and end them."""
    sites = [Site(folder, number, engine, *options) for number in range(2)]
    proxies = [Proxy(site.address) for site in sites] if with_proxies else []
    clients: list[Client] = []
    try:
        for site in sites:
            await asyncio.to_thread(site.wait)
        for proxy in proxies:
            await proxy.start()
        everything = Load(sites, proxies)
        clients = everything.clients
        for client in clients:
            client.start()
        assert await until(lambda: all(client.is_ready for client in clients)), everything.counts
        yield everything
    finally:
        await stop_all(clients)
        for proxy in proxies:
            await proxy.stop()
        for site in sites:
            await asyncio.to_thread(site.server.kill)
    for site in sites:
        site.stop()


async def run(
    folder: Path, everything: Load, engine: Engine, trouble: Callable[[], Awaitable[None]]
) -> Account:
    """Publish while ``trouble`` goes on, and give an account."""
    publisher = Publisher(folder, engine)
    try:
        await trouble()
        await asyncio.to_thread(publisher.stop)
    finally:
        with suppress(ProcessLookupError):
            publisher.kill()
    return await everything.give_account(publisher)


async def until(is_so: Callable[[], bool], times: float = 1) -> bool:
    """Wait until it is so; return ``False`` if it takes so many times too long."""
    end = time.monotonic() + times * PATIENCE
    while not is_so():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True

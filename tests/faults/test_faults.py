"""Real faults of a real Redis while two hundred people chat through two servers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from channels_redis._keys import slot, spread_tags
from channels_redis.utils import _consistent_hash
from tests.faults.chatting import Account, Party, Person, Site, account
from tests.faults.conftest import ROWS
from tests.servers import engines
from tests.servers.engines import ClusterEngine, Engine, SentinelEngine, Server
from tests.slow import SLOW

pytestmark = pytest.mark.timeout(180)

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
BEFORE = 2 * SLOW
AFTER = 5 * SLOW
"""Seconds of chat before a fault and after it."""
EDGE = 0.5 * SLOW
"""Seconds around a cut for which it may not be known yet."""
RETURN = 2 * SLOW
"""Seconds after the engine's return within which delivery goes on."""

Start = Callable[[Path], Any]


class Trial:
    """One chat with one fault.

    Attributes:
        engine: The broker.
        sites: The servers.
        party: The people.
        broke_at: When the fault began.
        returned_at: When the engine was back.
    """

    def __init__(self, backend: str, engine: Engine, folder: Path) -> None:
        options: dict[str, Any] = {"hosts": engine.hosts}
        if backend == PUBSUB:
            options |= {"on_disconnect": "redis.gone", "on_reconnect": "redis.back"}
        layer = {"BACKEND": backend, "CONFIG": options}
        self.backend = backend
        self.engine = engine
        self.sites = [Site(layer, folder / f"site{number}.log") for number in range(2)]
        self.party = Party(self.sites)
        self.broke_at = self.returned_at = 0.0

    def run(self, name: str, fault: Callable[[], None]) -> Account:
        """Chat, let ``fault`` happen, chat on, and give an account."""
        asyncio.run(self.party.chat(self._trouble(fault)))
        result = account(self.people)
        goes_on = self.goes_on_after()
        ROWS.append(
            (
                self.backend.split(".")[1], name, len(result.published), result.failed,
                len(result.lost), len(result.doubled), len(result.closed), f"{goes_on:.2f} s",
            )
        )  # fmt: skip
        return result

    @property
    def people(self) -> list[Person]:
        """Those whose server was not killed."""
        return [person for person in self.party.people if person.site in self.sites]

    def goes_on_after(self) -> float:
        """Return the seconds after the engine's return at which the last room hears a line."""
        first: dict[str, float] = {}
        for person in self.people:
            for at in person.line_times:
                if at > self.returned_at:
                    first[person.room] = min(first.get(person.room, at), at)
        assert len(first) == len({person.room for person in self.people})
        return max(first.values()) - self.returned_at

    def stop(self) -> None:
        """End everything, and see that nothing was complained of that is a mistake of ours."""
        for site in self.sites:
            site.kill()
        self.engine.stop()
        for site in self.sites:
            assert "Traceback" not in site.log.read_text(), site.log.read_text()[-3000:]

    async def _trouble(self, fault: Callable[[], None]) -> None:
        await asyncio.sleep(BEFORE)
        self.broke_at = time.monotonic()
        await asyncio.to_thread(fault)
        self.returned_at = time.monotonic()
        await asyncio.sleep(AFTER)


@pytest.fixture(params=[CORE, PUBSUB], ids=["core", "pubsub"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Start], Trial]]:
    trials: list[Trial] = []

    def start(make_engine: Start) -> Trial:
        trials.append(Trial(request.param, make_engine(tmp_path / "engine"), tmp_path))
        return trials[-1]

    yield start
    for trial in trials:
        trial.stop()


def keeping(folder: Path) -> Engine:
    return engines.single(folder, keeps_data=True)


def judge(
    trial: Trial,
    result: Account,
    may_be_lost: Callable[[str, float], bool] = lambda line, at: False,
) -> None:
    """Hold an account against what the layer promises.

    ``may_be_lost`` says of a line and the time when it was published that no replica had it.
    """
    assert result.closed == []
    assert result.doubled == []
    assert trial.goes_on_after() < RETURN
    lost = [line for line, _ in result.lost]
    if trial.backend == CORE:
        assert [line for line in lost if not may_be_lost(line, result.published[line])] == []
        return
    back = [at for person in trial.people for what, at in person.redis if what == "back"]
    end = max([trial.broke_at, *back]) + EDGE
    for line in lost:
        assert trial.broke_at - EDGE < result.published[line] < end, line


class Confirmation:
    """Watches how much of what a master has a replica has too.

    Attributes:
        until: The latest moment before which it had everything.
    """

    def __init__(self, server: Server, key: str) -> None:
        self.until = 0.0
        self._server = server
        self._key = key
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the master is dead."""
        self._thread.join()

    def _watch(self) -> None:
        with contextlib.suppress(redis.RedisError), self._server.client() as client:
            while True:
                before = time.monotonic()
                client.set(self._key, "")
                if client.wait(1, 200):
                    self.until = before
                time.sleep(0.02)


def judge_notices(trial: Trial) -> None:
    """Require that everyone who may have missed something was told so."""
    if trial.backend == PUBSUB:
        for person in trial.people:
            kinds = [what for what, _ in person.redis]
            assert kinds[:1] == ["gone"], person.name
            assert kinds[-1] == "back", person.name


def test_cut_connections(start: Callable[[Start], Trial]) -> None:
    trial = start(keeping)
    [server] = trial.engine.servers

    def fault() -> None:
        for _ in range(20):
            server.kill_clients()
            time.sleep(0.3 * SLOW)

    judge(trial, trial.run("20 x CLIENT KILL", fault))
    judge_notices(trial)


def test_a_server_that_stands_still(start: Callable[[Start], Trial]) -> None:
    trial = start(keeping)
    [server] = trial.engine.servers

    def fault() -> None:
        server.pause()
        time.sleep(5)
        server.resume()

    judge(trial, trial.run("SIGSTOP for 5 s", fault))


def test_a_killed_server_that_comes_back_with_its_data(start: Callable[[Start], Trial]) -> None:
    trial = start(keeping)
    [server] = trial.engine.servers

    def fault() -> None:
        server.kill()
        time.sleep(1)
        server.start()

    judge(trial, trial.run("SIGKILL, data kept", fault))
    judge_notices(trial)


def test_a_fail_over(start: Callable[[Start], Trial]) -> None:
    trial = start(SentinelEngine)
    confirmed = Confirmation(trial.engine.master(), "confirmed")

    result = trial.run("fail-over", trial.engine.fail_over)

    confirmed.wait()
    judge(trial, result, lambda line, at: confirmed.until < at < trial.returned_at)
    judge_notices(trial)


def test_a_slot_that_moves_and_a_killed_master(start: Callable[[Start], Trial]) -> None:
    trial = start(ClusterEngine)
    engine: ClusterEngine = trial.engine
    tags = spread_tags(4)
    watched: list[Confirmation] = []

    def fault() -> None:
        engine.migrate(slot(tags[1]))
        time.sleep(2 * SLOW)
        watched.append(Confirmation(engine.master_of(slot(tags[3])), f"{{{tags[3]}}}confirmed"))
        time.sleep(0.5)
        engine.kill_master(slot(tags[3]))

    def may_be_lost(line: str, at: float) -> bool:
        room = f"room{line.partition('.')[0]}"
        on_killed = engine.served_by_killed(slot(tags[_consistent_hash(room, len(tags))]))
        return on_killed and watched[0].until < at < trial.returned_at

    result = trial.run("slot moved, master killed", fault)

    watched[0].wait()
    judge(trial, result, may_be_lost)


def test_a_killed_worker(start: Callable[[Start], Trial]) -> None:
    trial = start(keeping)
    killed = trial.sites[1]

    def fault() -> None:
        trial.sites.remove(killed)
        killed.kill()

    judge(trial, trial.run("worker SIGKILL", fault))

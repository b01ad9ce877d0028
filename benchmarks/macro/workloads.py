"""What ``run.py`` measures: for each workload, who takes part and how one run goes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import contestants
from contestants import HERE, SERVER_CORE, Contestant, running
from peers import Peers

from tests.servers.engines import Server

TEXT: Final = "x" * 80
PAYLOAD: Final = json.dumps({"message": TEXT}).encode()
ENGINE_IO: Final = "/socket.io/?EIO=4&transport=websocket"
SLICE: Final = 0.4
"""Seconds of a turn, of contestants that take turns."""
Open = contextlib.AbstractContextManager[Callable[[], float]]
BACKENDS: Final = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


@dataclass(frozen=True)
class Case:
    """One contestant in one workload.

    Attributes:
        name: In the table.
        open: Makes ready, until the context ends, for what it gives: a function that does it once
            and returns the figure.
    """

    name: str
    open: Callable[[], Open]


def alone(name: str, run: Callable[[], float]) -> Case:
    """Return a case that makes itself ready in each run."""
    return Case(name, lambda: contextlib.nullcontext(run))


@dataclass(frozen=True)
class Workload:
    """Cases that are compared with each other.

    Attributes:
        title: What is measured, and in which unit.
        cases: Who takes part.
        is_time: Less is better.
        turns: How often each runs while all are ready. Such machines change their speed by half
            from one second to the next, so what is over within one is compared in many turns.
    """

    title: str
    cases: list[Case]
    is_time: bool = False
    turns: int = 1


class Field:
    """Makes the contestants of one Python and one event loop.

    Args:
        version: Of Python.
        loop: ``uvloop`` or ``asyncio``.
    """

    def __init__(self, version: str, loop: str) -> None:
        self._ours, self._theirs = (
            contestants.our_python(version),
            contestants.upstream_python(version),
        )
        self._how = version, loop
        self.missing: dict[str, int] = {}

    def workloads(self, wanted: list[str], folder: Path) -> Iterator[Workload]:
        """Return the workloads whose number is in ``wanted``."""
        makers = [
            *(self._chat(size) for size in (5, 50, 500, 2000)),
            self._broadcast(folder),
            *(self._echo(path) for path in ("/echo/", "/sync-echo/")),
            self._opening(),
            self._memory(),
            self._small_room_over_redis(),
            self._large_room_over_redis(),
            self._rooms_over_redis(),
            self._outside(),
            self._latency(),
        ]
        numbers = ["1"] * 4 + ["2"] + ["3"] * 2 + ["4", "5", "6", "6", "6", "7", "8"]
        return (made for made, number in zip(makers, numbers, strict=True) if number in wanted)

    def _chat(self, size: int) -> Workload:
        seaway, stock, channels = self._three("/chat/")
        who = [seaway, stock, channels]
        if size == 500:
            socketio = contestants.other(
                self._theirs, *self._how, app="with_socketio:application", path=ENGINE_IO
            )
            who.append(socketio)
        return Workload(
            f"1. a handler and json.dumps for each member, room of {size}: deliveries/s",
            [alone(one.name, self._fanning(one, size)) for one in who],
        )

    def _broadcast(self, folder: Path) -> Workload:
        size = 1000
        who = [
            contestants.seaway(self._ours, *self._how, path="/room/"),
            contestants.other(
                self._theirs, *self._how, app="with_starlette:application", path="/room/"
            ),
            contestants.upstream(self._theirs, *self._how),
        ]
        who += contestants.c_programs(folder, size, len(PAYLOAD))
        cases = [alone(one.name, self._fanning(one, size, deliveries=200_000)) for one in who]
        return Workload(f"2. websocket.send to a room of {size}: deliveries/s", cases)

    def _echo(self, path: str) -> Workload:
        who = list(self._three(path))
        if path == "/echo/":
            who.append(
                contestants.other(
                    self._theirs, *self._how, app="with_starlette:application", path=path
                )
            )

        def echo(one: Contestant) -> float:
            with running(one) as server:
                peers = Peers(server.port, one.path)
                peers.open(50)
                peers.echo(PAYLOAD, 0.5)
                rate = peers.echo(PAYLOAD, 2.0)
                peers.close()
                return rate

        cases = [alone(one.name, lambda one=one: echo(one)) for one in who]  # type: ignore[misc]
        return Workload(f"3. {path}, 50 clients: answers/s", cases)

    def _opening(self) -> Workload:
        def opening(one: Contestant, number: int) -> float:
            with running(one) as server:
                peers = Peers(server.port, one.path)
                peers.open(50)
                before = server.cpu_seconds()
                peers.open(number)
                spent = max(server.cpu_seconds() - before, 1e-3)
                peers.close()
                return number / spent

        seaway, stock, channels = self._three("/idle/")
        cases = [alone(one.name, lambda one=one: opening(one, 5000)) for one in (seaway, stock)]  # type: ignore[misc]
        cases += [alone(channels.name, lambda: opening(channels, 5000))]
        cases += [alone(f"{channels.name}, pubsub", lambda: self._opening_over_redis(opening))]
        return Workload("4. opening 5,000: connections for each second of its CPU", cases)

    def _opening_over_redis(self, opening: Callable[[Contestant, int], float]) -> float:
        with redis_server() as port:
            one = contestants.upstream(self._theirs, *self._how, path="/idle/")
            return opening(with_layer(one, "pubsub", port), 5000)

    def _memory(self) -> Workload:
        def growth(one: Contestant) -> float:
            with running(one) as server:
                peers = Peers(server.port, one.path)
                peers.open(200)
                time.sleep(1)
                before = server.pss_kib()
                peers.open(5000)
                time.sleep(2)
                grown = (server.pss_kib() - before) / 5000
                peers.close()
                return grown

        cases = [alone(one.name, lambda one=one: growth(one)) for one in self._three("/idle/")]  # type: ignore[misc]
        return Workload("5. KiB for each of 5,000 idle connections", cases, is_time=True)

    def _small_room_over_redis(self) -> Workload:
        @contextlib.contextmanager
        def exchange(one: Contestant, name: str) -> Iterator[Callable[[], float]]:
            with self._room_over_redis(5, one, name) as peers:
                rate = peers.fan_out(PAYLOAD, 300, 3)
                rounds = max(20, int(rate / 5 * SLICE))
                yield lambda: peers.fan_out(PAYLOAD, rounds, 3)

        least = Contestant("the least program", (self._ours, "bare_redis.py", "{port}"), "/chat/")
        cases = [
            Case(f"{one.name}, {name}", functools.partial(exchange, one, name))
            for one, name in [*self._by_layer(), (least, "pubsub")]
        ]
        return Workload(
            "6. two processes over Redis, room of 5: deliveries/s, in turns", cases, turns=11
        )

    def _large_room_over_redis(self) -> Workload:
        def exchange(one: Contestant, name: str) -> float:
            with self._room_over_redis(500, one, name) as peers:
                peers.fan_out(PAYLOAD, 5, 3)
                return peers.fan_out(PAYLOAD, 26, 3)

        return Workload(
            "6. two processes over Redis, room of 500: deliveries/s", self._on_each_layer(exchange)
        )

    @contextlib.contextmanager
    def _room_over_redis(self, size: int, one: Contestant, name: str) -> Iterator[Peers]:
        with redis_server() as port:
            spread = with_layer(one, name, port)
            with running(spread) as first, running(spread) as second:
                peers = Peers(first.port, one.path)
                peers.open(size - size // 2)
                peers.open(size // 2, second.port)
                yield peers
                self.missing[f"{one.name}, {name}, {size}"] = peers.missing
                peers.close()

    def _rooms_over_redis(self) -> Workload:
        rooms, size = 100, 5

        def converse(one: Contestant, name: str) -> float:
            with redis_server() as port:
                spread = with_layer(one, name, port)
                with running(spread) as first, running(spread) as second:
                    peers = Peers(first.port, one.path)
                    for room in range(rooms):
                        peers.open(3, path=f"/chat/{room}/")
                        peers.open(2, second.port, path=f"/chat/{room}/")
                    peers.converse(PAYLOAD, 2, size)
                    rate = peers.converse(PAYLOAD, 20, size)
                    self.missing[f"{one.name}, {name}, {rooms} x {size}"] = peers.missing
                    peers.close()
                    return rate

        cases = self._on_each_layer(converse)
        return Workload(
            f"6. two processes over Redis, {rooms} rooms of {size} at once: deliveries/s", cases
        )

    def _by_layer(self) -> list[tuple[Contestant, str]]:
        seaway = contestants.seaway(self._ours, *self._how, path="/chat/")
        channels = contestants.upstream(self._theirs, *self._how)
        return [(one, name) for name in BACKENDS for one in (seaway, channels)]

    def _on_each_layer(self, run: Callable[[Contestant, str], float]) -> list[Case]:
        return [
            alone(f"{one.name}, {name}", functools.partial(run, one, name))
            for one, name in self._by_layer()
        ]

    def _outside(self) -> Workload:
        def send(python: str, name: str, way: str) -> float:
            with redis_server() as port:
                answer = subprocess.run(
                    [python, str(HERE / "send_from_outside.py"), "2", way],
                    env=os.environ | {"BENCHMARK_LAYER": layer(name, port)},
                    cwd=HERE,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                return float(answer.stdout)

        cases = [
            alone(f"{who}, {way}, {name}", functools.partial(send, python, name, way))
            for name in BACKENDS
            for who, python, way in (
                ("Seaway", self._ours, "group_send_sync"),
                ("Seaway", self._ours, "async_to_sync"),
                ("Channels", self._theirs, "async_to_sync"),
            )
        ]
        return Workload("7. group_send from sync code outside a server: messages/s", cases)

    def _latency(self) -> Workload:
        size = 200

        def late(one: Contestant) -> float:
            with running(one) as server:
                peers = Peers(server.port, one.path)
                peers.open(size)
                highest = peers.fan_out(PAYLOAD, 40, 3) / size
                delays = peers.delays(PAYLOAD, highest / 2, 3.0)
                peers.close()
                return statistics.quantiles(delays, n=100)[98] * 1000

        cases = [alone(one.name, lambda one=one: late(one)) for one in self._three("/chat/")]  # type: ignore[misc]
        return Workload(
            f"8. p99 at half of its own highest load, room of {size}: ms", cases, is_time=True
        )

    def _three(self, path: str) -> tuple[Contestant, Contestant, Contestant]:
        return (
            contestants.seaway(self._ours, *self._how, path=path),
            contestants.stock(self._ours, *self._how, path=path),
            contestants.upstream(self._theirs, *self._how, path=path),
        )

    def _fanning(
        self, one: Contestant, size: int, *, deliveries: int = 40_000
    ) -> Callable[[], float]:
        is_slow = one.name.startswith(("Channels", "socketio"))

        def fan_out() -> float:
            payload = PAYLOAD
            if one.path == ENGINE_IO:
                payload = b"42" + json.dumps(["line", TEXT]).encode()
            with running(one) as server:
                peers = Peers(server.port, one.path)
                peers.open(size)
                rounds = max(8, (4_000 if is_slow else deliveries) // size)
                peers.fan_out(payload, max(3, rounds // 10), 3)
                rate = peers.fan_out(payload, rounds, 3)
                peers.close()
                return rate

        return fan_out


def with_layer(one: Contestant, name: str, port: int) -> Contestant:
    """Return a contestant on another layer."""
    return Contestant(one.name, one.command, one.path, layer(name, port))


def layer(name: str, port: int) -> str:
    """Return the setting of a layer."""
    config = {"hosts": [f"redis://127.0.0.1:{port}"]}
    return json.dumps({"BACKEND": BACKENDS[name], "CONFIG": config})


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """Run a Redis server on the servers' core; gives its port."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        os.sched_setaffinity(server.pid, {SERVER_CORE})
        try:
            yield server.port
        finally:
            server.kill()


def allow_many_sockets() -> None:
    """Raise this process's limit of open files to what the system allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

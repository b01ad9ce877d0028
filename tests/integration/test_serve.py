"""``manage.py serve``: how it starts, ends, rolls and replaces its workers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect as connect_sync

from tests.integration.production import PATIENCE, Production, json_of, production, wait_until
from tests.servers.engines import Engine, make_certificate, single
from tests.slow import SLOW

QUICK: Final = ("--drain-window", "0", "--drain-timeout", "2")
TROUBLE: Final = ("Traceback", "ERROR", "CRITICAL")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def assert_calm(server: Production) -> None:
    assert not any(word in server.log() for word in TROUBLE), server.log()


def close_code(client: Any) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(PATIENCE)
    code: int | None = client.protocol.close_code
    return code


# Serving.


def test_it_serves_http_and_websockets_from_as_many_processes_as_it_was_told(log: Path) -> None:
    with production(log, *QUICK, "--workers", "2") as server:
        assert len(server.workers()) == 2
        assert json_of(server.get("/who/"))["pid"] in server.workers()
        with connect_sync(f"ws://{server.address}/room/one/") as client:
            assert json.loads(client.recv(PATIENCE))["pid"] in server.workers()
            client.send('"hello"')
            assert json.loads(client.recv(PATIENCE)) == {"line": "hello"}
        status, _ = server.end()

    assert status == 0
    assert "The default channel layer is in memory: groups end" in server.log()


def test_with_a_layer_in_memory_one_worker_is_the_default(log: Path) -> None:
    with production(log, *QUICK) as server:
        assert len(server.workers()) == 1
        assert "in memory" not in server.log()


def test_health_and_readiness_are_answered_before_django(log: Path) -> None:
    with production(log, *QUICK) as server:
        assert server.get("/-/healthy", Host="unknown.example") == (200, b"ok\n")
        assert server.get("/-/ready", Host="unknown.example") == (200, b"ok\n")
        assert server.get("/who/", Host="unknown.example")[0] == 400
        assert "/-/ready" not in server.log()


def test_headers_of_a_proxy_are_believed_from_this_host_alone(log: Path) -> None:
    said = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    with production(log, *QUICK) as server:
        seen = json_of(server.get("/who/", **said))
        assert (seen["client"], seen["scheme"]) == ("203.0.113.7", "https")
    with production(log, *QUICK, "--trusted-proxies", "203.0.113.0/24") as server:
        seen = json_of(server.get("/who/", **said))
        assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    with production(log, *QUICK, "--no-proxy-headers") as server:
        assert json_of(server.get("/who/", **said))["client"] == "127.0.0.1"


def test_a_unix_socket_is_for_its_group_and_goes_with_the_server(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "seaway.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with production(log, *QUICK, "--unix-socket", str(path)) as server:
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(
                b"GET /who/ HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\n"
                b"Connection: close\r\n\r\n"
            )
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        assert b'"client": "203.0.113.7"' in answer
        server.end()

    assert not path.exists()


def test_tls(log: Path, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    options = ("--tls-certificate", certificate, "--tls-key", key)
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    with (
        production(log, *QUICK, *options) as server,
        connect_sync(f"wss://{server.address}/room/one/", ssl=trusting) as client,
    ):
        client.recv(PATIENCE)
        client.send('"over TLS"')
        assert json.loads(client.recv(PATIENCE)) == {"line": "over TLS"}
        assert f"https://{server.address}" in server.log()


def test_logs_in_json_have_the_parts_of_a_request(log: Path) -> None:
    with production(log, *QUICK, "--log-format", "json") as server:
        server.get("/who/?q=1")
        server.end()
        lines = [json.loads(line) for line in server.log().splitlines()]

    [line] = [line for line in lines if line["logger"] == "uvicorn.access"]
    assert line["method"] == "GET"
    assert line["path"] == "/who/?q=1"
    assert line["status"] == 200
    assert line["level"] == "info"
    assert line["client"].startswith("127.0.0.1:")
    assert {"time", "process", "message"} <= set(line)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--drain-window", "9", "--drain-timeout", "3"), "must not be shorter than"),
        (("--tls-key", "/nowhere"), "give both, or neither"),
        (("--touch-reload", "/nowhere"), "there is no file '/nowhere'"),
        (("--workers", "0"), "0 is too few; expected at least 1"),
        (("--drain-window", "-1"), "expected seconds from 0 on"),
        (("--fd", "0"), "descriptor 0 is not a listening socket"),
        (("--host", "203.0.113.1"), "cannot listen"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    log: Path, options: tuple[str, ...], said: str
) -> None:
    server = Production(log, "--port", "0", *options)

    assert server.process.wait(PATIENCE) != 0
    assert said in server.log()
    assert "Traceback" not in server.log()


def test_a_port_that_is_taken_is_said(log: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = Production(log, "--port", str(other.getsockname()[1]))

        assert server.process.wait(PATIENCE) == 1
    assert "cannot listen: [Errno 98]" in server.log()


def test_a_project_that_does_not_start_ends_the_command_and_shows_why(
    log: Path, tmp_path: Path
) -> None:
    server = Production(log, "--port", "0", ROLLING_BROKEN=str(tmp_path))

    assert server.process.wait(PATIENCE) == 1
    assert "RuntimeError: deliberate: this version does not start" in server.log()


# The end.


def test_it_is_not_ready_before_it_refuses_connections(log: Path) -> None:
    with production(log, *QUICK, "--readiness-delay", "3") as server:
        server.signal(signal.SIGTERM)
        wait_until(lambda: server.get("/-/ready")[0] == 503, "readiness off", server)
        assert server.get("/-/healthy")[0] == 200
        assert server.get("/who/")[0] == 200
        assert server.process.wait(PATIENCE) == 0


def test_readers_of_events_are_asked_to_come_back(log: Path) -> None:
    with production(log, "--drain-window", "0.1", "--drain-timeout", "20") as server:
        connection = http.client.HTTPConnection(server.address, timeout=PATIENCE)
        connection.request("GET", "/events/?topic=lines.1")
        response = connection.getresponse()
        while b'"subscribed"' not in response.readline():
            pass
        status, seconds = server.end()
        rest = response.read()
        connection.close()

        assert_calm(server)
    goodbye = json.loads(rest.partition(b"data: ")[2])
    assert (goodbye["type"], goodbye["code"], goodbye["reconnect"]) == ("goodbye", "restart", True)
    assert (status, seconds < 10 * SLOW) == (0, True)
    assert "Ending 1 event streams" in server.log()


def test_a_handler_in_flight_finishes(log: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    options = ("--drain-window", "0", "--drain-timeout", "10")
    with production(log, *options) as server:
        with connect_sync(f"ws://{server.address}/slow/") as client:
            client.send(json.dumps({"seconds": 0.7, "file": str(done)}))
            time.sleep(0.2)
            server.signal(signal.SIGTERM)
            assert close_code(client) == 1012
        assert server.process.wait(PATIENCE) == 0

    assert done.read_text() == "finished"
    assert_calm(server)


@pytest.mark.parametrize(
    ("path", "place"),
    [("hang", "Hanging.receive_json at "), ("hang/thread", "receive at ")],
)
def test_a_handler_that_hangs_is_named_and_cut(log: Path, path: str, place: str) -> None:
    with (
        production(log, "--drain-window", "0", "--drain-timeout", "4") as server,
        connect_sync(f"ws://{server.address}/{path}/") as client,
    ):
        client.send("1")
        client.recv(PATIENCE)
        status, seconds = server.end()

    assert place in server.log()
    assert "rolling.py:" in server.log()
    assert status == 0
    assert seconds < 8 * SLOW


@pytest.mark.parametrize("path", ["hang", "hang/thread"])
def test_at_the_deadline_whatever_hangs_is_named_and_cut(log: Path, path: str) -> None:
    with (
        production(log, "--drain-window", "0", "--drain-timeout", "0.5") as server,
        connect_sync(f"ws://{server.address}/{path}/") as client,
    ):
        client.send("1")
        client.recv(PATIENCE)
        status, seconds = server.end()

    assert "Still running at the end" in server.log()
    assert "rolling.py:" in server.log()
    assert status == 0
    assert seconds < 5 * SLOW


def test_a_second_signal_ends_it_at_once(log: Path) -> None:
    options = ("--drain-window", "60", "--drain-timeout", "90")
    with (
        production(log, *options, "--workers", "2", ROLLING_STUBBORN="1") as server,
        connect_sync(f"ws://{server.address}/room/one/") as client,
        connect_sync(f"ws://{server.address}/hang/") as hanging,
    ):
        client.recv(PATIENCE)
        hanging.send("1")
        hanging.recv(PATIENCE)
        server.signal(signal.SIGTERM)
        server.wait_for_log("over 60 s for a restart")
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert close_code(client) == 1012
        server.process.wait(PATIENCE)

    assert time.monotonic() - start < 6 * SLOW


def test_workers_drain_when_their_supervisor_was_killed(log: Path) -> None:
    with production(log, *QUICK) as server:
        workers = server.workers()
        with connect_sync(f"ws://{server.address}/room/one/") as client:
            server.process.kill()
            assert close_code(client) == 1012
        wait_until(lambda: not any(map(is_alive, workers)), "end of the workers", server)


# Replacing.


def test_a_worker_that_dies_is_replaced(log: Path) -> None:
    with production(log, *QUICK) as server:
        before = server.workers()
        with pytest.raises(http.client.RemoteDisconnected):
            server.get("/die/")
        server.wait_for_log("has died with status 7")
        wait_until(lambda: server.workers() - before, "another worker", server)
        assert json_of(server.get("/who/"))["pid"] in server.workers() - before
        assert server.end()[0] == 0


def test_a_worker_that_stands_still_writes_its_stacks_and_is_replaced(log: Path) -> None:
    with production(log, *QUICK, "--hang-timeout", "2") as server:
        before = server.workers()
        with pytest.raises(http.client.RemoteDisconnected):
            server.get("/stop/")
        assert json_of(server.get("/who/"))["pid"] in server.workers() - before

    assert "has not moved for 2 s; killed" in server.log()
    assert "rolling.py" in server.log()
    assert "in stop_the_loop" in server.log()


def test_a_changed_file_rolls_the_workers(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.touch()
    with production(log, *QUICK, "--touch-reload", str(file)) as server:
        before = server.workers()
        os.utime(file, (1, 1))
        server.wait_for_log("All workers are new.")
        assert not before & server.workers()
        assert json_of(server.get("/who/"))["pid"] in server.workers()


def test_a_version_that_does_not_start_leaves_the_old_workers(log: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with production(log, *QUICK, "--workers", "2", ROLLING_BROKEN=str(broken)) as server:
        before = server.workers()
        broken.touch()
        server.signal(signal.SIGHUP)
        server.wait_for_log("A new worker does not start: the old ones go on.")
        assert server.workers() == before
        broken.unlink()
        server.signal(signal.SIGHUP)
        server.wait_for_log("All workers are new.")
        assert not before & server.workers()
        assert server.end()[0] == 0


# A rolling restart under a chat.

CLIENTS: Final = 500
ROOMS: Final = 25
WINDOW: Final = 4.0


@dataclass
class Chatter:
    """A client that comes back whenever it is sent away."""

    room: str
    pids: list[int] = field(default_factory=list)
    ends: list[tuple[float, int | None]] = field(default_factory=list)
    lines: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    async def chat(self, address: str) -> None:
        """Chat until cancelled."""
        while True:
            try:
                async with connect(
                    f"ws://{address}/room/{self.room}/", compression=None, open_timeout=PATIENCE
                ) as client:
                    await self._talk(client)
            except (OSError, InvalidHandshake) as error:
                self.errors[type(error).__name__] += 1
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311

    async def _talk(self, client: ClientConnection) -> None:
        self.pids.append(json.loads(await client.recv())["pid"])
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._read(client))
                both.create_task(self._write(client))
        except* ConnectionClosed:
            self.ends.append((time.monotonic(), client.close_code))

    async def _read(self, client: ClientConnection) -> None:
        while True:
            await client.recv()
            self.lines += 1

    async def _write(self, client: ClientConnection) -> None:
        while True:
            await asyncio.sleep(SLOW * random.uniform(1, 3))  # noqa: S311
            await client.send(json.dumps(self.room))


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = single(tmp_path / "redis")
    yield engine
    engine.stop()


async def test_a_rolling_restart_under_five_hundred_clients(
    log: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": engine.hosts},
    }
    options = ("--workers", "2", "--drain-window", f"{WINDOW}", "--drain-timeout", "15")
    with production(log, *options, ROLLING_LAYER=json.dumps(layer)) as server:
        chatters = [Chatter(f"room-{number % ROOMS}") for number in range(CLIENTS)]
        tasks = [asyncio.create_task(chatter.chat(server.address)) for chatter in chatters]
        await until(lambda: all(chatter.lines for chatter in chatters))
        before = server.workers()
        start = time.monotonic()
        server.signal(signal.SIGHUP)
        await until(lambda: not before & server.workers())
        rolled = time.monotonic() - start
        seen = [chatter.lines for chatter in chatters]
        await until(lambda: all(c.lines > n for c, n in zip(chatters, seen, strict=True)))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        status, _ = await asyncio.to_thread(server.end)

    ends = sorted(at for chatter in chatters for at, _ in chatter.ends)
    codes = Counter(code for chatter in chatters for _, code in chatter.ends)
    busiest = max(sum(begin <= at < begin + WINDOW / 10 for at in ends) for begin in ends)
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{len(ends)} closed with {dict(codes)} over {ends[-1] - ends[0]:.1f} s, at most "
            f"{busiest} in {WINDOW / 10:g} s; rolled in {rolled:.1f} s, "
            f"refused {sum((c.errors for c in chatters), Counter())}"
        )
    assert set(codes) == {1012}
    # Those who were sent to a worker that had yet to roll were sent away twice.
    assert CLIENTS <= len(ends) < 2 * CLIENTS
    assert busiest < CLIENTS / 4
    assert rolled < 2 * (WINDOW + 5) * SLOW
    assert status == 0
    assert_calm(server)


async def until(is_so: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.05)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()

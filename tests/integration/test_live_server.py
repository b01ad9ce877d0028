"""The live server: same process, same database, gone when the class is done."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import unittest
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from daphne.testing import DaphneProcess
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import override_settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from channels.layers import get_channel_layer
from channels.testing import ChannelsLiveServerTestCase, live
from tests.integration.live import application as site
from tests.integration.live.stubborn import Stubborn
from tests.slow import SLOW

ROOT = Path(__file__).parents[2]
SITE: dict[str, Any] = {
    # Views ask for the request's host: it is the test case that has to allow it.
    "ALLOWED_HOSTS": ["shop.test"],
    "ASGI_APPLICATION": "tests.integration.live.application.application",
    "ROOT_URLCONF": "tests.integration.live.application",
    "STATIC_URL": "/static/",
    "STATICFILES_DIRS": [Path(__file__).parent],
}
GREETING = "tests.integration.live.application.greeting"


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20 * SLOW) as response:  # noqa: S310 - http alone
        return str(response.read().decode())


def live_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("live")]


@override_settings(**SITE)
class LiveServerTest(ChannelsLiveServerTestCase):
    """What a test and the server beside it share."""

    def open(self, path: str) -> ClientConnection:
        return self.enterContext(
            connect(f"{self.live_server_ws_url}{path}", open_timeout=20 * SLOW)
        )

    def test_addresses_name_the_host_and_a_port_of_its_own(self) -> None:
        assert self._port > 0
        assert self.live_server_url == f"http://localhost:{self._port}"
        assert self.live_server_ws_url == f"ws://localhost:{self._port}"
        assert self._server_process.port.value == self._port

    def test_every_kind_of_view_finds_what_the_test_wrote(self) -> None:
        User.objects.create(username="ann")

        answers = [get(f"{self.live_server_url}/{kind}/") for kind in ("sync", "async", "pool")]

        assert answers == ["hello ann"] * 3

    def test_every_kind_of_consumer_shares_the_database_with_the_test(self) -> None:
        User.objects.create(username="ann")
        for kind, name in (("sync", "bob"), ("async", "cid")):
            client = self.open(f"/{kind}/")
            client.send(name)
            assert str(client.recv(20 * SLOW)).endswith(name)

        assert site.names() == "ann,bob,cid"

    def test_what_the_test_patches_is_patched_for_the_server(self) -> None:
        client = self.open("/async/")

        with mock.patch(GREETING, return_value="hi"):
            assert get(f"{self.live_server_url}/sync/") == "hi "
            client.send("ann")
            assert client.recv(20 * SLOW) == "hi ann"

    def test_a_group_message_from_the_test_reaches_the_consumers(self) -> None:
        clients = [self.open("/sync/"), self.open("/async/")]
        for number, client in enumerate(clients):
            client.send(f"user{number}")
            client.recv(20 * SLOW)

        layer = get_channel_layer()
        async_to_sync(layer.group_send)("everyone", {"type": "tell", "text": "news"})

        assert [client.recv(20 * SLOW) for client in clients] == ["news", "news"]

    def test_transactions_of_requests_at_the_same_time_do_not_meet(self) -> None:
        urls = [f"{self.live_server_url}/add/user{number:02}/" for number in range(24)]

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(get, urls))

        assert site.names() == ",".join(f"user{number:02}" for number in range(24))

    def test_an_in_memory_database_has_one_connection_for_the_test_and_the_server(self) -> None:
        with transaction.atomic():
            User.objects.create(username="ann")
            answer = get(f"{self.live_server_url}/sync/")

        assert answer == "hello ann"

    def test_static_files_are_served(self) -> None:
        assert get(f"{self.live_server_url}/static/{Path(__file__).name}").startswith('"""The live')


# What happens around a class: each of these tests runs one that is made for it.


class Outcome:
    """How a test case went: its class afterwards, and the tracebacks of its problems."""

    def __init__(self, case: type[ChannelsLiveServerTestCase], result: unittest.TestResult) -> None:
        self.case = case
        self.problems = [text for _, text in result.errors + result.failures]

    @property
    def problem(self) -> str:
        (text,) = self.problems
        return text


Run = Callable[..., Outcome]


@pytest.fixture
def run(transactional_db: None) -> Run:
    """Return ``run(test)``, which runs a class with that test through its life."""

    def run_class(
        test: Callable[[Any], None] = lambda case: None,
        application: str = SITE["ASGI_APPLICATION"],
        **attributes: Any,
    ) -> Outcome:
        case = type("Case", (ChannelsLiveServerTestCase,), {"test": test, **attributes})
        result = unittest.TestResult()
        with override_settings(**SITE | {"ASGI_APPLICATION": application}):
            unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        return Outcome(case, result)

    return run_class


@pytest.fixture
def left_open() -> Iterator[Callable[..., ClientConnection]]:
    """Return a function that opens a WebSocket which outlives the test case."""
    with contextlib.ExitStack() as sockets:
        yield lambda case, path: sockets.enter_context(
            connect(f"{case.live_server_ws_url}{path}", open_timeout=20 * SLOW)
        )


def test_nothing_of_the_server_is_left_when_its_class_is_done(
    run: Run,
) -> None:
    answers = []

    outcome = run(lambda case: answers.append(get(f"{case.live_server_url}/sync/")))

    assert answers == ["hello "]
    assert outcome.problems == []
    assert not outcome.case._server_process.is_alive()
    assert live_threads() == []
    assert connection.allow_thread_sharing is False


@pytest.mark.parametrize("path", ["/sync/", "/async/", "/never-done/"])
def test_a_websocket_left_open_is_closed_with_the_server(
    run: Run, left_open: Callable[..., ClientConnection], path: str
) -> None:
    sockets = []

    outcome = run(lambda case: sockets.append(left_open(case, path)))

    assert outcome.problems == []
    assert live_threads() == []
    with pytest.raises(ConnectionClosed) as closed:
        sockets[0].recv(20 * SLOW)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_a_server_that_does_not_stop_is_left_behind_with_an_error_in_the_log(
    run: Run,
    left_open: Callable[..., ClientConnection],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(live, "STOP_LIMIT", 0.1)
    site.release.clear()

    def test(case: ChannelsLiveServerTestCase) -> None:
        client = left_open(case, "/sync/")
        client.send("block")
        client.recv(20 * SLOW)

    outcome = run(test)
    was_alive = outcome.case._server_process.is_alive()
    site.release.set()
    outcome.case._server_process.join(20 * SLOW)

    assert outcome.problems == []
    assert was_alive
    assert "The live server of Case did not stop within 0.1 s and is left behind." in caplog.text
    assert live_threads() == []


@pytest.mark.parametrize(
    ("application", "text"),
    [
        ("nowhere.application", "module 'nowhere' cannot be imported"),
        ("tests.integration.live.application.misconfigured", "the licence is missing"),
        ("tests.integration.live.application.does_not_start", "SystemExit"),
    ],
)
def test_a_server_that_cannot_start_says_why(run: Run, application: str, text: str) -> None:
    outcome = run(application=application)

    assert "RuntimeError: The live server died before it was ready." in outcome.problem
    assert text in outcome.problem
    assert connection.allow_thread_sharing is False
    assert live_threads() == []


def test_a_server_that_is_never_ready_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "START_LIMIT", 0.1)

    class Idle(live.ServerThread):
        async def _announce(self) -> None:
            pass

    outcome = run(ProtocolServerProcess=Idle)

    assert "RuntimeError: The live server was not ready within 0.1 s." in outcome.problem
    assert live_threads() == []


def test_a_server_may_be_told_its_port_and_options(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def test(case: ChannelsLiveServerTestCase) -> None:
        with urllib.request.urlopen(f"http://localhost:{port}/sync/") as response:
            assert "server" not in response.headers

    class Quiet(live.ServerThread):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs, kwargs={"server_header": False}, port=port)

    outcome = run(test, ProtocolServerProcess=Quiet)

    assert outcome.problems == []
    assert outcome.case._port == port


def test_a_server_process_cannot_serve_an_in_memory_database(run: Run) -> None:
    outcome = run(ProtocolServerProcess=DaphneProcess)

    assert (
        "ImproperlyConfigured: Case: the database 'default' is in memory, which the process of "
        "<class 'daphne.testing.DaphneProcess'> cannot see. Give it a file in its TEST NAME, or "
        "leave ProtocolServerProcess as it is." in outcome.problem
    )


def test_a_server_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STOP_LIMIT", 0.1)

    class Case(ChannelsLiveServerTestCase):
        _server_process = Stubborn()

    Case._server_process.start()
    Case._server_process.ready.wait(20 * SLOW)

    Case._stop_server()
    Case._server_process.join(20 * SLOW)

    assert Case._server_process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("method", ["thread", "fork", "spawn"])
def test_a_database_on_disk_serves_a_thread_and_a_process_alike(
    method: str, tmp_path: Path
) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "django", "test", "tests.integration.live.cases"],
        cwd=ROOT,
        env={
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.integration.live.settings",
            "DATABASE": str(tmp_path / "site.sqlite3"),
            "SERVER": method,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50 * SLOW,
    )

    assert outcome.returncode == 0, outcome.stderr
    assert "Ran 5 tests" in outcome.stderr

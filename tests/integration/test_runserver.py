"""``manage.py runserver`` as a person runs it: requests, an editor, Ctrl-C."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.slow import SLOW

PATIENCE: Final = 10 * SLOW
READY: Final = "Quit the server with CONTROL-C."
FILES: Final = {
    "manage.py": """
        import os, sys
        from django.core.management import execute_from_command_line
        os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
        execute_from_command_line(sys.argv)
    """,
    "mysite/__init__.py": "",
    "mysite/settings.py": """
        SECRET_KEY = "a key for tests alone"
        DEBUG = True
        INSTALLED_APPS = [
            "channels", "django.contrib.staticfiles", "django.contrib.contenttypes", "mysite"
        ]
        ROOT_URLCONF = "mysite.urls"
        ASGI_APPLICATION = "mysite.asgi.application"
        STATIC_URL = "static/"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    """,
    "mysite/urls.py": """
        import time
        from django.http import HttpResponse
        from django.urls import path

        def block(request):
            time.sleep(60)

        urlpatterns = [
            path("", lambda request: HttpResponse("one")),
            path("prefix/", lambda request: HttpResponse(request.build_absolute_uri("/"))),
            path("block/", block),
        ]
    """,
    "mysite/consumers.py": """
        import asyncio
        from channels.generic.websocket import AsyncWebsocketConsumer

        class Echo(AsyncWebsocketConsumer):
            async def receive(self, text_data=None, bytes_data=None):
                await self.send(text_data)

        class Closed(AsyncWebsocketConsumer):
            async def connect(self):
                await self.close()

        class Silent(AsyncWebsocketConsumer):
            async def connect(self):
                await asyncio.sleep(60)

        class Stubborn(AsyncWebsocketConsumer):
            async def receive(self, text_data=None, bytes_data=None):
                await self.send("blocking")
                await asyncio.sleep(60)
    """,
    "mysite/asgi.py": """
        from channels.routing import ProtocolTypeRouter, URLRouter
        from django.core.asgi import get_asgi_application
        from django.urls import path
        from mysite import consumers

        application = ProtocolTypeRouter({
            "http": get_asgi_application(),
            "websocket": URLRouter([
                path("ws/echo/", consumers.Echo.as_asgi()),
                path("ws/closed/", consumers.Closed.as_asgi()),
                path("ws/silent/", consumers.Silent.as_asgi()),
                path("ws/stubborn/", consumers.Stubborn.as_asgi()),
            ]),
        })
    """,
    "mysite/static/style.css": "body { color: navy }",
}


class Project:
    """A project on disk, and the ``runserver`` that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output.txt"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        indent = re.match(r"\n( *)", text)
        path.write_text(text.replace(indent[0], "\n").lstrip() if indent else text)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def edit_until(self, done: str, name: str, change: tuple[str, str]) -> None:
        """Edit a file, and save it again until ``done`` is in the new output.

        What is saved before the autoreloader has looked for the first time is not seen by it.
        """
        seen = len(self.text())
        self.edit(name, *change)
        path = self.folder / name

        def save_and_look() -> bool:
            later = path.stat().st_mtime + 0.1
            os.utime(path, (later, later))
            return done in self.text()[seen:]

        wait_until(save_and_look, self.text)
        self.wait_for(READY, start=seen)
        self.port = self.ports()[-1]

    def start(self, *options: str, address: str = "127.0.0.1:0") -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "manage.py", "runserver", address, *options],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
                # A group of its own, as a terminal gives it: Ctrl-C reaches all of it.
                start_new_session=True,
                # Whoever runs the tests in the background has it ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def serve(self, *options: str, address: str = "127.0.0.1:0") -> None:
        self.start(*options, address=address)
        self.wait_for(READY)
        self.port = self.ports()[-1]

    def text(self) -> str:
        return self.output.read_text()

    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"development server at .*:(\d+)/", self.text())]

    def wait_for(self, text: str, *, start: int = 0) -> None:
        wait_until(lambda: text in self.text()[start:], self.text)

    def request(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def open_socket(self, path: str) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}", open_timeout=PATIENCE)

    def interrupt(self) -> int:
        """Press Ctrl-C; return the status with which the process ends."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def wait_until(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.02)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    project.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that is served, without the autoreloader."""
    project = Project(tmp_path_factory.mktemp("served"))
    project.serve("--noreload", "--http_timeout=1", "--websocket_handshake_timeout=1")
    yield project
    project.stop()


def test_start_says_what_is_served_where(served: Project) -> None:
    lines = served.text().splitlines()

    assert lines[0] == "Performing system checks..."
    assert lines[2] == "System check identified no issues (0 silenced)."
    assert lines[4].startswith("You have 2 unapplied migration(s).")
    assert re.fullmatch(r"\w+ \d\d, \d{4} - \d\d:\d\d:\d\d", lines[6])
    assert re.fullmatch(r"Django version [\d.]+, using settings 'mysite.settings'", lines[7])
    assert re.fullmatch(
        r"Starting ASGI/uvicorn version [\d.]+ development server at http://127.0.0.1:\d+/",
        lines[8],
    )
    assert lines[9] == "Quit the server with CONTROL-C."


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/", 200, "one"),
        ("/static/style.css?v=1", 200, "body { color: navy }"),
        ("/static/absent.css", 404, "absent.css"),
    ],
)
def test_pages_and_static_files_are_served_and_logged(
    served: Project, path: str, status: int, body: str
) -> None:
    answer = served.request(path)

    assert answer[0] == status
    assert body in answer[1]
    line = rf"^HTTP GET {re.escape(path)} {status} \[\d\.\d\d, 127\.0\.0\.1:\d+\]$"
    wait_until(lambda: bool(re.search(line, served.text(), re.MULTILINE)), served.text)


def test_websocket_is_served_and_logged(served: Project) -> None:
    with served.open_socket("/ws/echo/?room=1") as client:
        client.send("hello")
        answer = client.recv()
        port = client.local_address[1]

    assert answer == "hello"
    for word in ("HANDSHAKING", "CONNECT", "DISCONNECT"):
        served.wait_for(f"WebSocket {word} /ws/echo/ [127.0.0.1:{port}]\n")


def test_refused_websocket_is_logged(served: Project) -> None:
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        served.open_socket("/ws/closed/")

    for word in ("HANDSHAKING", "REJECT", "DISCONNECT"):
        served.wait_for(f"WebSocket {word} /ws/closed/ [127.0.0.1:")


def test_handshake_that_takes_too_long_is_refused(served: Project) -> None:
    with pytest.raises(InvalidStatus, match="HTTP 503"):
        served.open_socket("/ws/silent/")

    served.wait_for("WebSocket /ws/silent/: no answer in 1 s, refused.")


def test_request_that_takes_too_long_gets_503(served: Project) -> None:
    assert served.request("/block/") == (503, "The application took longer than 1 s.")


def test_message_over_the_limit_closes_the_socket_with_1009(project: Project) -> None:
    project.serve("--noreload", "--websocket-max-message-size=10")

    with project.open_socket("/ws/echo/") as client:
        client.send("x" * 10)
        assert client.recv() == "x" * 10
        client.send("x" * 11)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_frame_over_its_own_limit_closes_the_socket_with_1009(project: Project) -> None:
    project.edit("mysite/settings.py", "DEBUG", "DAPHNE_WEBSOCKET_MAX_FRAME_SIZE = 10\nDEBUG")
    project.serve("--noreload")

    with project.open_socket("/ws/echo/") as client:
        client.send(["x" * 10, "y" * 10])
        assert client.recv() == "x" * 10 + "y" * 10
        client.send("x" * 11)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_site_below_a_prefix_is_served_there_and_without_it(project: Project) -> None:
    project.edit("mysite/settings.py", "DEBUG", "FORCE_SCRIPT_NAME = '/site'\nDEBUG")
    project.serve("--noreload")

    for prefix in ("", "/site"):
        assert project.request(f"{prefix}/") == (200, "one")
        assert project.request(f"{prefix}/static/style.css")[0] == 200
        with project.open_socket(f"{prefix}/ws/echo/") as client:
            client.send("hello")
            assert client.recv() == "hello"


@pytest.mark.parametrize(
    ("debug", "options", "status"),
    [("True", ["--nostatic"], 404), ("False", [], 404), ("False", ["--insecure"], 200)],
)
def test_static_files_are_served_as_asked(
    project: Project, debug: str, options: list[str], status: int
) -> None:
    setting = f"DEBUG = {debug}\nALLOWED_HOSTS = ['127.0.0.1']"
    project.edit("mysite/settings.py", "DEBUG = True", setting)
    project.serve("--noreload", *options)

    assert project.request("/static/style.css")[0] == status
    assert project.request("/")[0] == 200


def test_without_asgi_it_is_the_server_of_django(project: Project) -> None:
    project.serve("--noreload", "--noasgi")

    assert project.request("/") == (200, "one")
    assert "ASGI" not in project.text().partition("WARNING")[0]
    with pytest.raises(InvalidStatus, match="HTTP 404"):
        project.open_socket("/ws/echo/")


def test_without_an_asgi_application_it_is_the_server_of_django_and_says_why(
    project: Project,
) -> None:
    project.edit("mysite/settings.py", "ASGI_APPLICATION", "OTHER")
    project.serve("--noreload")

    assert project.request("/static/style.css")[0] == 200
    assert (
        "(channels.W001) ASGI_APPLICATION is not set, so runserver serves no WebSockets."
        in project.text()
    )


def test_port_in_use_is_one_clear_line(project: Project, served: Project) -> None:
    project.start("--noreload", address=f"127.0.0.1:{served.port}")
    assert project.process is not None

    assert project.process.wait(PATIENCE) == 1
    assert project.text().splitlines()[-1] == "Error: That port is already in use."


def test_ipv6_address_is_shown_in_brackets(project: Project) -> None:
    project.serve("--noreload", "--ipv6", address="0")

    connection = http.client.HTTPConnection("::1", project.port, timeout=PATIENCE)
    connection.request("GET", "/")
    body = connection.getresponse().read()
    connection.close()

    assert body == b"one"
    assert f"development server at http://[::1]:{project.port}/" in project.text()


def test_edited_file_is_served_anew_and_open_sockets_are_told(project: Project) -> None:
    project.serve()
    with project.open_socket("/ws/echo/") as client:
        client.send("hello")
        client.recv()

        project.edit_until("changed, reloading", "mysite/urls.py", ('"one"', '"two"'))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert project.request("/") == (200, "two")


def test_file_that_fails_to_import_is_watched_until_it_is_mended(project: Project) -> None:
    project.edit("mysite/consumers.py", "import asyncio", "import asynchio")
    project.start()
    project.wait_for("No module named 'asynchio'")

    change = ("import asynchio", "import asyncio")
    project.edit_until("changed, reloading", "mysite/consumers.py", change)

    assert project.request("/") == (200, "one")


def test_blocked_handlers_do_not_hold_up_a_reload(project: Project) -> None:
    project.serve()
    blocked = http.client.HTTPConnection("127.0.0.1", project.port)
    blocked.request("GET", "/block/")
    with project.open_socket("/ws/stubborn/") as client:
        client.send("block")
        client.recv()

        project.edit_until("changed, reloading", "mysite/urls.py", ('"one"', '"two"'))
    blocked.close()

    assert project.request("/") == (200, "two")


@pytest.mark.parametrize("options", [[], ["--noreload"]])
def test_ctrl_c_ends_it_whatever_is_open(project: Project, options: list[str]) -> None:
    project.serve(*options)
    blocked = http.client.HTTPConnection("127.0.0.1", project.port)
    blocked.request("GET", "/block/")
    with project.open_socket("/ws/stubborn/") as client:
        client.send("block")
        client.recv()

        assert project.interrupt() == 0
    blocked.close()


def test_sigterm_ends_the_reloader_and_its_server(project: Project) -> None:
    project.serve()
    assert project.process is not None

    project.process.terminate()
    assert project.process.wait(PATIENCE) == 0

    with pytest.raises(ConnectionRefusedError):
        project.request("/")

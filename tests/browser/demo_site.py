"""The demo as a server of its own, and the people who visit it in a browser."""

from __future__ import annotations

import contextlib
import http.cookiejar
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.slow import SLOW

DEMO: Final = Path(__file__).resolve().parents[2] / "examples" / "demo"
# Another interpreter runs the same tests with the packages that it has installed.
PYTHON: Final = os.environ.get("DEMO_PYTHON", sys.executable)
START_SECONDS: Final = 30 * SLOW
PASSWORDS: Final = {"ann": "anchor", "bob": "buoy", "admin": "admiral"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class DemoSite:
    """``run.py`` in a process of its own, with a port of its own.

    Args:
        folder: Where its database is; several may share one.
        name: Of its log.
        **environment: Beyond that of the tests.
    """

    def __init__(self, folder: Path, name: str = "server", **environment: str) -> None:
        self.folder = folder
        self._environment = environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._server: subprocess.Popen[bytes] | None = None
        self._cookies: dict[str, str] = {}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._server = self.run({"PORT": str(self.port)})
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._server.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def run(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start ``run.py``; what it prints goes to ``log``."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO")},
            "DEMO_DATABASE": str(self.folder / "demo.sqlite3"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._environment,
            **environment,
        }
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [PYTHON, "run.py"], cwd=DEMO, env=environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End the server at once, as a crash or a power cut would."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def stop(self) -> None:
        """End the server as `kill` does; it must not take longer than its grace period."""
        assert self._server is not None
        self._server.terminate()
        self._server.wait(10 * SLOW)

    def interrupt(self) -> None:
        """End the server as Ctrl-C does."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        assert self._server.wait(10 * SLOW) == 0

    def cookie_of(self, name: str) -> str:
        """Sign in and return the session's cookie; later calls return the same."""
        if name not in self._cookies:
            self._cookies[name] = self._sign_in(name)
        return self._cookies[name]

    def get(self, path: str) -> str:
        """Ask for a page as a stranger; return the address that it came from in the end."""
        request = urllib.request.Request(self.url + path)  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=START_SECONDS) as response:  # noqa: S310
            return str(response.url)

    def socket(
        self, path: str, *, name: str = "", origin: str = "", protocol: str = ""
    ) -> ClientConnection:
        """Open a WebSocket as somebody, or as nobody, without a browser."""
        headers = {"Cookie": f"sessionid={self.cookie_of(name)}"} if name else {}
        return connect(
            f"ws://127.0.0.1:{self.port}{path}",
            origin=Origin(origin or self.url),
            additional_headers=headers,
            subprotocols=[Subprotocol(protocol)] if protocol else None,
        )

    @contextlib.contextmanager
    def topics(self, name: str = "") -> Iterator[TopicClient]:
        """Connect to the topics as somebody, or as nobody, without a browser."""
        with self.socket("/ws/topics/", name=name, protocol="channels.topics.v1") as websocket:
            yield TopicClient(websocket)

    def _answers(self) -> bool:
        try:
            self.get("/sign-in/")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def _sign_in(self, name: str) -> str:
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        with browser.open(f"{self.url}/sign-in/"):
            token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"username": name, "password": PASSWORDS[name], "csrfmiddlewaretoken": token}
        with browser.open(f"{self.url}/sign-in/", urllib.parse.urlencode(form).encode()):
            value = next(cookie.value for cookie in jar if cookie.name == "sessionid")
        assert value
        return value


class TopicClient:
    """One connection to the topics of the demo, without a browser; frames are in and out."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self._ids = itertools.count(1)
        self._passed: list[dict[str, Any]] = []
        self.send({"type": "hello"})
        self.next("hello")

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame, whatever it holds."""
        self.websocket.send(json.dumps(frame))

    def next(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a type; those that it passes over are kept for later."""
        return self._find(lambda frame: frame["type"] == kind)

    def subscribe(self, topic: str, **members: Any) -> dict[str, Any]:
        """Ask for a topic and return the answer."""
        return self._ask({"type": "subscribe", "topic": topic, **members})

    def call(self, topic: str, name: str, data: Any) -> dict[str, Any]:
        """Call a topic and return the answer."""
        return self._ask({"type": "call", "topic": topic, "name": name, "data": data})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        self.send({**request, "id": number})
        return self._find(lambda frame: frame.get("id") == number)

    def _find(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for index, frame in enumerate(self._passed):
            if is_it(frame):
                return self._passed.pop(index)
        while True:
            frame = json.loads(self.websocket.recv(timeout=10 * SLOW))
            if is_it(frame):
                return frame
            self._passed.append(frame)


class Person:
    """One signed-in person in a browser of their own; ``page`` is the tab in front.

    Args:
        name: Who.
        site: The site that they are signed in to.
        context: Their browser.
        url: Where they reach it, if that is another address.
    """

    def __init__(
        self, name: str, site: DemoSite, context: BrowserContext, *, url: str = ""
    ) -> None:
        self.name = name
        self.site = site
        self.url = url or site.url
        self.context = context
        self.errors: list[str] = []
        context.add_cookies([{"name": "sessionid", "value": site.cookie_of(name), "url": self.url}])
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        """Open another tab; errors of its scripts are kept in ``errors``."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def visit(self, path: str) -> None:
        """Open a page and wait until its scripts have run."""
        self.page.goto(self.url + path)
        expect(self.page.locator("#unread")).to_have_attribute("aria-label", re.compile("unread"))

    def enter(self, room: str) -> None:
        """Enter a room and wait until this person is seen there."""
        self.page.goto(f"{self.url}/chat/room/{room}/")
        expect(self.members).to_contain_text([f"{self.name} (you)"])

    def open_room(self, room: str) -> None:
        """Open a new room."""
        self.page.goto(f"{self.url}/chat/")
        self.page.fill("#new-room", room)
        self.page.press("#new-room", "Enter")
        self.page.wait_for_url(f"**/chat/room/{room}/")
        expect(self.members).to_contain_text([f"{self.name} (you)"])

    def say(self, text: str) -> None:
        """Type a line and send it with Enter."""
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    @property
    def members(self) -> Locator:
        """The list of who is here."""
        return self.page.locator("#members li")

    @property
    def lines(self) -> Locator:
        """The text of every line that the server has confirmed."""
        return self.page.locator("#log [data-id] .text")


def visitor(browser: Browser, site: DemoSite, name: str) -> Person:
    """Return a person with a desktop browser of their own."""
    return Person(name, site, browser.new_context(viewport={"width": 1280, "height": 800}))

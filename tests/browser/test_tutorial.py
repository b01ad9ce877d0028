"""The tutorial, typed in as it stands up to the end of each part, in Chromium."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.browser.demo_site import free_port
from tests.docs.typed_project import DOCS, TypedProject
from tests.servers import engines
from tests.slow import SLOW

# Each part begins from an empty folder, and starts a dozen programs.
pytestmark = pytest.mark.timeout(180 * SLOW)

PAGES = sorted(page.name for page in (DOCS / "tutorial").glob("[0-9]*.md"))
ANSWERS = 30 * SLOW
COMES_BACK = 20_000 * SLOW
PASSWORD = "anchor"


class Tutorial:
    """The project at the end of a part, and who looks at it."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.project = TypedProject(folder)
        self._browser = browser
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets: list[tuple[Page, WebSocket]] = []
        self._pages: list[Page] = []
        self.errors: list[str] = []

    def type_in(self, parts: int, *, redis: str = "127.0.0.1:6379") -> None:
        """Do what is said up to the end of a part."""
        for page in PAGES[:parts]:
            self.project.type_in(f"tutorial/{page}", **{"127.0.0.1:6379": redis})
        self.project.run("manage.py", "check", "--fail-level", "WARNING")
        if parts >= 3:
            self.project.run("manage.py", "makemigrations", "chat")
        self.project.run("manage.py", "migrate")
        for name in ("ann", "bob") if parts >= 2 else ():
            who = ("--username", name, "--email", f"{name}@example.com")
            create = ("manage.py", "createsuperuser", "--noinput", *who)
            self.project.run(*create, DJANGO_SUPERUSER_PASSWORD=PASSWORD)

    def serve(self, port: int = 0) -> str:
        """Start ``runserver`` and return its address."""
        address = f"127.0.0.1:{port or free_port()}"
        url = f"http://{address}"
        server = self.project.start("manage.py", "runserver", "--noreload", address)
        self._servers[url] = server
        deadline = time.monotonic() + ANSWERS
        while not _answers(f"{url}/admin/login/"):
            assert server.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        return url

    def kill(self) -> None:
        """End the server that was started last, at once, and wait until its pages know."""
        url, server = self._servers.popitem()
        server.kill()
        server.wait()
        for page, socket in self._sockets:
            while page.url.startswith(url) and not socket.is_closed():
                page.wait_for_timeout(20)

    def visit(self, url: str, name: str = "") -> Page:
        """Open the harbour in a window of its own, signed in if there is a name."""
        page = self._browser.new_context().new_page()
        self._pages.append(page)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        heard: list[str | bytes] = []

        def note(socket: WebSocket) -> None:
            self._sockets.append((page, socket))
            socket.on("framereceived", lambda frame: heard.append(frame))

        page.on("websocket", note)
        page.goto(f"{url}/harbour/")
        if name:
            page.fill("#id_username", name)
            page.fill("#id_password", PASSWORD)
            page.press("#id_password", "Enter")
            page.wait_for_url("**/harbour/")
        deadline = time.monotonic() + ANSWERS
        while not any('"subscribed"' in str(frame) for frame in heard):
            assert time.monotonic() < deadline, heard
            page.wait_for_timeout(20)
        return page

    def end(self) -> None:
        """Leave nothing of it."""
        for page in self._pages:
            page.context.close()
        for server in self._servers.values():
            server.kill()
            server.wait()

    @property
    def log(self) -> str:
        """What the servers have printed."""
        return (self.project.folder / "server.log").read_text()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=ANSWERS):  # noqa: S310  loopback
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def say(page: Page, text: str) -> None:
    page.fill("input[name=text]", text)
    page.press("input[name=text]", "Enter")


def expect_lines(page: Page, *texts: str, timeout: float = 5_000 * SLOW) -> None:
    expect(page.locator("#lines li")).to_have_text(list(texts), timeout=timeout)


@pytest.fixture
def tutorial(tmp_path: Path, browser: Browser) -> Iterator[Tutorial]:
    tutorial = Tutorial(tmp_path, browser)
    yield tutorial
    tutorial.end()
    assert tutorial.errors == []
    assert "Traceback" not in tutorial.log


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    engine = engines.single(tmp_path / "engine")
    yield f"127.0.0.1:{engine.servers[0].port}"
    engine.stop()


def test_the_tutorial_has_the_parts_that_are_tested_here() -> None:
    assert [page.partition("-")[0] for page in PAGES] == ["01", "02", "03", "04"]


def test_after_part_1_a_line_from_a_view_appears_in_another_window(tutorial: Tutorial) -> None:
    tutorial.type_in(1)
    url = tutorial.serve()
    here, there = tutorial.visit(url), tutorial.visit(url)

    say(here, "Ahoy <b>there</b>")

    for page in (here, there):
        expect_lines(page, "Ahoy <b>there</b>")
    expect(here.locator("input[name=text]")).to_have_value("")


def test_after_part_2_people_sign_in_and_calls_are_checked(tutorial: Tutorial) -> None:
    tutorial.type_in(2)
    url = tutorial.serve()
    ann, bob = tutorial.visit(url, "ann"), tutorial.visit(url, "bob")

    say(ann, "AHOY")
    expect(ann.locator("#trouble")).to_have_text("No need to shout.")
    say(ann, "x" * 201)
    expect(ann.locator("#trouble")).to_contain_text("of length <= 200")
    say(ann, "Ahoy")

    for page in (ann, bob):
        expect_lines(page, "ann: Ahoy")
    expect(ann.locator("#trouble")).to_be_empty()


def test_after_part_3_no_page_misses_a_line(tutorial: Tutorial) -> None:
    tutorial.type_in(3)
    url = tutorial.serve()
    ann = tutorial.visit(url, "ann")
    say(ann, "before bob")
    expect_lines(ann, "ann: before bob")
    bob = tutorial.visit(url, "bob")
    expect_lines(bob, "ann: before bob")

    tutorial.kill()
    missed = [f"while it was down, {number}" for number in range(6)]
    for text in missed:
        say(ann, text)
        expect(ann.locator("#trouble")).to_contain_text("No connection")
        expect(ann.locator("input[name=text]")).to_have_value("")
    tutorial.serve(int(url.rpartition(":")[2]))

    said = [f"ann: {text}" for text in ("before bob", *missed)]
    for page in (ann, bob):
        expect_lines(page, *said, timeout=COMES_BACK)
    expect(ann.locator("#trouble")).to_be_empty()
    say(ann, "BACK")
    expect(ann.locator("#trouble")).to_have_text("No need to shout.")
    expect(ann.locator("input[name=text]")).to_have_value("BACK")
    say(bob, "back")
    for page in (ann, bob):
        expect_lines(page, *said, "bob: back")


def test_after_part_4_two_processes_share_lines_and_presence(
    tutorial: Tutorial, redis: str
) -> None:
    tutorial.type_in(4, redis=redis)
    one, two = tutorial.serve(), tutorial.serve()
    ann, bob = tutorial.visit(one, "ann"), tutorial.visit(two, "bob")
    for page in (ann, bob):
        expect(page.locator("#here")).to_have_text("ann, bob")
    bob.evaluate("window.notReloaded = true")

    tutorial.kill()
    say(ann, "while bob's server was down")
    expect_lines(ann, "ann: while bob's server was down")
    tutorial.serve(int(two.rpartition(":")[2]))

    expect_lines(bob, "ann: while bob's server was down", timeout=COMES_BACK)
    assert bob.evaluate("window.notReloaded")
    bob.close()
    expect(ann.locator("#here")).to_have_text("ann", timeout=COMES_BACK)

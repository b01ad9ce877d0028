"""One server and one browser for each module of tests."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.demo_site import DemoSite, Person, visitor
from tests.slow import SLOW

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

expect.set_options(timeout=5_000 * SLOW)


def find_chromium() -> str:
    """Return the path of Chromium; without one the test is skipped, and fails in CI."""
    if path := shutil.which("chromium"):
        return path
    message = "this test needs a browser, and there is no `chromium`: apt-get install chromium"
    required = os.environ.get("CHANNELS_TEST_REQUIRE", "").split(",")
    if os.environ.get("CI") == "true" or "browser" in required:
        pytest.fail(message)
    pytest.skip(message)


# Each module stops its Playwright: while one runs, no other event loop can be started here.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*CHROMIUM_FLAGS])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoSite]:
    demo = DemoSite(tmp_path_factory.mktemp("demo"))
    demo.start()
    yield demo
    demo.stop()
    assert "Traceback" not in demo.log.read_text()


@pytest.fixture
def person(browser: Browser, site: DemoSite) -> Iterator[Callable[[str], Person]]:
    """Return ``person("ann")``, who has a browser of her own; their scripts must not fail."""
    people: list[Person] = []

    def arrive(name: str) -> Person:
        people.append(visitor(browser, site, name))
        return people[-1]

    yield arrive
    for each in people:
        each.context.close()
    assert [error for each in people for error in each.errors] == []


@pytest.fixture
def ann(person: Callable[[str], Person]) -> Person:
    return person("ann")


@pytest.fixture
def bob(person: Callable[[str], Person]) -> Person:
    return person("bob")


@pytest.fixture
def room(ann: Person) -> str:
    """A room of this test's own, with ann in it."""
    name = f"room-{uuid.uuid4().hex[:8]}"
    ann.open_room(name)
    return name

"""A page has every line, once and in order, however it was away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import CHROMIUM_FLAGS, find_chromium
from tests.browser.demo_site import DemoSite, Person
from tests.browser.link import Link
from tests.slow import SLOW

LAPTOP_SECONDS = float(os.environ.get("LAPTOP_SECONDS", "5"))
"""For how long a laptop is closed; ``make faults`` closes it for longer."""
ONE_SECOND = 1_000 * SLOW
LINES = "document.getElementById('lines')?.textContent"
CLIENT = "**/channels/topics.module.min.js"


class Laptop:
    """A browser of its own, and its network: closed, no process of it runs.

    Chromium's emulation of a lost network holds back what WebSockets carry and hands it on later,
    and its emulation of a frozen page spares pages that are in front; so its processes are stopped,
    and its connections go through a link that is cut.
    """

    def __init__(self, browser: Browser, site: DemoSite) -> None:
        self._link = Link(site.port)
        self._browser = browser.browser_type.launch(
            executable_path=find_chromium(), args=[*CHROMIUM_FLAGS]
        )
        self._stopped: list[int] = []
        self.person = Person("bob", site, self._browser.new_context(), url=self._link.url)

    def shut(self) -> None:
        """Close the lid."""
        self.person.context.set_offline(True)
        self._link.cut()
        found = self._browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
        for process in found["processInfo"]:
            os.kill(process["id"], signal.SIGSTOP)
            self._stopped.append(process["id"])

    def open(self) -> None:
        """Open it; the network is back a moment later, over new connections."""
        self._resume()
        self._link.mend()
        self.person.context.set_offline(False)

    def end(self) -> None:
        """Leave nothing of it."""
        self._resume()
        self._browser.close()
        self._link.close()

    def _resume(self) -> None:
        for process in self._stopped:
            os.kill(process, signal.SIGCONT)
        self._stopped.clear()


@pytest.fixture
def laptop(browser: Browser, site: DemoSite) -> Iterator[Laptop]:
    laptop = Laptop(browser, site)
    yield laptop
    laptop.end()
    assert laptop.person.errors == []


@pytest.mark.timeout(60 * SLOW + LAPTOP_SECONDS)
def test_a_laptop_that_was_closed_has_everything_in_order_without_a_reload(
    ann: Person, laptop: Laptop, room: str
) -> None:
    bob = laptop.person
    bob.enter(room)
    ann.say("before")
    expect(bob.lines).to_have_text(["before"])
    bob.page.evaluate("window.notReloaded = true")

    laptop.shut()
    said = [f"line {number}" for number in range(10)]
    for line in said:
        ann.say(line)
        ann.page.wait_for_timeout(1_000 * LAPTOP_SECONDS / len(said))
    expect(ann.lines).to_have_text(["before", *said])
    laptop.open()

    expect(bob.lines).to_have_text(["before", *said], timeout=15_000 * SLOW)
    assert bob.page.evaluate("window.notReloaded")
    bob.say("good morning")
    expect(ann.lines.last).to_have_text("good morning", timeout=ONE_SECOND)


@pytest.fixture
def held(bob: Person) -> list[Route]:
    """Requests of Bob's pages for the client: they are rendered, and wait with subscribing."""
    held: list[Route] = []
    bob.page.route(CLIENT, lambda route: held.append(route))
    return held


def go_on(held: list[Route], person: Person) -> None:
    """Let a page that waits go on."""
    deadline = time.monotonic() + 10 * SLOW
    while not held:
        assert time.monotonic() < deadline
        person.page.wait_for_timeout(20)
    held[0].continue_()


def test_a_line_said_between_the_page_and_its_subscription_appears(
    ann: Person, bob: Person, room: str, held: list[Route]
) -> None:
    bob.page.goto(f"{bob.url}/chat/room/{room}/", wait_until="commit")
    expect(bob.page.locator("#lines")).to_have_js_property("textContent", "[]")

    ann.say("into the gap")
    expect(ann.lines).to_have_text(["into the gap"])
    expect(bob.lines).to_have_count(0)
    go_on(held, bob)

    expect(bob.lines).to_have_text(["into the gap"])


def test_a_line_said_between_the_position_and_the_query_appears_once(
    ann: Person, bob: Person, room: str, held: list[Route]
) -> None:
    earlier = ann.page.get_attribute("#chat", "data-position")
    ann.say("between the two")
    expect(ann.lines).to_have_text(["between the two"])

    bob.page.goto(f"{bob.url}/chat/room/{room}/", wait_until="commit")
    bob.page.wait_for_function(f"{LINES}.includes('between the two')")
    bob.page.eval_on_selector(
        "#chat", "(chat, earlier) => { chat.dataset.position = earlier; }", earlier
    )
    go_on(held, bob)
    ann.say("after both")

    expect(bob.lines).to_have_text(["between the two", "after both"])


def test_lines_that_the_topic_has_forgotten_are_loaded_without_a_reload(
    ann: Person, bob: Person, room: str
) -> None:
    bob.enter(room)
    ann.say("first")
    expect(bob.lines).to_have_text(["first"])
    bob.page.evaluate("window.notReloaded = true")

    bob.context.set_offline(True)
    bob.site.kill()
    bob.site.start()  # in memory, the topics begin anew
    ann.say("in another life")
    expect(ann.lines).to_have_text(["first", "in another life"], timeout=30_000 * SLOW)
    bob.context.set_offline(False)

    expect(bob.lines).to_have_text(["first", "in another life"], timeout=30_000 * SLOW)
    assert bob.page.evaluate("window.notReloaded")

"""People whose browsers are on two server processes talk over one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo_site import DemoSite, Person, visitor
from tests.servers import engines
from tests.slow import SLOW

ONE_SECOND = 1_000 * SLOW
BACKENDS = ["core.RedisChannelLayer", "pubsub.RedisPubSubChannelLayer"]


@pytest.fixture(params=BACKENDS)
def sites(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[DemoSite]]:
    engine = engines.single(tmp_path / "engine")
    environment = {
        "DEMO_LAYER": f"channels_redis.{request.param}",
        "DEMO_REDIS": f"redis://127.0.0.1:{engine.servers[0].port}",
    }
    sites = [DemoSite(tmp_path, name, **environment) for name in ("one", "two")]
    for site in sites:
        site.start()
    yield sites
    for site in sites:
        site.stop()
        assert "Traceback" not in site.log.read_text()
    engine.stop()


@pytest.fixture
def people(browser: Browser, sites: list[DemoSite]) -> Iterator[list[Person]]:
    """Ann on one process and Bob on the other."""
    people = [
        visitor(browser, site, name) for site, name in zip(sites, ["ann", "bob"], strict=True)
    ]
    yield people
    for person in people:
        person.context.close()
        assert person.errors == []


def test_a_line_reaches_a_browser_on_another_process_within_a_second(people: list[Person]) -> None:
    ann, bob = people
    ann.open_room("jetty")
    bob.enter("jetty")

    ann.say("Is the tide out yet?")
    expect(bob.lines).to_have_text(["Is the tide out yet?"], timeout=ONE_SECOND)
    bob.say("Just turning.")

    expect(ann.lines).to_have_text(["Is the tide out yet?", "Just turning."], timeout=ONE_SECOND)


def test_a_note_from_a_sync_view_reaches_a_browser_on_another_process(people: list[Person]) -> None:
    ann, bob = people
    ann.visit("/notes/")
    bob.visit("/notes/")

    bob.page.select_option("#id_recipient", label="ann")
    bob.page.fill("#id_text", "lunch at noon")
    bob.page.press("#id_text", "Enter")

    expect(ann.page.locator("#inbox .text").first).to_have_text("lunch at noon", timeout=ONE_SECOND)

"""Who leaves on one process of two, in whatever way, is gone on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_site import DemoSite, Person, visitor
from tests.servers import engines
from tests.slow import SLOW

# Two servers and a Redis are started for each test.
pytestmark = pytest.mark.timeout(120 * SLOW)

ROOM = "jetty"
REVOKED = 5_000 * SLOW
"""Milliseconds within which a user who may not use the site any more has no subscriptions."""
LEASE = 15_000 * SLOW + 1_000
"""Milliseconds within which the people of a process that has died are gone, and seen to be."""


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[list[DemoSite]]:
    engine = engines.single(tmp_path / "engine")
    environment = {
        "DEMO_LAYER": "channels_redis.core.RedisChannelLayer",
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
def arrive(browser: Browser, sites: list[DemoSite]) -> Iterator[Callable[[str, int], Person]]:
    """Return ``arrive("ann", 0)``: a person with a browser and a session at the first process."""
    people: list[Person] = []

    def arrive(name: str, number: int) -> Person:
        people.append(visitor(browser, sites[number], name))
        return people[-1]

    yield arrive
    for person in people:
        person.context.close()
        assert person.errors == []


@pytest.fixture
def ann(arrive: Callable[[str, int], Person]) -> Person:
    """Ann, in the room, on the first process."""
    ann = arrive("ann", 0)
    ann.open_room(ROOM)
    return ann


@pytest.fixture
def bob(arrive: Callable[[str, int], Person], ann: Person) -> Person:
    """Bob, in the room, on the second process."""
    bob = arrive("bob", 1)
    bob.enter(ROOM)
    expect(ann.members).to_have_count(2)
    return bob


@pytest.fixture
def other_tab(bob: Person, sites: list[DemoSite]) -> Page:
    """Bob's other tab, in the room, on the first process; of the same session."""
    tab = bob.new_tab()
    tab.goto(f"{sites[0].url}/chat/room/{ROOM}/")
    expect(tab.locator("#members li")).to_have_count(2)
    return tab


def test_a_person_with_a_tab_on_each_process_is_one_and_gone_when_both_are_closed(
    ann: Person, bob: Person, other_tab: Page
) -> None:
    for tab in (bob.page, other_tab):
        expect(ann.members).to_have_text(["Aann (you)", "Bbob"])
        tab.close()

    expect(ann.members).to_have_text(["Aann (you)"])


def test_a_user_who_is_deactivated_loses_every_subscription_on_every_process(
    ann: Person, bob: Person, other_tab: Page, arrive: Callable[[str, int], Person]
) -> None:
    admin = arrive("admin", 0)
    admin.page.goto(f"{admin.url}/admin/auth/user/2/change/")
    admin.page.uncheck("#id_is_active")

    admin.page.click("input[name=_save]", no_wait_after=True)

    for tab in (bob.page, other_tab):
        expect(tab.locator("#connection")).to_contain_text("You are signed out.", timeout=REVOKED)
    expect(ann.members).to_have_text(["Aann (you)"])
    ann.say("not for bob")
    expect(ann.lines).to_have_text(["not for bob"])
    expect(bob.lines).to_have_count(0)
    bob.page.get_by_role("link", name="Sign in").click()
    bob.page.wait_for_url(f"**/sign-in/?next=/chat/room/{ROOM}/")


def test_who_signs_out_loses_the_subscriptions_of_the_session_on_every_process(
    ann: Person, bob: Person, other_tab: Page, arrive: Callable[[str, int], Person]
) -> None:
    phone = arrive("bob", 0)
    phone.enter(ROOM)

    bob.page.get_by_role("button", name="Sign out").click(no_wait_after=True)

    expect(other_tab.locator("#connection")).to_contain_text("You are signed out.", timeout=REVOKED)
    bob.page.wait_for_url("**/sign-in/")
    ann.say("for the phone alone")
    expect(phone.lines).to_have_text(["for the phone alone"])
    expect(other_tab.locator("#log [data-id]")).to_have_count(0)
    expect(ann.members).to_have_count(2)


def test_the_people_of_a_process_that_was_killed_leave_on_the_other_within_the_lease(
    ann: Person, bob: Person, sites: list[DemoSite]
) -> None:
    sites[1].kill()

    expect(ann.members).to_have_text(["Aann (you)"], timeout=LEASE)
    expect(bob.page.locator("#connection")).to_contain_text("Connection lost.")


def test_a_person_whose_process_was_killed_comes_back_and_has_what_was_said(
    ann: Person, bob: Person, sites: list[DemoSite]
) -> None:
    sites[1].kill()
    expect(bob.page.locator("#connection")).to_contain_text("Connection lost.")
    ann.say("while bob was away")
    expect(ann.lines).to_have_text(["while bob was away"])

    sites[1].start()

    expect(bob.lines).to_have_text(["while bob was away"], timeout=LEASE)
    bob.say("here again")
    expect(ann.lines).to_have_text(["while bob was away", "here again"])
    expect(ann.members).to_have_text(["Aann (you)", "Bbob"])

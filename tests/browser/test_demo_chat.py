"""People in real browsers talk in the demo's rooms."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.demo_site import DemoSite, Person
from tests.slow import SLOW

ONE_SECOND = 1_000 * SLOW


def test_two_people_in_one_room_see_each_others_lines_within_a_second(
    ann: Person, bob: Person, room: str
) -> None:
    bob.enter(room)

    ann.say("Is the tide out yet?")
    expect(bob.lines).to_have_text(["Is the tide out yet?"], timeout=ONE_SECOND)
    bob.say("Just turning.")

    expect(ann.lines).to_have_text(["Is the tide out yet?", "Just turning."], timeout=ONE_SECOND)


def test_a_line_is_not_seen_in_another_room(ann: Person, bob: Person, room: str) -> None:
    bob.open_room(f"{room}-other")

    ann.say("for this room")
    expect(ann.lines).to_have_text(["for this room"])
    bob.say("for the other")

    expect(bob.lines).to_have_text(["for the other"])
    expect(ann.lines).to_have_text(["for this room"])


def test_who_is_here_follows_people_coming_and_going(ann: Person, bob: Person, room: str) -> None:
    bob.enter(room)
    expect(ann.members).to_contain_text(["ann (you)", "bob"])
    expect(ann.page.locator("#comings")).to_have_text("bob came in.")

    bob.page.close()

    expect(ann.members).to_contain_text(["ann (you)"])
    expect(ann.members).to_have_count(1)
    expect(ann.page.locator("#comings")).to_have_text("bob left.")


def test_several_tabs_of_one_person_count_once(ann: Person, bob: Person, room: str) -> None:
    bob.enter(room)
    first = bob.page
    bob.page = bob.new_tab()
    bob.enter(room)
    expect(ann.members).to_have_count(2)

    first.close()
    bob.say("still here")

    expect(ann.lines).to_have_text(["still here"])
    expect(ann.members).to_have_count(2)


def test_a_person_is_gone_when_the_last_of_two_tabs_is_closed(
    ann: Person, bob: Person, room: str
) -> None:
    bob.enter(room)
    other = bob.new_tab()
    other.goto(f"{bob.url}/chat/room/{room}/")
    expect(other.locator("#members li")).to_contain_text(["ann", "bob (you)"])
    expect(ann.members).to_have_text(["Aann (you)", "Bbob"])

    for tab in (bob.page, other):
        expect(ann.members).to_have_count(2)
        tab.close()

    expect(ann.members).to_have_text(["Aann (you)"])


def test_markup_in_a_line_is_shown_as_text(ann: Person, bob: Person, room: str) -> None:
    bob.enter(room)
    line = "<img src=x onerror='window.broken = true'><b>bold</b>"

    ann.say(line)

    expect(bob.lines).to_have_text([line])
    assert bob.page.evaluate("window.broken") is None


def test_a_line_that_the_server_refuses_comes_back_to_the_box(ann: Person, room: str) -> None:
    ann.page.eval_on_selector("#text", "box => box.removeAttribute('maxlength')")

    ann.say("x" * 501)

    expect(ann.page.locator("#trouble")).to_contain_text("Not sent: Ensure this value has at most")
    expect(ann.page.locator("#text")).to_have_value("x" * 501)
    expect(ann.page.locator("#log li")).to_have_count(0)


def test_an_empty_line_is_not_sent(ann: Person, bob: Person, room: str) -> None:
    bob.enter(room)

    ann.say("   ")
    ann.say("after nothing")

    expect(bob.lines).to_have_text(["after nothing"])


def test_lines_said_while_the_connection_was_lost_are_shown_on_return(
    ann: Person, bob: Person, room: str
) -> None:
    bob.enter(room)
    ann.say("before")
    expect(bob.lines).to_have_text(["before"])
    bob.context.set_offline(True)
    expect(bob.page.locator("#connection")).to_contain_text("Connection lost.")

    ann.say("meanwhile")
    expect(ann.lines).to_have_count(2)
    bob.context.set_offline(False)

    expect(bob.lines).to_have_text(["before", "meanwhile"])
    expect(bob.page.locator("#connection")).to_contain_text("You are back.")


def test_a_line_typed_without_a_connection_waits_even_through_a_reload(
    ann: Person, bob: Person, room: str
) -> None:
    bob.enter(room)
    ann.context.set_offline(True)
    ann.say("typed at sea")
    expect(ann.page.locator(".waiting .state")).to_have_text("Waiting for the connection")
    expect(ann.lines).to_have_count(0)

    ann.page.evaluate("() => { window.WebSocket = class { close() {} } }")  # stays without
    ann.context.set_offline(False)
    ann.page.reload()

    expect(bob.lines).to_have_text(["typed at sea"])
    expect(ann.lines).to_have_text(["typed at sea"])
    expect(ann.page.locator(".waiting")).to_have_count(0)


def test_both_pages_recover_without_a_reload_when_the_server_is_killed_and_started_again(
    ann: Person, bob: Person, room: str, site: DemoSite
) -> None:
    bob.enter(room)
    ann.say("before the storm")
    expect(bob.lines).to_have_text(["before the storm"])
    for each in (ann, bob):
        each.page.evaluate("window.notReloaded = true")

    site.kill()
    for each in (ann, bob):
        expect(each.page.locator("#connection")).to_contain_text("Connection lost.")
    ann.say("typed in the storm")
    site.start()

    said = ["before the storm", "typed in the storm"]
    for each in (ann, bob):
        expect(each.lines).to_have_text(said, timeout=30_000 * SLOW)
        expect(each.members).to_have_count(2, timeout=30_000 * SLOW)
    bob.say("and we are back")
    expect(ann.lines).to_have_text([*said, "and we are back"], timeout=ONE_SECOND)
    for each in (ann, bob):
        assert each.page.evaluate("window.notReloaded")
        expect(each.page.locator("#connection")).to_be_hidden()

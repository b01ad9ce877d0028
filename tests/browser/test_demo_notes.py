"""Notes arrive in the tabs of one person, sent from ordinary synchronous code."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.demo_site import Person
from tests.slow import SLOW

ONE_SECOND = 1_000 * SLOW


def send_note(sender: Person, recipient: str, text: str) -> None:
    """Send a note with the form, which a synchronous view takes."""
    sender.page.goto(f"{sender.site.url}/notes/")
    sender.page.select_option("#id_recipient", label=recipient)
    sender.page.fill("#id_text", text)
    sender.page.press("#id_text", "Enter")
    expect(sender.page.locator(".flash")).to_have_text(f"Sent to {recipient}.")


def read_all(person: Person) -> None:
    person.page.goto(f"{person.site.url}/notes/")
    person.page.get_by_role("button", name="Mark all as read").click()
    expect(person.page.locator("#unread")).to_have_attribute("aria-label", "0 unread")


def test_a_note_sent_from_a_view_pops_up_for_its_recipient_alone(
    ann: Person, bob: Person, person: Callable[[str], Person]
) -> None:
    admin = person("admin")
    read_all(bob)
    for each, path in ((bob, "/dashboard/"), (admin, "/notes/")):
        each.visit(path)

    send_note(ann, "bob", "The wind <b>has</b> turned.")

    toast = bob.page.locator("#toasts li")
    expect(toast).to_contain_text(["ann"])
    expect(toast.locator(".text")).to_have_text("The wind <b>has</b> turned.")
    expect(bob.page.locator("#unread")).to_have_text("1")
    for each in (ann, admin):
        expect(each.page.locator("#toasts li")).to_have_count(0)
        expect(each.page.locator("#unread")).to_be_hidden()


def test_the_admin_action_reaches_the_people_selected(
    ann: Person, bob: Person, person: Callable[[str], Person]
) -> None:
    admin = person("admin")
    for each in (ann, bob):
        read_all(each)

    admin.page.goto(f"{admin.site.url}/admin/auth/user/")
    admin.page.locator("tr", has_text="bob").locator("input.action-select").check()
    admin.page.select_option("select[name=action]", label="Hail selected users with a note")
    admin.page.locator("button[name=index]").click()

    expect(bob.page.locator("#toasts .text")).to_have_text(["Ahoy from the bridge!"])
    expect(admin.page.locator(".messagelist")).to_contain_text("Hailed 1.")
    expect(ann.page.locator("#toasts li")).to_have_count(0)


def test_a_note_sent_while_the_connection_was_lost_pops_up_on_return(
    ann: Person, bob: Person
) -> None:
    read_all(bob)
    bob.context.set_offline(True)
    expect(bob.page.locator("#connection")).to_contain_text("Connection lost.")

    send_note(ann, "bob", "You were away.")
    bob.context.set_offline(False)

    expect(bob.page.locator("#toasts .text")).to_have_text(["You were away."])
    expect(bob.page.locator("#unread")).to_have_text("1")


def test_marking_notes_as_read_clears_the_count_in_every_tab(ann: Person, bob: Person) -> None:
    read_all(bob)
    other = bob.new_tab()
    other.goto(f"{bob.site.url}/dashboard/")
    send_note(ann, "bob", "Read me.")
    expect(other.locator("#unread")).to_have_text("1")

    read_all(bob)

    expect(other.locator("#unread")).to_be_hidden()
    expect(bob.page.locator("#inbox .unread")).to_have_count(0)
    expect(bob.page.locator("#inbox .text").first).to_have_text("Read me.")

"""Take the pictures of the demo that the documentation shows.

python -m tests.browser.screenshots [FOLDER]      FOLDER is docs/images if not given
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS, find_chromium
from tests.browser.demo_site import DemoSite, Person, visitor

IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
LARGEST_BYTES: Final = 200_000
DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
TALK: Final = (
    ("ann", "Morning! Is the tide out yet?"),
    ("bob", "Just turning. Low water was at 06:40."),
    ("bob", "We could take the boat across before lunch."),
    ("ann", "Perfect."),
    ("ann", "I bring the charts, you bring the coffee."),
    ("bob", "Deal. Ten o'clock at the slip, and do look at the forecast before you leave."),
    ("ann", "On it. See you at ten!"),
)
NOTES: Final = (
    "The tide tables are on the kitchen table.",
    "Coffee at ten?",
    "The wind has turned.",
)


def take(page: Page, path: Path) -> None:
    """Store what the page shows, once it is at rest."""
    page.wait_for_timeout(600)
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1000} kB")  # noqa: T201  a script says what it did
    if size > LARGEST_BYTES:
        raise SystemExit(f"{path.name} is larger than {LARGEST_BYTES // 1000} kB")


def talk(people: dict[str, Person]) -> None:
    """Let two people say a few lines, and leave some notes."""
    for each in people.values():
        each.enter("harbour")
    for number, (name, text) in enumerate(TALK, 1):
        people[name].say(text)
        for each in people.values():
            expect(each.lines).to_have_count(number)
    ann = people["ann"]
    for text in NOTES:
        ann.visit("/notes/")
        ann.page.select_option("#id_recipient", label="bob")
        ann.page.fill("#id_text", text)
        ann.page.press("#id_text", "Enter")
        expect(ann.page.locator(".flash")).to_be_visible()
    ann.enter("harbour")


def make_waves(bob: Person) -> None:
    """Give the dashboard a minute with something to see."""
    bob.visit("/dashboard/")
    for pause in (16_000, 14_000, 21_000):
        bob.page.get_by_role("button", name="Make waves").click()
        bob.page.wait_for_timeout(pause)


def take_all(browser: Browser, site: DemoSite, folder: Path) -> None:
    """Take every page on a desktop by day, and on a phone by day or by night."""
    people = {name: visitor(browser, site, name) for name in ("ann", "bob")}
    talk(people)
    make_waves(people["bob"])
    pages = {"chat": "/chat/room/harbour/", "notes": "/notes/", "dashboard": "/dashboard/"}
    for name, path in pages.items():
        people["bob"].visit(path)
        people["bob"].page.mouse.move(0, 700)
        take(people["bob"].page, folder / f"{name}.png")
    for name in pages:
        night = name == "dashboard"
        context = browser.new_context(color_scheme="dark" if night else "light", **PHONE)
        phone = Person("bob", site, context)
        phone.visit(pages[name])
        take(phone.page, folder / f"{name}-phone.png")
    dark = Person("ann", site, browser.new_context(color_scheme="dark", **DESKTOP))
    dark.enter("harbour")
    take(dark.page, folder / "chat-dark.png")
    for suffix, screen in (("", DESKTOP), ("-phone", PHONE)):
        page = browser.new_context(**screen).new_page()
        page.goto(f"{site.url}/sign-in/")
        take(page, folder / f"sign-in{suffix}.png")
    ann = people["ann"]
    site.kill()
    expect(ann.page.locator("#connection")).to_contain_text("Connection lost.")
    ann.say("Are you still there?")
    take(ann.page, folder / "connection-lost.png")


def main(arguments: list[str]) -> None:
    """Run the demo on an empty database and take the pictures."""
    folder = Path(arguments[0]) if arguments else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        site = DemoSite(Path(name))
        site.start()
        try:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=[*CHROMIUM_FLAGS]
            )
            take_all(browser, site, folder)
            browser.close()
        finally:
            site.stop()


if __name__ == "__main__":
    main(sys.argv[1:])

"""The demo's pages work by keyboard alone, on a phone, and for people who need contrast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.demo_site import DemoSite, Person

PAGES = ["/chat/room/harbour/", "/notes/", "/dashboard/"]
PHONE: ViewportSize = {"width": 390, "height": 844}
LEAST_CONTRAST = 4.5

HAS_FOCUS_MARK = """() => {
  const focused = document.activeElement;
  const style = getComputedStyle(focused);
  return focused === document.body || style.outlineStyle !== "none" || style.boxShadow !== "none";
}"""
NAMELESS = """() => [
    ...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, select"),
  ]
  .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
  .map((e) => e.outerHTML)"""
LOW_CONTRAST = (Path(__file__).parent / "low_contrast.js").read_text()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, which must show on every stop."""
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate(HAS_FOCUS_MARK)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


def test_everything_can_be_done_from_the_keyboard(browser: Browser, site: DemoSite) -> None:
    page = browser.new_page()
    page.goto(f"{site.url}/sign-in/")

    page.keyboard.type("ann")
    tab_to(page, "#id_password")
    page.keyboard.type("anchor")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("first")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second")
    page.keyboard.press("Enter")
    expect(page.locator("#log [data-id] .text").last).to_have_text("first\nsecond")

    tab_to(page, ".tabs a[href='/notes/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/notes/")
    tab_to(page, ".skip")
    page.keyboard.press("Enter")
    tab_to(page, "#id_recipient")
    page.keyboard.type("ann")
    tab_to(page, "#id_text")
    page.keyboard.type("to myself")
    page.keyboard.press("Enter")
    expect(page.locator("#inbox .text").first).to_have_text("to myself")
    tab_to(page, ".me button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/")
    page.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_every_control_has_a_name(ann: Person, path: str) -> None:
    ann.visit(path)

    assert ann.page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("path", [*PAGES, "/sign-in/"])
def test_a_phone_never_scrolls_sideways(
    browser: Browser, site: DemoSite, person: Callable[[str], Person], path: str
) -> None:
    phone = browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    bob = person("bob") if path == "/sign-in/" else Person("bob", site, phone)
    page = bob.page if path != "/sign-in/" else phone.new_page()

    page.goto(site.url + path)
    if path.startswith("/chat/"):
        bob.say("W" * 300)
        expect(bob.lines.last).to_be_visible()
        assert page.evaluate("document.getElementById('log').scrollWidth") <= PHONE["width"]

    widths: dict[str, Any] = page.evaluate(
        "({scroll: document.documentElement.scrollWidth, screen: window.innerWidth})"
    )
    phone.close()
    assert widths == {"scroll": PHONE["width"], "screen": PHONE["width"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, "/sign-in/"])
def test_all_text_has_enough_contrast(
    browser: Browser, site: DemoSite, path: str, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page() if path == "/sign-in/" else Person("ann", site, context).page
    page.goto(site.url + path)
    page.wait_for_load_state("networkidle")

    too_low = page.evaluate(LOW_CONTRAST, LEAST_CONTRAST)

    context.close()
    assert too_low == []

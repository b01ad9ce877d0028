"""The dashboard draws what one task of the server measures each second."""

from __future__ import annotations

import contextlib
import time

from playwright.sync_api import expect

from tests.browser.demo_site import DemoSite, Person
from tests.slow import SLOW

CURVE = "#connections-chart .curve"


def test_the_charts_move_as_seconds_pass(ann: Person) -> None:
    ann.visit("/dashboard/")
    expect(ann.page.locator(CURVE)).to_be_attached()
    before = ann.page.get_attribute(CURVE, "d")

    expect(ann.page.locator(CURVE)).not_to_have_attribute("d", before or "", timeout=3_000 * SLOW)

    assert int(ann.page.inner_text("#connections")) >= 1


def test_making_waves_shows_in_the_figures(ann: Person) -> None:
    ann.visit("/dashboard/")

    ann.page.get_by_role("button", name="Make waves").click()

    for figure, least in (("connections", 13), ("received", 1)):
        shown = f"Number(document.getElementById({figure!r}).textContent) >= {least}"
        ann.page.wait_for_function(shown, timeout=10_000 * SLOW)


def test_one_task_measures_for_all_dashboards(site: DemoSite) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            watched = stack.enter_context(site.topics("ann"))
            watched.subscribe("figures")
        watched.next("publication")
        started = time.monotonic()

        figures = [watched.next("publication")["data"] for _ in range(6)]

        # Five tasks, one for each connection, would send three seconds' figures within one.
        assert time.monotonic() - started > 1.5
        assert sorted(figure["chart"] for figure in figures) == 3 * ["connections"] + 3 * [
            "messages"
        ]
        assert max(figure.get("connections", 0) for figure in figures) >= 5

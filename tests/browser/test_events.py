"""``EventSource`` of a real browser, alone and under our client."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page

import channels
from tests.integration.serving import Server, serve
from tests.slow import SLOW

CLIENT: Final = Path(channels.__file__).parent / "static" / "channels" / "topics.min.js"
PATIENCE: Final = 20_000 * SLOW
READ: Final = """
(topic) => {
  window.frames_ = [];
  window.source = new EventSource(`/events/?topic=${topic}&client=me`);
  window.source.onmessage = (event) => window.frames_.push(JSON.parse(event.data));
}
"""
CONNECT: Final = """
(topic) => {
  const client = Topics.connect("/no-such-socket/", {
    sseUrl: "/events/", backoff: { base: 0.05, cap: 0.1 },
  });
  window.data = [];
  window.client = client;
  client.topic(topic).on("publication", ({ data }) => window.data.push(data));
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve("serve", tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    # Any page of the site will do.
    page.goto(f"http://{server.address}/journal/page/")
    yield page
    context.close()


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def publish(server: Server, key: str, text: str) -> None:
    server.request(f"/publish/{key}/", method="POST", body=text.encode())


def until(page: Page, condition: str, argument: Any = None) -> None:
    page.wait_for_function(condition, arg=argument, timeout=PATIENCE)


def test_event_source_goes_on_after_a_break_without_a_line_of_code(
    page: Page, server: Server, key: str
) -> None:
    page.evaluate(READ, f"lines.{key}")
    until(page, "frames_.some((one) => one.type === 'subscribed')")
    publish(server, key, "one ✓")
    until(page, "frames_.some((one) => one.data === 'one ✓')")
    server.get("/restart/")
    until(page, "frames_.some((one) => one.type === 'goodbye')")
    publish(server, key, "while it was away")

    until(page, "frames_.filter((one) => one.type === 'subscribed').length === 2")

    answer = page.evaluate("frames_.findLast((one) => one.type === 'subscribed')")
    assert answer["recovered"] is True
    assert answer["publications"] == [{"offset": 2, "data": "while it was away"}]
    publish(server, key, "live again")
    until(page, "frames_.some((one) => one.data === 'live again')")
    assert page.evaluate("source.readyState") == 1


def test_our_client_reads_events_where_no_socket_opens(
    page: Page, server: Server, key: str
) -> None:
    page.add_script_tag(path=CLIENT)
    page.evaluate(CONNECT, f"lines.{key}")
    until(page, "client.state === 'open'")
    until(page, f"client.topic('lines.{key}').position !== null")
    publish(server, key, "one")
    until(page, "data.length === 1")
    server.get("/restart/")
    publish(server, key, "two")
    until(page, "data.length === 2")
    publish(server, key, "three")
    until(page, "data.length === 3")

    assert page.evaluate("data") == ["one", "two", "three"]
    assert page.evaluate("client.state") == "open"

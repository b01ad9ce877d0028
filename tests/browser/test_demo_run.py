"""``run.py``: what ``make demo`` starts."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from tests.browser.demo_site import DemoSite
from tests.slow import SLOW


@pytest.fixture
def demo(tmp_path: Path) -> DemoSite:
    return DemoSite(tmp_path)


def test_the_second_start_takes_less_than_three_seconds(demo: DemoSite) -> None:
    demo.start()
    demo.stop()
    started = time.monotonic()

    demo.start()
    took = time.monotonic() - started

    demo.stop()
    assert took < 3 * SLOW


def test_the_address_and_the_accounts_are_printed(demo: DemoSite) -> None:
    demo.start()
    demo.stop()

    printed = demo.log.read_text()
    assert f"The demo runs at {demo.url}/" in printed
    for name, password in {"ann": "anchor", "bob": "buoy", "admin": "admiral"}.items():
        assert f"{name:<6} password {password}" in printed


def test_ctrl_c_ends_the_demo_quietly_while_people_are_connected(demo: DemoSite) -> None:
    demo.start()
    with contextlib.ExitStack() as stack:
        for topic in ("room.harbour", "notes.1", "figures"):
            client = stack.enter_context(demo.topics("ann"))
            assert client.subscribe(topic)["type"] == "subscribed"
        stack.enter_context(demo.socket("/ws/waves/", name="ann"))

        demo.interrupt()

    assert demo.log.read_text().endswith("Stop with Ctrl-C.\n\n")


def test_a_port_that_is_in_use_is_named(demo: DemoSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        server = demo.run({"PORT": str(port)})

        assert server.wait(30 * SLOW) == 1
    assert demo.log.read_text() == (
        f"Port {port} cannot be used: Address already in use. Set PORT to a free one.\n"
    )

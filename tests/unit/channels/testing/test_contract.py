"""The suite for channel layers: it finds what a layer does wrong, and says it readably."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from channels._core.mailbox import Mailbox
from channels.layers import InMemoryChannelLayer
from channels.testing.contract import ChannelLayerContract

OPTIONS = ["-o", "asyncio_mode=auto", "-p", "pytest_asyncio.plugin"]
SUBCLASS = """
import pytest
from channels.layers import InMemoryChannelLayer
from channels.testing.contract import ChannelLayerContract

class Wrong(InMemoryChannelLayer):
    async def send(self, channel, message):
        await super().send(channel, {**message, "n": "wrong"})

class TestWrong(ChannelLayerContract):
    layer = brief_layer = pytest.fixture(lambda self: Wrong())
"""


class Doubling(InMemoryChannelLayer):
    """Delivers each message twice."""

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await super().send(channel, message)
        await super().send(channel, message)


class Sharing(InMemoryChannelLayer):
    """Hands the sender's own object to the receivers, last in first out."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, deque[dict[str, Any]]] = {}

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.kept.setdefault(channel, deque()).append(message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for channel in self.groups[group]:
            await self.send(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        return self.kept[channel].pop()


class Boundless(InMemoryChannelLayer):
    """Is never full."""

    def _new_mailbox(self, channel: str) -> Mailbox[dict[str, Any]]:
        return Mailbox(10**9, self.expiry)


class Greedy(InMemoryChannelLayer):
    """Takes a message before anybody waits for it, and loses it when cancelled."""

    async def receive(self, channel: str) -> dict[str, Any]:
        await super().receive(channel)
        return await super().receive(channel)


class Careless(InMemoryChannelLayer):
    """Accepts any name."""

    def require_valid_channel_name(self, name: str, receive: bool = False) -> bool:
        return True


class Sticky(InMemoryChannelLayer):
    """Nobody ever leaves a group."""

    async def group_discard(self, group: str, channel: str) -> None:
        pass


@pytest.mark.parametrize(
    ("layer", "test"),
    [
        (Doubling, "test_a_message_is_received_once"),
        (Sharing, "test_messages_are_received_in_the_order_they_were_sent"),
        (Sharing, "test_sender_and_receivers_share_nothing_that_can_change"),
        (Greedy, "test_a_message_that_meets_a_cancellation_is_received_once"),
        (Greedy, "test_a_reader_that_waits_is_woken"),
        (Sticky, "test_a_channel_that_left_gets_no_more_and_the_others_do"),
    ],
)
async def test_the_suite_finds_what_is_wrong(layer: type[InMemoryChannelLayer], test: str) -> None:
    class Suite(ChannelLayerContract):
        arrival = 0.05

    with pytest.raises(AssertionError):
        await getattr(Suite(), test)(layer())


@pytest.mark.parametrize(
    ("layer", "test", "arguments"),
    [
        (Boundless, "test_a_full_channel_refuses_a_message_and_keeps_what_it_has", ()),
        (Careless, "test_a_bad_channel_name_is_refused", ("with space",)),
    ],
)
async def test_the_suite_finds_an_error_that_is_missing(
    layer: type[InMemoryChannelLayer], test: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await getattr(ChannelLayerContract(), test)(layer(), *arguments)


def test_a_third_party_sees_the_values_that_differ(tmp_path: Path) -> None:
    (tmp_path / "test_layer.py").write_text(SUBCLASS)

    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "-k", "a_message_is_received_once"],
        cwd=tmp_path,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "E       AssertionError: assert 'wrong' == 1" in outcome.stdout

"""Sending from code that has no event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction

from channels.exceptions import ChannelFull, InvalidChannelLayerError, InvalidNameError
from channels.layers import InMemoryChannelLayer, channel_layers, group_send_sync, send_sync


@pytest.fixture(autouse=True)
def layer() -> Iterator[InMemoryChannelLayer]:
    before = channel_layers.backends
    made = InMemoryChannelLayer(capacity=2)
    channel_layers.backends = {"default": made}
    yield made
    channel_layers.backends = before


def take(layer: InMemoryChannelLayer, channel: str, number: int) -> list[Any]:
    async def receive() -> list[Any]:
        return [(await layer.receive(channel))["n"] for _ in range(number)]

    return asyncio.run(asyncio.wait_for(receive(), 5))


def unread(layer: InMemoryChannelLayer, channel: str) -> int:
    box = layer._hub.channels.get(channel)
    return 0 if box is None else box.qsize()


def test_a_group_and_a_channel_get_it_in_order(layer: InMemoryChannelLayer) -> None:
    asyncio.run(layer.group_add("room", "somebody"))

    group_send_sync("room", {"type": "tick", "n": 1})
    send_sync("somebody", {"type": "tick", "n": 2})

    assert take(layer, "somebody", 2) == [1, 2]


def test_what_the_layer_raises_is_raised() -> None:
    send_sync("full", {"type": "tick"})
    send_sync("full", {"type": "tick"})

    with pytest.raises(ChannelFull):
        send_sync("full", {"type": "tick"})
    with pytest.raises(InvalidNameError, match="Group name must be a string of 1 to 99"):
        group_send_sync("no group", {"type": "tick"})


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(InvalidChannelLayerError, match="CHANNEL_LAYERS has no layer 'other'"):
        group_send_sync("room", {"type": "tick"}, layer="other")


async def test_an_event_loop_is_told_to_await() -> None:
    with pytest.raises(
        SynchronousOnlyOperation, match=r"await group_send\(\) of the channel layer instead"
    ):
        group_send_sync("room", {"type": "tick"})
    with pytest.raises(SynchronousOnlyOperation, match=r"await send\(\) of the channel layer"):
        send_sync("somebody", {"type": "tick"})


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_it_waits_for_the_commit(self, layer: InMemoryChannelLayer) -> None:
        with transaction.atomic():
            send_sync("somebody", {"type": "tick", "n": 1})
            assert unread(layer, "somebody") == 0

        assert take(layer, "somebody", 1) == [1]

    def test_what_is_rolled_back_is_not_sent(self, layer: InMemoryChannelLayer) -> None:
        with transaction.atomic():
            send_sync("somebody", {"type": "tick", "n": 1})
            transaction.set_rollback(True)

        assert unread(layer, "somebody") == 0

    def test_it_does_not_wait_when_told_so(self, layer: InMemoryChannelLayer) -> None:
        with transaction.atomic():
            send_sync("somebody", {"type": "tick", "n": 1}, after_commit=False)

            assert unread(layer, "somebody") == 1

    def test_a_wrong_name_is_refused_at_once(self) -> None:
        with transaction.atomic():
            with pytest.raises(InvalidNameError):
                group_send_sync("no group", {"type": "tick"})
            with pytest.raises(InvalidNameError):
                send_sync("no channel", {"type": "tick"})

    def test_what_goes_wrong_then_is_raised_where_the_transaction_ends(self) -> None:
        with pytest.raises(AssertionError, match="a message is a dict"), transaction.atomic():
            group_send_sync("room", "no message")  # type: ignore[arg-type]

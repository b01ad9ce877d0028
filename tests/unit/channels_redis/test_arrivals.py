"""What a reader hands out comes in the order in which it was read, whatever it goes to."""

from __future__ import annotations

from typing import Any

import pytest

from channels.layers.fan_out import LARGE
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer


@pytest.mark.parametrize("backend", [RedisChannelLayer, RedisPubSubChannelLayer])
async def test_nothing_overtakes_a_message_to_a_large_group(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: a longer fan-out pauses the reader.
    monkeypatch.setattr("channels.layers.fan_out.SLICE", 3600.0)
    layer = backend()
    hub = layer._hub
    last = f"member!{LARGE}"
    for number in range(LARGE + 1):
        hub.attach(f"member!{number}", lambda: None)
        hub.join("crowd", f"member!{number}")
    hub.join("few", last)

    assert layer._arrived_for_group("crowd", {"type": "line", "n": 1}) is None
    assert layer._arrived_for_group("few", {"type": "line", "n": 2}) is None
    layer._arrived_for_channel(last, {"type": "line", "n": 3})

    assert [hub.channels[last].take()["n"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("backend", [RedisChannelLayer, RedisPubSubChannelLayer])
async def test_the_reader_is_told_to_wait_for_a_long_fan_out(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.layers.fan_out.SLICE", -1.0)
    layer = backend()
    for number in range(LARGE + 1):
        layer._hub.attach(f"member!{number}", lambda: None)
        layer._hub.join("crowd", f"member!{number}")

    later = layer._arrived_for_group("crowd", {"type": "line", "n": 1})

    assert later is not None
    await later
    assert all(box.take()["n"] == 1 for box in layer._hub.channels.values())

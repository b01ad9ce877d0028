"""What consumers receive over Redis, by their inboxes or otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.slow import SLOW

BOTH = [RedisChannelLayer, RedisPubSubChannelLayer]
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _layers_of_the_test() -> Iterator[None]:
    before = dict(channel_layers.backends)
    yield
    channel_layers.backends = before


@pytest.mark.parametrize("backend", BOTH)
async def test_a_subclass_is_asked_for_what_its_consumers_receive(make: Make, backend: Any) -> None:
    seen: list[Any] = []

    class Listening(backend):  # type: ignore[misc] # either
        async def receive(self, channel: str) -> Any:
            message = await super().receive(channel)
            seen.append(message["n"])
            return message

    class Member(AsyncWebsocketConsumer):
        groups = ("room",)

        async def tick(self, event: dict[str, Any]) -> None:
            await self.send(str(event["n"]))

    layer = make(Listening)
    channel_layers.set("default", layer)
    client = WebsocketCommunicator(Member.as_asgi(), "/")
    await client.connect()

    for n in (1, 2):
        await layer.group_send("room", {"type": "tick", "n": n})

    assert [await client.receive_from(5 * SLOW) for _ in range(2)] == ["1", "2"]
    assert seen == [1, 2]
    await client.disconnect()
    assert (layer.channels, layer.groups) == ({}, {})


@pytest.mark.parametrize("backend", BOTH)
async def test_a_handler_receives_from_its_own_channel(make: Make, backend: Any) -> None:
    class Reader(AsyncWebsocketConsumer):
        groups = ("room",)

        async def receive(self, text_data: str | None = None, bytes_data: Any = None) -> None:
            for _ in range(2):
                got = await self.channel_receive()
                await self.send(str(got["n"]))

    layer = make(backend)
    channel_layers.set("default", layer)
    client = WebsocketCommunicator(Reader.as_asgi(), "/")
    await client.connect()
    await client.send_to("listen")

    for n in (1, 2):
        await layer.group_send("room", {"type": "tick", "n": n})

    assert [await client.receive_from(5 * SLOW) for _ in range(2)] == ["1", "2"]
    await client.disconnect()

"""Topics over our server: at real sockets, with clients that do not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.layers import channel_layers
from channels.publish import apublish
from channels.topics import Reliable, Topic, TopicConsumer, topic
from channels.topics import upkeep as upkeep_module
from tests.integration.websocket.conftest import Peer, Serve, Site, eventually

SMALL = 4096
"""Bytes of the receive buffer of a client that is to be full soon."""
PIECE = "x" * 10_000
SUBPROTOCOL = "sec-websocket-protocol: channels.topics.v1"


@pytest.fixture(autouse=True)
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    before, classes = channel_layers.backends, dict(topic._classes)
    channel_layers.backends = {}
    monkeypatch.setattr(upkeep_module, "TICK", 0.05)

    class Room(Topic, pattern="room.<int:pk>"):
        delivery = Reliable(history=1000, max_bytes=10**8)

        def authorize(self) -> bool:
            return True

    class Prices(Topic, pattern="prices"):
        slow_consumer = "keep_latest"

        def authorize(self) -> bool:
            return True

    yield
    topic._classes.clear()
    topic._classes.update(classes)
    topic._find.cache_clear()
    channel_layers.backends = before


async def join(site: Site, name: str, **options: Any) -> Peer:
    peer = await site.connect(**options)
    assert b" 101 " in await peer.ask(headers=SUBPROTOCOL + "\n")
    peer.text('{"type":"hello"}')
    peer.text(json.dumps({"type": "subscribe", "id": 1, "topic": name}))
    assert (await receive(peer))["type"] == "hello"
    assert (await receive(peer))["type"] == "subscribed"
    return peer


async def receive(peer: Peer) -> dict[str, Any]:
    first, payload = await peer.frame()
    assert first == 0x81
    frame: dict[str, Any] = json.loads(payload)
    return frame


async def fill(site: Site, name: str, **options: Any) -> int:
    """Publish until a peer's end is full; return how often."""
    sent = 0
    protocol = site.protocols[0]
    while protocol._drained is None:
        sent += 1
        await apublish(name, {"n": sent, "x": PIECE}, **options)
        await asyncio.sleep(0)
    return sent


async def test_a_slow_client_of_a_reliable_topic_finds_out_and_recovers(serve: Serve) -> None:
    async with serve(TopicConsumer.as_asgi()) as site:
        peer = await join(site, "room.7", buffer=SMALL)
        sent = await fill(site, "room.7")
        for n in range(sent + 1, sent + 301):
            await apublish("room.7", {"n": n, "x": PIECE})

        seen, offset = [], 0
        position = ""
        while len(seen) < sent + 300:
            frame = await receive(peer)
            if frame["type"] == "publication" and frame["offset"] == offset + 1:
                offset += 1
                seen.append(frame["data"]["n"])
            elif frame["type"] == "position":
                # Nothing more was published: this is how it learns that the last ones were lost.
                position = frame["position"]
                known = f"{position.partition(':')[0]}:{offset}"
                ask = {"type": "subscribe", "id": 2, "topic": "room.7", "position": known}
                peer.text(json.dumps(ask))
            elif frame["type"] == "subscribed":
                assert frame["recovered"]
                seen += [each["data"]["n"] for each in frame["publications"]]

        assert seen == list(range(1, sent + 301))
        assert position.endswith(f":{sent + 300}")
        assert offset < sent + 300


async def test_a_slow_client_of_a_topic_that_keeps_the_latest_has_that(serve: Serve) -> None:
    async with serve(TopicConsumer.as_asgi()) as site:
        peer = await join(site, "prices", buffer=SMALL)
        sent = await fill(site, "prices", key="gold")
        for n in range(sent + 1, sent + 500):
            await apublish("prices", {"n": n, "x": PIECE}, key="gold" if n % 2 else "tin")

        seen = []
        while not {sent + 499, sent + 498} <= set(seen):
            frame = await receive(peer)
            seen.append(frame["data"]["n"])

        assert seen == [*range(1, sent + 1), *sorted([sent + 498, sent + 499])]


async def test_a_restart_says_goodbye_first(serve: Serve) -> None:
    async with serve(TopicConsumer.as_asgi()) as site:
        peer = await join(site, "room.7")

        site.protocols[0].close_for_restart()

        assert await receive(peer) == {
            "type": "goodbye",
            "code": "restart",
            "message": "the server restarts",
            "reconnect": True,
        }
        assert await peer.closed() == (1012, "service restart")
        peer.send(0x88, b"\x03\xf4")
        await eventually(lambda: not site.state.connections)

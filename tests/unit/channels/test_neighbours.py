"""What one connection's blocked thread means for the others: as little as can be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.lanes import enter_lane
from channels.sources import LOOK_AHEAD, Pump
from channels.testing import WebsocketCommunicator


@pytest.fixture
def block() -> Iterator[threading.Event]:
    """Holds a thread until it is set, at the latest when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def blocking(block: threading.Event) -> Callable[[], bool]:
    return lambda: block.wait(20)


@override_settings(CHANNELS={"SYNC_THREADS": 1})
async def test_an_async_consumer_does_not_wait_for_a_blocked_lane_to_be_cleaned_up(
    block: threading.Event,
) -> None:
    class Echo(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await self.send(text_data)

    async with WebsocketCommunicator(Echo.as_asgi(), "/") as client:
        with enter_lane() as lane:
            running = asyncio.create_task(sync_to_async(blocking(block))())
            await asyncio.sleep(0)
        lane.database_used = True

        await client.send_to("hello")

        assert await client.receive_from() == "hello"
    block.set()
    await running


async def test_a_lane_that_an_ended_connection_still_blocks_is_not_given_to_the_next(
    block: threading.Event,
) -> None:
    with enter_lane() as blocked:
        await sync_to_async(threading.get_ident)()
        running = asyncio.create_task(sync_to_async(blocking(block))())
        await asyncio.sleep(0)

    with enter_lane() as next_one:
        answer = await sync_to_async(lambda: "at once")()

    assert answer == "at once"
    assert next_one is not blocked
    block.set()
    await running


async def test_a_flood_behind_a_stuck_handler_is_read_to_a_fixed_depth() -> None:
    reads = 0

    async def receive() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return {"type": "websocket.receive", "text": "x"}

    pump = Pump(receive, lambda event: None, patience=0.001)
    for _ in range(20 * LOOK_AHEAD):
        await asyncio.sleep(0.001)

    assert reads == LOOK_AHEAD
    await asyncio.wait([pump.stop()])


async def test_a_cancelled_connection_ends_at_once_though_its_thread_is_blocked(
    block: threading.Event,
) -> None:
    started = threading.Event()

    class Blocked(WebsocketConsumer):
        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            started.set()
            block.wait(20)

    client = WebsocketCommunicator(Blocked.as_asgi(), "/")
    await client.connect()
    await client.send_to("x")
    await asyncio.to_thread(started.wait, 5)

    client.future.cancel()
    done, _ = await asyncio.wait([client.future], timeout=5)

    assert done
    assert not block.is_set()

"""Senders in other threads and on other event loops."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from channels.background import run_blocking
from channels.testing.contract.base import LayerContract, new_name, tick


class ThreadContract(LayerContract):
    """Whoever sends, from wherever: the reader is woken on its own event loop."""

    @pytest.mark.parametrize("to", ["channel", "group"])
    @pytest.mark.parametrize(
        "way",
        [
            asyncio.run,
            lambda sent: async_to_sync(_awaiting)(sent),
            lambda sent: run_blocking(lambda: sent),
        ],
        ids=["asyncio.run", "async_to_sync", "background"],
    )
    async def test_a_message_from_another_thread_wakes_the_reader(
        self, layer: Any, way: Callable[[Any], None], to: str
    ) -> None:
        group, channel = new_name("group"), await layer.new_channel()
        await layer.group_add(group, channel)
        async with self.reader(layer, channel) as reader:
            sent = (
                layer.send(channel, tick(1))
                if to == "channel"
                else layer.group_send(group, tick(1))
            )

            await asyncio.to_thread(way, sent)

            assert await reader == 1

    async def test_threads_that_send_at_once_lose_and_double_nothing(self, layer: Any) -> None:
        channel = await layer.new_channel()
        each = min(25, layer.get_capacity(channel) // 4)

        async def send(thread: int) -> None:
            for n in range(each):
                await layer.send(channel, tick([thread, n]))

        threads = [
            threading.Thread(target=lambda number=number: asyncio.run(send(number)))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        received = await self.receive_many(layer, channel, 4 * each)
        for thread in threads:
            await asyncio.to_thread(thread.join)

        expected = [[thread, n] for thread in range(4) for n in range(each)]
        # Each thread's messages are in order, whatever came between.
        assert sorted(received, key=lambda pair: int(pair[0])) == expected
        await self.require_silence(layer, channel)


async def _awaiting(coroutine: Any) -> None:
    await coroutine

"""Layers that hand messages straight to the inboxes of consumers in this process."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from channels.exceptions import ChannelFull
from channels.testing.contract.base import LayerContract, new_name, tick


class Consumer:
    """Has the inbox of a new channel, as a consumer does.

    Attributes:
        channel: The channel's name.
        inbox: What the layer gave for it.
        woken_in: Identities of the threads in which it was told of arrivals.
    """

    def __init__(self, layer: Any, channel: str, patience: float) -> None:
        self.channel = channel
        self.woken_in: set[int] = set()
        self._patience = patience
        self._arrived = asyncio.Event()
        self.inbox: Any = layer.attach(channel, self._wake)

    @classmethod
    async def start(cls, layer: Any, patience: float) -> Consumer:
        """Attach to a new channel."""
        return cls(layer, await layer.new_channel(), patience)

    async def next(self) -> Any:
        """Return ``n`` of the next message."""
        try:
            async with asyncio.timeout(self._patience):
                while (message := self.inbox.take()) is None:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"no message came to {self.channel}") from None
        return message["n"]

    def _wake(self) -> None:
        self.woken_in.add(threading.get_ident())
        self._arrived.set()


class AttachingLayerContract(LayerContract):
    """Beyond ``ChannelLayerContract``: what ``attach`` and ``detach`` of a layer do."""

    async def test_an_attached_consumer_is_woken_and_takes_messages_in_order(
        self, layer: Any
    ) -> None:
        group, consumer = new_name("group"), await Consumer.start(layer, self.arrival)
        await layer.group_add(group, consumer.channel)
        assert consumer.inbox.take() is None

        await layer.send(consumer.channel, tick(1))
        await layer.group_send(group, tick(2))

        assert [await consumer.next(), await consumer.next()] == [1, 2]
        assert consumer.inbox.take() is None
        assert consumer.woken_in == {threading.get_ident()}
        layer.detach(consumer.channel)

    async def test_an_attached_consumer_hears_of_another_thread_s_message_in_its_own(
        self, layer: Any
    ) -> None:
        group, consumer = new_name("group"), await Consumer.start(layer, self.arrival)
        await layer.group_add(group, consumer.channel)

        for sent in (layer.send(consumer.channel, tick(1)), layer.group_send(group, tick(1))):
            await asyncio.to_thread(asyncio.run, sent)
            assert await consumer.next() == 1

        assert consumer.woken_in == {threading.get_ident()}
        layer.detach(consumer.channel)

    async def test_a_full_inbox_refuses_what_is_sent_and_misses_what_the_group_gets(
        self, layer: Any
    ) -> None:
        group, consumer = new_name("group"), await Consumer.start(layer, self.arrival)
        await layer.group_add(group, consumer.channel)
        capacity = layer.get_capacity(consumer.channel)
        for n in range(capacity):
            await layer.send(consumer.channel, tick(n))
        await self.settle(layer)

        with pytest.raises(ChannelFull):
            await layer.send(consumer.channel, tick("too many"))
        await layer.group_send(group, tick("too many"))

        assert [await consumer.next() for _ in range(capacity)] == list(range(capacity))
        await asyncio.sleep(self.silence)
        assert consumer.inbox.take() is None
        layer.detach(consumer.channel)

    async def test_attached_consumers_share_nothing_that_can_change(self, layer: Any) -> None:
        group, consumers = new_name("group"), []
        for _ in range(3):
            consumers.append(await Consumer.start(layer, self.arrival))
            await layer.group_add(group, consumers[-1].channel)
        value = [1, {"deep": [2]}]

        await layer.group_send(group, tick(value))
        value.append("spoiled")

        for consumer in consumers:
            received = await consumer.next()
            assert received == [1, {"deep": [2]}]
            received[1]["deep"].append("spoiled")
            layer.detach(consumer.channel)

    async def test_detaching_leaves_every_group_and_may_be_repeated(self, layer: Any) -> None:
        groups = [new_name("group"), new_name("group")]
        leaves, stays = [await Consumer.start(layer, self.arrival) for _ in range(2)]
        for group in groups:
            await layer.group_add(group, leaves.channel)
            await layer.group_add(group, stays.channel)

        layer.detach(leaves.channel)
        layer.detach(leaves.channel)
        for group in groups:
            await layer.group_send(group, tick(group))

        assert [await stays.next(), await stays.next()] == groups
        assert leaves.inbox.take() is None
        layer.detach(stays.channel)

    async def test_an_attached_consumer_outlives_a_flush(self, layer: Any) -> None:
        group, consumer = new_name("group"), await Consumer.start(layer, self.arrival)
        await layer.group_add(group, consumer.channel)
        await layer.send(consumer.channel, tick(1))

        await self.settle(layer)
        await layer.flush()
        await layer.group_send(group, tick(2))
        await layer.send(consumer.channel, tick(3))

        assert await consumer.next() == 3
        assert consumer.inbox.take() is None
        layer.detach(consumer.channel)

    async def test_a_message_of_a_consumer_can_be_received_in_its_place(self, layer: Any) -> None:
        consumer = await Consumer.start(layer, self.arrival)

        async with asyncio.timeout(self.arrival):
            waiting = asyncio.create_task(layer.receive(consumer.channel))
            await asyncio.sleep(0)
            await layer.send(consumer.channel, tick(1))
            received = await waiting

        assert received == tick(1)
        layer.detach(consumer.channel)

    async def test_an_attached_consumer_does_not_get_an_expired_message(
        self, brief_layer: Any
    ) -> None:
        consumer = await Consumer.start(brief_layer, self.arrival)
        await brief_layer.send(consumer.channel, tick("old"))

        await self.pass_time(brief_layer.expiry * 1.1)
        await brief_layer.send(consumer.channel, tick("new"))

        assert await consumer.next() == "new"
        brief_layer.detach(consumer.channel)

    async def test_an_attached_consumer_stays_in_its_groups_however_long_it_lives(
        self, brief_layer: Any
    ) -> None:
        group, consumer = new_name("group"), await Consumer.start(brief_layer, self.arrival)
        await brief_layer.group_add(group, consumer.channel)

        await self.pass_time(brief_layer.group_expiry * 1.1)
        await brief_layer.group_send(group, tick(1))

        assert await consumer.next() == 1
        brief_layer.detach(consumer.channel)

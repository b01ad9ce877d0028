"""Order, readers, cancellation, capacity and expiry."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from channels.exceptions import ChannelFull
from channels.testing.contract.base import LayerContract, new_name, tick


class DeliveryContract(LayerContract):
    """A message is received once, in order, by whoever reads; or not at all, if it expires.

    Attributes:
        expires_memberships_of_unread_channels: A channel whose message expired unread has left
            its groups.
    """

    expires_memberships_of_unread_channels: ClassVar[bool] = False

    async def test_messages_are_received_in_the_order_they_were_sent(self, layer: Any) -> None:
        channel = await layer.new_channel()
        count = min(20, layer.capacity)

        for n in range(count):
            await layer.send(channel, tick(n))

        assert await self.receive_many(layer, channel, count) == list(range(count))

    async def test_a_message_is_received_once(self, layer: Any) -> None:
        channel = await layer.new_channel()

        await layer.send(channel, tick(1))

        assert await self.receive(layer, channel) == 1
        await self.require_silence(layer, channel)

    async def test_a_reader_that_waits_is_woken(self, layer: Any) -> None:
        channel = await layer.new_channel()
        async with self.reader(layer, channel) as reader:
            await layer.send(channel, tick(1))

            assert await reader == 1

    async def test_channels_of_one_layer_do_not_mix(self, layer: Any) -> None:
        channels = [await layer.new_channel() for _ in range(3)]

        for n, channel in enumerate(channels):
            await layer.send(channel, tick(n))

        assert [await self.receive(layer, channel) for channel in reversed(channels)] == [2, 1, 0]

    async def test_new_channels_have_names_of_their_own_that_only_this_process_reads(
        self, layer: Any
    ) -> None:
        names = {await layer.new_channel() for _ in range(100)}

        assert len(names) == 100
        for name in names:
            assert "!" in name
            assert layer.require_valid_channel_name(name)

    async def test_a_normal_channel_keeps_messages_until_somebody_reads(self, layer: Any) -> None:
        channel = new_name("normal")

        await layer.send(channel, tick(1))
        await layer.send(channel, tick(2))

        assert await self.receive_many(layer, channel, 2) == [1, 2]

    async def test_readers_of_a_normal_channel_get_different_messages(self, layer: Any) -> None:
        channel = new_name("normal")
        async with self.reader(layer, channel) as one, self.reader(layer, channel) as two:
            await layer.send(channel, tick(1))
            await layer.send(channel, tick(2))

            assert sorted([await one, await two]) == [1, 2]
        await self.require_silence(layer, channel)

    async def test_cancelling_receive_loses_no_message(self, layer: Any) -> None:
        channel = await layer.new_channel()
        async with self.reader(layer, channel):
            pass

        await layer.send(channel, tick(1))

        assert await self.receive(layer, channel) == 1

    async def test_a_message_that_meets_a_cancellation_is_received_once(self, layer: Any) -> None:
        channel = await layer.new_channel()
        received = []
        async with self.reader(layer, channel) as reader:
            await layer.send(channel, tick(1))
            reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                received.append(reader.result())

        if not received:
            received.append(await self.receive(layer, channel))
        await self.require_silence(layer, channel)

        assert received == [1]

    async def test_a_reader_outlives_the_cancellation_of_another(self, layer: Any) -> None:
        channel = new_name("normal")
        async with self.reader(layer, channel) as stays:
            async with self.reader(layer, channel):
                pass

            await layer.send(channel, tick(1))

            assert await stays == 1

    async def test_a_reader_is_served_after_another_was(self, layer: Any) -> None:
        channel = new_name("normal")
        async with self.reader(layer, channel) as one, self.reader(layer, channel) as two:
            await layer.send(channel, tick(1))
            done, waiting = await asyncio.wait(
                [one, two], timeout=self.arrival, return_when=asyncio.FIRST_COMPLETED
            )
            assert [task.result() for task in done] == [1]

            await layer.send(channel, tick(2))

            assert [await task for task in waiting] == [2]

    async def test_a_full_channel_refuses_a_message_and_keeps_what_it_has(self, layer: Any) -> None:
        channel = new_name("normal")
        capacity = layer.get_capacity(channel)
        for n in range(capacity):
            await layer.send(channel, tick(n))

        with pytest.raises(ChannelFull):
            await layer.send(channel, tick("too many"))

        assert await self.receive(layer, channel) == 0
        await layer.send(channel, tick(capacity))
        assert await self.receive_many(layer, channel, capacity) == list(range(1, capacity + 1))

    async def test_a_full_member_alone_misses_a_group_message(self, layer: Any) -> None:
        full, other, group = new_name("normal"), await layer.new_channel(), new_name("group")
        capacity = layer.get_capacity(full)
        for n in range(capacity):
            await layer.send(full, tick(n))
        for channel in (full, other):
            await layer.group_add(group, channel)

        await layer.group_send(group, tick("to all"))

        assert await self.receive(layer, other) == "to all"
        assert await self.receive_many(layer, full, capacity) == list(range(capacity))
        await self.require_silence(layer, full)

    async def test_an_unread_message_expires(self, brief_layer: Any) -> None:
        channel = new_name("normal")
        await brief_layer.send(channel, tick("old"))

        await self.pass_time(brief_layer.expiry * 1.1)

        await self.require_silence(brief_layer, channel)

    async def test_expired_messages_take_no_room(self, brief_layer: Any) -> None:
        channel = new_name("normal")
        for n in range(brief_layer.get_capacity(channel)):
            await brief_layer.send(channel, tick(n))

        await self.pass_time(brief_layer.expiry * 1.1)

        await brief_layer.send(channel, tick("new"))
        assert await self.receive(brief_layer, channel) == "new"

    async def test_an_expired_message_may_end_the_memberships_of_its_channel(
        self, brief_layer: Any
    ) -> None:
        group, channel = new_name("group"), await brief_layer.new_channel()
        await brief_layer.send(channel, tick("old"))
        await self.pass_time(brief_layer.expiry * 0.6)
        await brief_layer.group_add(group, channel)
        await self.pass_time(brief_layer.expiry * 0.6)

        await brief_layer.group_send(group, tick("new"))

        if self.expires_memberships_of_unread_channels:
            await self.require_silence(brief_layer, channel)
        else:
            assert await self.receive(brief_layer, channel) == "new"

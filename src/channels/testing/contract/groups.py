"""Groups, and flushing everything."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

from typing import Any, ClassVar

from channels.testing.contract.base import LayerContract, new_name, tick


class GroupContract(LayerContract):
    """A group message reaches every member at that moment, and nobody else.

    Attributes:
        expires_memberships: A membership that nobody refreshes ends after ``group_expiry``.
    """

    expires_memberships: ClassVar[bool] = True

    async def test_a_group_message_reaches_its_members_alone_and_in_order(self, layer: Any) -> None:
        group = new_name("group")
        members = [await layer.new_channel() for _ in range(3)]
        stranger = await layer.new_channel()
        for member in members:
            await layer.group_add(group, member)
        await layer.group_add(new_name("group"), stranger)

        for n in range(4):
            await layer.group_send(group, tick(n))

        for member in members:
            assert await self.receive_many(layer, member, 4) == [0, 1, 2, 3]
        await self.require_silence(layer, stranger)

    async def test_a_channel_may_be_in_several_groups(self, layer: Any) -> None:
        groups, channel = [new_name("group"), new_name("group")], await layer.new_channel()
        for group in groups:
            await layer.group_add(group, channel)

        for n, group in enumerate(groups):
            await layer.group_send(group, tick(n))

        # Two groups may be on two servers, so there is no order between them.
        assert sorted(await self.receive_many(layer, channel, 2)) == [0, 1]

    async def test_joining_twice_is_joining_once(self, layer: Any) -> None:
        group, channel = new_name("group"), await layer.new_channel()
        await layer.group_add(group, channel)
        await layer.group_add(group, channel)

        await layer.group_send(group, tick(1))

        assert await self.receive(layer, channel) == 1
        await self.require_silence(layer, channel)

    async def test_a_channel_that_left_gets_no_more_and_the_others_do(self, layer: Any) -> None:
        group = new_name("group")
        left, stays = [await layer.new_channel() for _ in range(2)]
        for channel in (left, stays):
            await layer.group_add(group, channel)

        await layer.group_discard(group, left)
        await layer.group_discard(group, left)
        await layer.group_send(group, tick(1))

        assert await self.receive(layer, stays) == 1
        await self.require_silence(layer, left)

    async def test_leaving_a_group_never_joined_and_sending_to_nobody_do_nothing(
        self, layer: Any
    ) -> None:
        group, channel = new_name("group"), await layer.new_channel()

        await layer.group_discard(group, channel)
        await layer.group_send(group, tick(1))
        await layer.group_add(group, channel)

        await self.require_silence(layer, channel)

    async def test_memberships_expire_unless_they_are_refreshed(self, brief_layer: Any) -> None:
        group = new_name("group")
        old, refreshed = [await brief_layer.new_channel() for _ in range(2)]
        await brief_layer.group_add(group, old)
        await brief_layer.group_add(group, refreshed)
        await self.pass_time(brief_layer.group_expiry * 0.6)
        await brief_layer.group_add(group, refreshed)
        await self.pass_time(brief_layer.group_expiry * 0.6)

        await brief_layer.group_send(group, tick(1))

        assert await self.receive(brief_layer, refreshed) == 1
        if self.expires_memberships:
            await self.require_silence(brief_layer, old)
        else:
            assert await self.receive(brief_layer, old) == 1

    async def test_flush_drops_messages_and_groups(self, layer: Any) -> None:
        group, channel = new_name("group"), await layer.new_channel()
        await layer.group_add(group, channel)
        await layer.send(channel, tick(1))

        await self.settle(layer)
        await layer.flush()
        await layer.group_send(group, tick(2))
        await layer.send(channel, tick(3))

        assert await self.receive(layer, channel) == 3
        await self.require_silence(layer, channel)

    async def test_a_reader_outlives_a_flush(self, layer: Any) -> None:
        channel = await layer.new_channel()
        async with self.reader(layer, channel) as reader:
            await layer.flush()

            await layer.send(channel, tick(1))

            assert await reader == 1

    async def test_the_layer_says_what_it_can_do(self, layer: Any) -> None:
        assert {"groups", "flush"} <= set(layer.extensions)

"""What a layer over Redis does while it has no connections."""

from __future__ import annotations

import asyncio

from channels_redis.core import RedisChannelLayer


async def test_groups_are_unregistered_after_a_leave_while_there_were_no_connections() -> None:
    layer = RedisChannelLayer(hosts=["redis://127.0.0.1:1"])
    name = await layer.new_channel()
    layer.attach(name, lambda: None)
    layer._hub.join("first", name)
    layer._hub.join("second", name)
    await layer.close_pools()
    await layer.group_discard("first", name)

    layer.attach(await layer.new_channel(), lambda: None)
    registrations = layer._homes.settle().resident.registrations
    registering = asyncio.create_task(registrations.require("second"))
    await asyncio.sleep(0)
    assert registrations.is_registered("second")
    await layer.group_discard("second", name)
    await asyncio.sleep(0.01)

    assert not registrations.is_registered("second")
    registering.cancel()
    await layer.close_pools()

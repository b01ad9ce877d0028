"""Sends two messages, or receives them, with whichever release stands first on the path."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys

from django.conf import settings  # noqa: TID251 - this is a project


async def main(backend: str, what: str, hosts: str) -> None:
    """Do ``what`` over the layer ``backend``."""
    module, name = backend.split(".")
    layer = getattr(importlib.import_module(f"channels_redis.{module}"), name)(json.loads(hosts))
    if what == "send":
        for n in (1, 2):
            await layer.group_send("room", {"type": "line", "n": n})
    else:
        channel = await layer.new_channel()
        await layer.group_add("room", channel)
        print("ready with", sys.modules["channels_redis"].__file__, flush=True)  # noqa: T201
        for _ in range(2):
            async with asyncio.timeout(20):
                print("group", (await layer.receive(channel))["n"])  # noqa: T201
    await layer.close_pools()


settings.configure()
asyncio.run(main(*sys.argv[1:]))

"""What the suites share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from channels.typing import Message


def new_name(kind: str = "name") -> str:
    """Return a name that no other test uses."""
    return f"{kind}.{uuid.uuid4().hex}"


def tick(n: Any) -> Message:
    """Return a message that carries ``n``."""
    return {"type": "tick", "n": n}


class LayerContract:
    """How the suites wait.

    Attributes:
        arrival: Seconds within which a message that was sent is received.
        silence: Seconds without a message that prove that none comes.
        hearing: Seconds after which a broker has heard of a reader.
    """

    hearing: ClassVar[float] = 0.01
    arrival: ClassVar[float] = 10.0
    silence: ClassVar[float] = 0.05

    async def receive(self, layer: Any, channel: str) -> Any:
        """Return ``n`` of the next message."""
        try:
            async with asyncio.timeout(self.arrival):
                return (await layer.receive(channel))["n"]
        except TimeoutError:
            raise AssertionError(f"no message came to {channel} in {self.arrival} s") from None

    async def receive_many(self, layer: Any, channel: str, count: int) -> list[Any]:
        """Return ``n`` of the next messages."""
        return [await self.receive(layer, channel) for _ in range(count)]

    async def require_silence(self, layer: Any, channel: str) -> None:
        """Return if no message comes."""
        try:
            async with asyncio.timeout(self.silence):
                message = await layer.receive(channel)
        except TimeoutError:
            return
        raise AssertionError(f"expected no message, but {channel} received {message!r}")

    @asynccontextmanager
    async def reader(self, layer: Any, channel: str) -> AsyncIterator[asyncio.Task[Any]]:
        """Have a task wait for a message of ``channel``; cancel it at the end."""
        task = asyncio.create_task(self.receive(layer, channel))
        await asyncio.sleep(self.hearing)
        yield task
        task.cancel()
        await asyncio.wait([task])

    async def settle(self, layer: Any) -> None:
        """Return when what was sent has reached its process; override it where that takes time."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the layer; override it where the layer's clock can be moved."""
        await asyncio.sleep(seconds)

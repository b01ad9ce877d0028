"""Subscriptions of this process: which connection gets the frames of which topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from channels import telemetry
from channels._core.broadcast import Broadcast
from channels.layers import InMemoryChannelLayer

EVERYBODY: Final = "*"
"""A name that no topic has: all connections."""
CAPACITY: Final = 1000
"""Frames that may wait for one connection whose server takes them one at a time."""


class LocalLayer(InMemoryChannelLayer):
    """Hands a frame to every subscriber on this event loop, without waiting."""

    def __init__(self) -> None:
        super().__init__(capacity=CAPACITY)

    def join(self, topic: str, channel: str) -> None:
        """Let ``channel`` have the frames of ``topic``. O(1)."""
        self._hub.join(topic, channel)

    def leave(self, topic: str, channel: str) -> None:
        """Let it have them no more. O(1)."""
        self._hub.leave(topic, channel)

    def hand_out(self, topic: str, frame: Broadcast) -> asyncio.Future[Any] | None:
        """Give ``frame`` to every subscriber. O(subscribers).

        Returns:
            ``None``, or what is done when the last has had it.
        """
        return self._hub.fan_out(topic, frame).done

    def hand_out_to(
        self, topic: str, channels: Iterable[str], frame: Broadcast
    ) -> asyncio.Future[Any] | None:
        """Give ``frame`` to these subscribers alone, behind what the topic handed out before.

        Returns:
            ``None``, or what is done when the last has had it.
        """
        return self._hub.fan_out_to(topic, tuple(channels), frame).done

    def hand_over(self, channel: str, frame: Broadcast) -> None:
        """Give ``frame`` to one; what it has no room for is counted, and the client recovers."""
        if not self._hub.deliver(channel, frame):
            telemetry.emit(telemetry.MessageDropped(channel, "full"))

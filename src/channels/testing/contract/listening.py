"""What the suites for brokers of topics share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from channels.history.broker import Change, Retention
from channels.history.position import Position, Publication
from channels.testing.contract.base import new_name

KEPT = Retention(entries=1000, max_bytes=1_000_000, ttl=60.0)
"""More than any test publishes."""


class Arrival(NamedTuple):
    """A publication that was heard."""

    topic: str
    epoch: str
    publication: Publication


class Recorder:
    """A listener that notes what it hears.

    Attributes:
        arrivals: Publications.
        changes: Changes of presence, with their topic.
        signals: Signals.
        interruptions: How often it was interrupted.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.changes: list[tuple[str, Change]] = []
        self.signals: list[bytes] = []
        self.interruptions: int = 0

    def arrived(self, topic: str, epoch: str, publication: Publication) -> None:
        """Note a publication."""
        self.arrivals.append(Arrival(topic, epoch, publication))

    def presence_changed(self, topic: str, change: Change) -> None:
        """Note a change."""
        self.changes.append((topic, change))

    def signalled(self, body: bytes) -> None:
        """Note a signal."""
        self.signals.append(body)

    def interrupted(self) -> None:
        """Count an interruption."""
        self.interruptions += 1

    def bodies(self, topic: str) -> list[bytes]:
        """Return the bodies of what was published to ``topic``."""
        return [each.publication.body for each in self.arrivals if each.topic == topic]

    def changes_of(self, topic: str) -> list[Change]:
        """Return the changes of ``topic``."""
        return [change for name, change in self.changes if name == topic]


class TopicBrokerSuite:
    """How the suites wait.

    Attributes:
        arrival: Seconds within which what was published is heard.
        silence: Seconds in which nothing is heard that prove that nothing comes.
    """

    arrival: ClassVar[float] = 10.0
    silence: ClassVar[float] = 0.05

    async def until(self, condition: Callable[[], Any], what: str = "it was heard") -> None:
        """Return when ``condition`` holds."""
        try:
            async with asyncio.timeout(self.arrival):
                while not condition():  # noqa: ASYNC110 - only the listener knows
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"expected that {what} within {self.arrival} s") from None

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the broker; override it where the broker's clock can be moved."""
        await asyncio.sleep(seconds)

    async def publish(
        self, broker: Any, topic: str, *bodies: bytes, retention: Retention = KEPT
    ) -> list[Position]:
        """Publish bodies one after the other."""
        return [
            await broker.publish(topic, body, retention=retention, publication_id=new_name())
            for body in bodies
        ]

"""A topic that keeps everything, and a broker that can be out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from channels.exceptions import LayerUnavailableError
from channels.history.memory import MemoryTopicBroker
from channels.outbox import relaying
from channels.topics import Reliable, Topic
from channels.topics.body import Body
from channels.topics.site import run


class Orders(Topic, pattern="orders.<slug:key>"):
    """What is published with the outbox in these tests."""

    delivery = Reliable(history=1000)
    key: str


@pytest.fixture(autouse=True)
def _nothing_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "_failed_at", float("-inf"))


@pytest.fixture
def topic() -> str:
    return f"orders.{uuid.uuid4().hex}"


@pytest.fixture
def published() -> Callable[[str], list[str]]:
    """Return ``published(topic)``: the data of all that is kept, in order, as JSON text."""

    def read(topic: str) -> list[str]:
        excerpt = run(lambda engine: engine.broker.read(topic, 0))
        return [Body.unpack(each.body).text for each in excerpt.publications]

    return read


class Broker:
    """Stands before the broker of this process.

    Attributes:
        error: What it raises instead of publishing, if anything.
        calls: How often it was asked.
    """

    def __init__(self, publish: Any) -> None:
        self.error: Exception | None = None
        self.loses_answer = False
        self.calls = 0
        self._publish = publish

    async def publish(self, broker: MemoryTopicBroker, topic: str, body: bytes, **rest: Any) -> Any:
        self.calls += 1
        if self.error is not None and not self.loses_answer:
            raise self.error
        position = await self._publish(broker, topic, body, **rest)
        if self.error is not None:
            raise self.error
        return position

    def go_out(self, *, loses_answer: bool = False) -> None:
        self.loses_answer = loses_answer
        self.error = LayerUnavailableError("out")

    def come_back(self) -> None:
        self.error = None


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker(MemoryTopicBroker.publish)

    async def publish(self: MemoryTopicBroker, topic: str, body: bytes, **rest: Any) -> Any:
        return await broker.publish(self, topic, body, **rest)

    monkeypatch.setattr(MemoryTopicBroker, "publish", publish)
    return broker

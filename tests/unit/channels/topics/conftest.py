"""Clients of topics, without a server between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels.topics import Reliable, Topic, TopicConsumer, Volatile, call, topic
from channels.topics.calls import CallError


class Client:
    """One connection that speaks the protocol."""

    def __init__(
        self, user: Any = None, *, consumer: Any = TopicConsumer, session: Any = None
    ) -> None:
        self.socket = WebsocketCommunicator(
            consumer.as_asgi(), "/ws/topics/", subprotocols=["channels.topics.v1"]
        )
        self.socket.scope["user"] = user
        self.socket.scope["session"] = session
        self._ids = 0

    async def connect(self, **hello: Any) -> dict[str, Any]:
        assert (await self.socket.connect()) == (True, "channels.topics.v1")
        await self.send(type="hello", **hello)
        return await self.receive()

    async def send(self, **frame: Any) -> None:
        await self.socket.send_to(text_data=json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.socket.receive_from())
        return frame

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a request and return the next frame."""
        self._ids += 1
        await self.send(id=self._ids, **frame)
        return await self.receive()

    async def subscribe(self, topic: str, **members: Any) -> dict[str, Any]:
        return await self.ask(type="subscribe", topic=topic, **members)

    async def call(self, topic: str, name: str, **members: Any) -> dict[str, Any]:
        return await self.ask(type="call", topic=topic, name=name, **members)

    async def receives_nothing(self) -> bool:
        return await self.socket.receive_nothing()


@pytest.fixture
async def join(fresh_layer: None) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Give clients that have said hello; they leave at the end."""
    clients: list[Client] = []

    async def join(
        user: Any = None, *, hello: dict[str, Any] | None = None, **options: Any
    ) -> Client:
        client = Client(user, **options)
        clients.append(client)
        await client.connect(**(hello or {}))
        return client

    yield join
    for client in clients:
        await client.socket.disconnect()


@pytest.fixture
def fresh_layer() -> Any:
    """Begin with no topic published to."""
    before = channel_layers.backends
    channel_layers.backends = {}
    yield
    channel_layers.backends = before


@pytest.fixture(autouse=True)
def only_these_topics() -> Any:
    """Forget, at the end, the topic classes that a test defines."""
    before = dict(topic._classes)
    yield
    topic._classes.clear()
    topic._classes.update(before)
    topic._find.cache_clear()


@pytest.fixture
def room() -> type[Topic]:
    class Room(Topic, pattern="room.<int:pk>"):
        delivery = Reliable(history=5)
        pk: int

        async def authorize(self) -> bool:
            return self.pk != 13

        @call
        async def say(self, text: str, loud: bool = False) -> dict[str, Any]:
            return {"pk": self.pk, "text": text.upper() if loud else text}

        @call
        def work(self, n: int) -> int:
            return 10 // n

        @call
        async def refuse(self) -> None:
            raise CallError("too_tired", "come back tomorrow")

    return Room


@pytest.fixture
def prices() -> type[Topic]:
    class Prices(Topic, pattern="prices.<str:symbol>"):
        delivery = Volatile()
        symbol: str

        def authorize(self) -> bool:
            return True

    return Prices


@pytest.fixture
def ann() -> User:
    return User(pk=1, username="ann")

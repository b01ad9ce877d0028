"""What type checkers see of the public interface; checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from channels.auth import AuthMiddlewareStack, login
from channels.consumer import AsyncConsumer
from channels.db import DatabaseSyncToAsync, database_sync_to_async
from channels.exceptions import ChannelFull, DenyConnection, InvalidNameError
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from channels.testing import WebsocketCommunicator


class Room(AsyncJsonWebsocketConsumer):
    """An async consumer as people write it."""

    groups = ("lobby",)

    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            raise DenyConnection(4401)
        await self.accept(subprotocol="v1", headers=[(b"x-node", b"a")])

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        assert_type(await self.send_json({"echo": content}), bool)

    async def room_say(self, event: dict[str, Any]) -> None:
        assert_type(await self.send(text_data=event["body"], close=4000), bool)
        await self.close(4001, reason="enough")


class SyncRoom(JsonWebsocketConsumer):
    """A sync consumer as people write it."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        assert_type(self.send_json(content), bool)

    def disconnect(self, code: int) -> None:
        assert_type(self.disconnect_reason, str | None)


class Feed(AsyncHttpConsumer):
    """A stream."""

    async def handle(self, body: bytes) -> None:
        assert_type(self.body, list[bytes])
        await self.send_headers(status=200, headers={b"content-type": b"text/event-stream"})
        await self.send_body(b"data: 1\n\n", more_body=True)


@database_sync_to_async
def count(word: str) -> int:
    return len(word)


@database_sync_to_async(thread_sensitive=False)
def count_apart(word: str) -> int:
    return len(word)


async def use() -> None:
    wrapped: DatabaseSyncToAsync[[str], int] = count
    assert_type(await wrapped("abc"), int)
    assert_type(await count("abc"), int)
    assert_type(await count_apart("abc"), int)
    assert_type(Room.as_asgi(), Callable[..., Coroutine[Any, Any, Any]])
    assert_type(AuthMiddlewareStack(URLRouter([])), CookieMiddleware)
    ProtocolTypeRouter({"websocket": AuthMiddlewareStack(URLRouter([]))})
    assert_type(get_channel_layer(), Any)

    layer = InMemoryChannelLayer(expiry=60, capacity=100, channel_capacity={"jobs.*": 1000})
    assert_type(await layer.new_channel(), str)
    assert_type(await layer.receive("jobs"), dict[str, Any])
    try:
        await layer.send("jobs", {"type": "job.run", "id": 7})
    except ChannelFull as error:
        assert_type(error.capacity, int | None)
        assert_type(error.close_code, int)
    except InvalidNameError as error:
        assert_type(error.name, object)

    async with WebsocketCommunicator(Room.as_asgi(), "/rooms/") as socket:
        assert_type(await socket.receive_from(), Any)
    await login({}, None)


def consumer_of(app: Callable[..., Any]) -> type[AsyncConsumer]:
    found: type[AsyncConsumer] = getattr(app, "consumer_class", AsyncConsumer)
    return found

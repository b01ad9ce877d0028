"""Code as it stands in projects and packages around Channels, across all the contract's pages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings
from django.urls import path, re_path

from channels.auth import AuthMiddleware, UserLazyObject
from channels.consumer import AsyncConsumer, get_handler_name
from channels.db import database_sync_to_async
from channels.exceptions import DenyConnection, StopConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import BaseChannelLayer, channel_layers, get_channel_layer
from channels.middleware import BaseMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware, InstanceSessionWrapper
from channels.testing import WebsocketCommunicator
from channels.utils import await_many_dispatch
from support import BYE, CONNECT, Connection, Event, converse, text, websocket_scope

NEEDS_DATABASE = True


# --- Own loops


async def a_consumer_with_a_loop_of_its_own() -> object:
    """Contract 02, names: a custom ``__call__`` that pumps a third source."""
    timer: asyncio.Queue[Event] = asyncio.Queue()

    class Ticking(AsyncConsumer):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> None:
            self.scope = scope
            self.base_send = send
            self.channel_layer = get_channel_layer(self.channel_layer_alias)
            self.channel_name = await self.channel_layer.new_channel()
            self.channel_receive = functools.partial(self.channel_layer.receive, self.channel_name)
            with contextlib.suppress(StopConsumer):
                await await_many_dispatch([receive, self.channel_receive, timer.get], self.dispatch)

        async def websocket_connect(self, event: Event) -> None:
            await self.send({"type": "websocket.accept"})

        async def tick(self, event: Event) -> None:
            await self.send({"type": "websocket.send", "text": event["by"]})

        async def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    consumer = Ticking()
    async with Connection(consumer) as connection:
        connection.feed(CONNECT)
        await connection.sent(1)
        timer.put_nowait({"type": "tick", "by": "timer"})
        await connection.sent(2)
        await get_channel_layer().send(consumer.channel_name, {"type": "tick", "by": "layer"})
        await connection.sent(3)
        connection.feed(BYE)
        ended = await connection.end()
        await asyncio.sleep(0)
        return [connection.outputs, ended, consumer._sync, len(get_channel_layer().channels)]


async def a_demultiplexer() -> object:
    """Contract 02, names: one socket, several consumers, found by ``get_handler_name``."""

    class Part:
        def __init__(self, name: str, send: Any) -> None:
            self.name, self.send = name, send

        async def chat_say(self, event: Event) -> None:
            await self.send(f"{self.name} {event['body']}")

    class Demultiplexer(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            self.parts = {name: Part(name, self.send) for name in ("a", "b")}
            await self.accept()

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            part = self.parts[content["stream"]]
            await getattr(part, get_handler_name(content["payload"]))(content["payload"])

    frames = [
        text(json.dumps({"stream": name, "payload": {"type": "chat.say", "body": name * 2}}))
        for name in "ab"
    ]
    return await converse(Demultiplexer.as_asgi(), CONNECT, *frames, BYE)


async def a_consumer_that_starts_tasks() -> object:
    """Contract 02, send: a background task of the consumer sends outside any handler."""

    class Streaming(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.task = asyncio.create_task(self.stream())

        async def stream(self) -> None:
            for n in range(3):
                await self.send(str(n))
                await asyncio.sleep(0.001)

        async def disconnect(self, code: int) -> None:
            self.task.cancel()

    async with Connection(Streaming.as_asgi()) as connection:
        connection.feed(CONNECT)
        await connection.sent(4)
        connection.feed(BYE)
        return [await connection.end(), connection.outputs]


async def a_consumer_that_waits_for_the_next_frame_itself() -> object:
    """Contract 02, ``__call__``: an override sets up state, then calls ``super()``."""

    class Prepared(AsyncWebsocketConsumer):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> Any:
            self.tenant = scope["path"].strip("/")

            async def counted(event: Event) -> None:
                await send({**event, "tenant": self.tenant})

            return await super().__call__(scope, receive, counted)

    scope = websocket_scope("/t1/")
    return await converse(Prepared.as_asgi(), CONNECT, BYE, scope=scope)


# --- Layers of third parties


class QueueLayer(BaseChannelLayer):
    """A third party's layer that never calls ``super().__init__``."""

    extensions = ["groups", "flush"]

    def __init__(self, prefix: str = "q") -> None:
        self.prefix = prefix
        self.queues: dict[str, asyncio.Queue[Event]] = {}
        self.names = itertools.count()
        self.members: dict[str, set[str]] = {}

    async def new_channel(self, prefix: str = "specific") -> str:
        return f"{prefix}.{self.prefix}!{next(self.names)}"

    async def send(self, channel: str, message: Event) -> None:
        self.require_valid_channel_name(channel)
        self.queues.setdefault(channel, asyncio.Queue()).put_nowait(message)

    async def receive(self, channel: str) -> Event:
        self.require_valid_channel_name(channel)
        return await self.queues.setdefault(channel, asyncio.Queue()).get()

    async def group_add(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self.members.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        self.members.get(group, set()).discard(channel)

    async def group_send(self, group: str, message: Event) -> None:
        for channel in self.members.get(group, ()):
            await self.send(channel, message)


class ProxyLayer:
    """A layer that is no subclass of anything and forwards attributes, as pub/sub layers do."""

    def __init__(self) -> None:
        self._real = QueueLayer("proxy")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Room(AsyncWebsocketConsumer):
    groups = ["room"]

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.channel_layer.group_send("room", {"type": "say", "text": text_data})

    async def say(self, event: Event) -> None:
        await self.send(event["text"])


async def layers_of_third_parties() -> object:
    """Contract 08, BaseChannelLayer: subclasses without ``super().__init__``, and proxies."""
    seen = {}
    for name in ("QueueLayer", "ProxyLayer"):
        table = {"default": {"BACKEND": f"scenarios.third_party.{name}"}}
        with override_settings(CHANNEL_LAYERS=table):
            async with Connection(_Room()) as ann, Connection(_Room()) as bob:
                for each in (ann, bob):
                    each.feed(CONNECT)
                    await each.sent(1)
                ann.feed(text("hello"))
                talks = [(await each.sent(2))[1:] for each in (ann, bob)]
                for each in (ann, bob):
                    each.feed(BYE)
                ends = [await each.end() for each in (ann, bob)]
            layer = get_channel_layer()
            seen[name] = [talks, ends, len(layer.queues), len(layer.members["room"])]
    return seen


async def tests_that_look_into_the_layer() -> object:
    """Contract 08, names: a test takes the consumer's channel from ``layer.channels``."""
    layer = get_channel_layer()
    communicator = WebsocketCommunicator(_Room.as_asgi(), "/")
    await communicator.connect()
    names = list(layer.channels)
    seen = [
        len(names),
        list(layer.groups["room"]) == names,
        names[0] in layer.channels,
    ]
    await layer.send(names[0], {"type": "say", "text": "direct"})
    seen.append(await communicator.receive_from())
    await asyncio.sleep(0.01)
    seen.append(names[0] in layer.channels)
    await communicator.disconnect()
    return [seen, layer.groups, list(layer.channels), channel_layers.backends["default"] is layer]


async def tests_that_replace_the_layer() -> object:
    """Contract 08, names: a test puts its own layer into ``channel_layers.backends``."""
    layer = mock.AsyncMock()
    layer.new_channel.return_value = "mocked!1"

    async def receive(name: str) -> None:
        await asyncio.sleep(60)

    layer.receive.side_effect = receive
    channel_layers.backends["default"] = layer
    communicator = WebsocketCommunicator(_Room.as_asgi(), "/")
    connected = await communicator.connect()
    await communicator.send_to("hi")
    await communicator.disconnect()
    return [
        connected,
        [list(call.args) for call in layer.group_add.await_args_list],
        [list(call.args) for call in layer.group_send.await_args_list],
        [list(call.args) for call in layer.group_discard.await_args_list],
    ]


# --- Unit tests that skip the call


async def a_unit_test_of_an_async_consumer() -> object:
    """Contract 02 and 03, names: scope, base_send and the layer assigned, no ``__call__``."""
    sent: list[Event] = []
    consumer = _Room()
    consumer.scope = {"type": "websocket", "user": "ann"}
    consumer.base_send = mock.AsyncMock(side_effect=sent.append)
    consumer.channel_layer = get_channel_layer()
    consumer.channel_name = "test_channel"
    await consumer.websocket_connect({"type": "websocket.connect"})
    members = list(consumer.channel_layer.groups["room"])
    await consumer.websocket_receive({"type": "websocket.receive", "text": "x"})
    message = await consumer.channel_layer.receive("test_channel")
    await consumer.say(message)
    await consumer.close(4000)
    stopped = False
    try:
        await consumer.websocket_disconnect({"type": "websocket.disconnect", "code": 1000})
    except StopConsumer:
        stopped = True
    return [sent, members, message, stopped, consumer.channel_layer.groups]


def a_unit_test_of_a_sync_consumer() -> object:
    """Contract 02 and 03, names: the same with a sync consumer and mocks."""

    class Room(JsonWebsocketConsumer):
        def connect(self) -> None:
            self.accept()

        def receive_json(self, content: Any, **kwargs: Any) -> None:
            async_to_sync(self.channel_layer.group_send)("room", {"type": "say", **content})

    consumer = Room()
    consumer.scope = {"type": "websocket"}
    consumer.base_send = mock.Mock()
    consumer.channel_layer = mock.Mock(group_send=mock.AsyncMock())
    consumer.channel_name = "test_channel"
    consumer.connect()
    consumer.receive(text_data='{"n": 1}')
    consumer.send_json({"n": 2})
    consumer.close()
    return [
        [list(call.args) for call in consumer.base_send.call_args_list],
        [list(call.args) for call in consumer.channel_layer.group_send.await_args_list],
    ]


async def a_unit_test_without_any_layer() -> object:
    """Contract 02, names: methods work from ``base_send`` alone."""
    consumer = AsyncJsonWebsocketConsumer()
    consumer.base_send = mock.AsyncMock()
    await consumer.send_json({"n": 1})
    await consumer.send("before any accept")
    await consumer.send(bytes_data=b"x", close=True)
    await consumer.accept()
    return [list(call.args) for call in consumer.base_send.await_args_list]


async def a_unit_test_that_mocks_send() -> object:
    """Contract 03, names: a test replaces ``accept``, ``close`` and ``send`` on an instance."""
    consumer = AsyncWebsocketConsumer()
    consumer.accept = mock.AsyncMock()  # type: ignore[method-assign]
    consumer.close = mock.AsyncMock()  # type: ignore[method-assign]
    await consumer.connect()
    with mock.patch.object(consumer, "connect", side_effect=DenyConnection):
        await consumer.websocket_connect({"type": "websocket.connect"})
    return [
        consumer.accept.await_count,
        [list(call.args) for call in consumer.close.await_args_list],
    ]


# --- Middleware


async def token_authentication() -> object:
    """Contract 06: a token middleware that overrides ``populate_scope`` and ``resolve_scope``."""

    @database_sync_to_async
    def user_for(token: str) -> Any:
        users = get_user_model().objects
        return users.filter(username=token).first() or AnonymousUser()

    class TokenAuthMiddleware(AuthMiddleware):
        def populate_scope(self, scope: Event) -> None:
            if "user" not in scope:
                scope["user"] = UserLazyObject()

        async def resolve_scope(self, scope: Event) -> None:
            token = scope["query_string"].decode().partition("token=")[2]
            scope["user"]._wrapped = await user_for(token)

    class WhoAmI(WebsocketConsumer):
        def connect(self) -> None:
            user = self.scope["user"]
            if not user.is_authenticated:
                raise DenyConnection
            self.accept(subprotocol=user.username)

    await database_sync_to_async(get_user_model().objects.create_user)("ann")
    application = TokenAuthMiddleware(URLRouter([path("", WhoAmI.as_asgi())]))
    return [
        (await converse(application, CONNECT, BYE, scope=websocket_scope(query_string=query)))[
            "sent"
        ]
        for query in (b"token=ann", b"token=eve", b"")
    ]


async def middleware_written_as_a_function() -> object:
    """Contract 10, BaseMiddleware: a factory that returns a plain coroutine function."""

    def language(inner: Any) -> Any:
        async def middleware(scope: Event, receive: Any, send: Any) -> Any:
            return await inner({**scope, "language": "cy"}, receive, send)

        return middleware

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return [scope["language"], scope["url_route"]["kwargs"]]

    application = ProtocolTypeRouter(
        {"websocket": language(BaseMiddleware(URLRouter([re_path(r"^r/(?P<name>\w+)/$", app)])))}
    )
    return await application(websocket_scope("/r/lobby/"), None, None)


async def a_session_wrapper_of_ones_own() -> object:
    """Contract 05, InstanceSessionWrapper: a subclass that saves with WebSocket messages."""

    class Saving(InstanceSessionWrapper):
        save_message_types = ["http.response.start", "websocket.accept", "websocket.send"]
        cookie_response_message_types = ["http.response.start", "websocket.accept"]

    class SavingMiddleware:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Event, receive: Any, send: Any) -> Any:
            wrapper = Saving(scope, send)
            await wrapper.resolve_session()
            return await self.inner(wrapper.scope, receive, wrapper.send)

    class Noting(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.scope["session"].aset("seen", 1)
            await self.accept()

    application = CookieMiddleware(SavingMiddleware(Noting.as_asgi()))
    sent = (await converse(application, CONNECT, BYE))["sent"][0]
    from django.contrib.sessions.models import Session

    rows = await database_sync_to_async(Session.objects.count)()
    return [sent["type"], [name for name, _ in sent["headers"]], rows]


# --- The tutorial's chats


async def _chat(consumer: Any) -> Any:
    application = ProtocolTypeRouter(
        {"websocket": URLRouter([re_path(r"ws/chat/(?P<room_name>\w+)/$", consumer.as_asgi())])}
    )

    def enter(room: str) -> Connection:
        return Connection(application, websocket_scope(f"/ws/chat/{room}/"))

    async with enter("lobby") as ann, enter("lobby") as bob, enter("attic") as eve:
        for each in (ann, bob, eve):
            each.feed(CONNECT)
            await each.sent(1)
        ann.feed(text('{"message": "hello"}'))
        talks = [(await each.sent(2))[1:] for each in (ann, bob)]
        for each in (ann, bob, eve):
            each.feed(BYE)
        ends = [await each.end() for each in (ann, bob, eve)]
        return [talks, eve.outputs[1:], ends, get_channel_layer().groups]


async def the_tutorials_sync_chat() -> object:
    """Contract 03: the well-known chat, sync, with ``async_to_sync`` around the layer."""

    class ChatConsumer(WebsocketConsumer):
        def connect(self) -> None:
            self.room_group_name = f"chat_{self.scope['url_route']['kwargs']['room_name']}"
            async_to_sync(self.channel_layer.group_add)(self.room_group_name, self.channel_name)
            self.accept()

        def disconnect(self, close_code: int) -> None:
            async_to_sync(self.channel_layer.group_discard)(self.room_group_name, self.channel_name)

        def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            message = json.loads(text_data)["message"]
            async_to_sync(self.channel_layer.group_send)(
                self.room_group_name, {"type": "chat.message", "message": message}
            )

        def chat_message(self, event: Event) -> None:
            self.send(text_data=json.dumps({"message": event["message"]}))

    return await _chat(ChatConsumer)


async def the_tutorials_async_chat() -> object:
    """Contract 03: the well-known chat, async."""

    class ChatConsumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.room_group_name = f"chat_{self.scope['url_route']['kwargs']['room_name']}"
            await self.channel_layer.group_add(self.room_group_name, self.channel_name)
            await self.accept()

        async def disconnect(self, close_code: int) -> None:
            await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            message = json.loads(text_data)["message"]
            await self.channel_layer.group_send(
                self.room_group_name, {"type": "chat.message", "message": message}
            )

        async def chat_message(self, event: Event) -> None:
            await self.send(text_data=json.dumps({"message": event["message"]}))

    return await _chat(ChatConsumer)


async def a_sync_view_that_sends_to_a_group() -> object:
    """Contract 08: ``async_to_sync(layer.group_send)`` in another thread, as sync views do."""

    def view() -> None:
        async_to_sync(get_channel_layer().group_send)(
            "room", {"type": "say", "text": "from a view"}
        )

    async with Connection(_Room()) as ann:
        ann.feed(CONNECT)
        await ann.sent(1)
        await asyncio.to_thread(view)
        return await ann.sent(2)


async def a_client_cannot_name_a_handler() -> object:
    """Contract 03, JSON: a ``type`` in a client's JSON is content, never an event type."""

    class Careful(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json({"got": content})

        async def secret(self, event: Event) -> None:
            await self.send_json("the secret")

    frames = [text(json.dumps({"type": each})) for each in ("secret", "websocket.disconnect")]
    return (await converse(Careful(), CONNECT, *frames, BYE))["sent"]

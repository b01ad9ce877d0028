"""Contract 02: the base consumers, async and sync."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
import time
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.test import override_settings

from channels.consumer import AsyncConsumer, SyncConsumer, get_handler_name
from channels.db import DatabaseSyncToAsync
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import channel_layers, get_channel_layer
from channels.testing import WebsocketCommunicator
from support import (
    BYE,
    CONNECT,
    Connection,
    Event,
    aoutcome,
    atext_of,
    converse,
    outcome,
    text,
    text_of,
    websocket_scope,
)

FACES = {"async": AsyncConsumer, "sync": SyncConsumer}
note: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="unset")


def _consumer(face: str, **handlers: Any) -> Any:
    """Build a consumer of one face; each handler is a plain function of (self, event).

    A handler may return an event, which is sent.
    """

    def shaped(function: Any) -> Any:
        def sync_handler(self: Any, event: Event) -> None:
            answer = function(self, event)
            if answer is not None:
                self.send(answer)

        async def async_handler(self: Any, event: Event) -> None:
            answer = function(self, event)
            if answer is not None:
                await self.send(answer)

        return async_handler if face == "async" else sync_handler

    body = {name: shaped(function) for name, function in handlers.items()}
    return type("Example", (FACES[face],), body)


def _stop(self: Any, event: Event) -> None:
    raise StopConsumer


def _accept(self: Any, event: Event) -> Event:
    return {"type": "websocket.accept"}


async def _both(make: Any) -> dict[str, Any]:
    return {face: await make(face) for face in FACES}


# --- get_handler_name


def handler_names() -> object:
    """Contract 02, get_handler_name: dots become underscores; leading underscores are refused."""
    types = ["websocket.connect", "a._b", "a.b.c", "plain", "a__b"]
    refused = ["_x", ".x", "__class__", "._", "_"]
    return {
        "names": [get_handler_name({"type": each}) for each in types],
        "refused": [outcome(get_handler_name, {"type": each}) for each in refused],
        "no type": outcome(get_handler_name, {"text": "x"}),
    }


def handler_name_text_for_a_leading_underscore() -> object:
    """Contract 00, pinned texts: dispatch, bad type."""
    texts = [text_of(get_handler_name, {"type": each}) for each in ("_x", ".x")]
    return ["Malformed type in message (leading underscore)" in each for each in texts]


def handler_name_of_a_type_that_is_no_string() -> object:
    """Contract 02, quirks: a type that is not a string."""
    return [outcome(get_handler_name, {"type": each}) for each in (5, None, b"a", ["a"])]


# --- class AsyncConsumer


def class_attributes() -> object:
    """Contract 02, AsyncConsumer: ``_sync``, ``channel_layer_alias``, no ``__init__``."""
    return {
        cls.__name__: [
            cls._sync,
            cls.channel_layer_alias,
            cls.__init__ is object.__init__,
            inspect.iscoroutinefunction(cls.__call__),
            issubclass(cls, AsyncConsumer),
        ]
        for cls in FACES.values()
    }


def nothing_exists_before_the_call() -> object:
    """Contract 02, AsyncConsumer: before ``__call__`` the instance has no scope or layer."""
    names = ["scope", "channel_layer", "channel_name", "channel_receive", "base_send"]
    return {face: [hasattr(cls(), name) for name in names] for face, cls in FACES.items()}


async def call_sets_the_attributes() -> object:
    """Contract 02, ``__call__`` 1 to 4: scope and send are the same objects, the layer is set."""

    async def observe(face: str) -> object:
        seen: dict[str, Any] = {}

        def websocket_connect(self: Any, event: Event) -> Event:
            receive = self.channel_receive
            seen["scope is the same"] = self.scope is connection.scope
            seen["layer"] = self.channel_layer is get_channel_layer()
            seen["name"] = isinstance(self.channel_name, str)
            seen["receive"] = isinstance(receive, functools.partial)
            seen["receives its channel"] = receive.args == (self.channel_name,)
            return {"type": "websocket.accept"}

        application = _consumer(
            face, websocket_connect=websocket_connect, websocket_disconnect=_stop
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT, BYE)
            seen["ended"] = await connection.end()
        return seen

    return await _both(observe)


async def base_send_is_the_servers_send() -> object:
    """Contract 02, ``__call__`` 4: on async consumers ``base_send`` is ``send`` itself."""
    seen: list[bool] = []

    class Looking(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            seen.append(self.base_send == connection._take)
            raise StopConsumer

    async with Connection(Looking()) as connection:
        connection.feed(CONNECT)
        await connection.end()
    return seen


async def without_a_layer_two_attributes_do_not_exist() -> object:
    """Contract 02, ``__call__`` 3 [run]: no layer, so no channel_name and no channel_receive."""

    async def observe(face: str) -> object:
        seen: list[Any] = []

        def websocket_connect(self: Any, event: Event) -> Event:
            seen.append(self.channel_layer)
            seen.extend(hasattr(self, name) for name in ("channel_name", "channel_receive"))
            return {"type": "websocket.accept"}

        application = _consumer(
            face, websocket_connect=websocket_connect, websocket_disconnect=_stop
        )
        return [await converse(application(), CONNECT, BYE), seen]

    with override_settings(CHANNEL_LAYERS={}):
        return await _both(observe)


async def the_layer_alias_chooses_the_layer() -> object:
    """Contract 02, ``__call__`` 2: the layer is that of ``channel_layer_alias``."""
    backend = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    seen: list[bool] = []

    class Chosen(AsyncConsumer):
        channel_layer_alias = "other"

        async def websocket_connect(self, event: Event) -> None:
            seen.append(self.channel_layer is channel_layers["other"])
            seen.append(self.channel_layer is channel_layers["default"])
            raise StopConsumer

    with override_settings(CHANNEL_LAYERS={"default": backend, "other": backend}):
        await converse(Chosen(), CONNECT)
    return seen


class _DuckLayer:
    """A channel layer as a third party may write it: no base class, no groups."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.queue: asyncio.Queue[Event] = asyncio.Queue()

    async def new_channel(self, *args: Any, **kwargs: Any) -> str:
        self.calls.append(["new_channel", list(args), kwargs])
        return "duck!1"

    async def receive(self, *args: Any, **kwargs: Any) -> Event:
        self.calls.append(["receive", list(args), kwargs])
        return await self.queue.get()


async def a_layer_needs_only_new_channel_and_receive() -> object:
    """Contract 02, ``__call__`` 3: ``new_channel()`` and ``receive(name)`` on any object."""

    async def observe(face: str) -> object:
        layer = channel_layers.backends["default"] = _DuckLayer()

        def websocket_connect(self: Any, event: Event) -> Event:
            return {"type": "websocket.accept", "name": self.channel_name}

        def tick(self: Any, event: Event) -> Event:
            return {"type": "websocket.send", "text": str(event["n"])}

        application = _consumer(
            face,
            websocket_connect=websocket_connect,
            tick=tick,
            websocket_disconnect=_stop,
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            layer.queue.put_nowait({"type": "tick", "n": 4})
            await connection.sent(2)
            connection.feed(BYE)
            ended = await connection.end()
        return [connection.outputs, ended, layer.calls[:2]]

    return await _both(observe)


async def events_from_the_layer_reach_handlers() -> object:
    """Contract 02, example: ``layer.send(channel_name, {"type": "tick"})`` calls ``tick``."""

    async def observe(face: str) -> object:
        def websocket_connect(self: Any, event: Event) -> Event:
            names.append(self.channel_name)
            return {"type": "websocket.accept"}

        def tick(self: Any, event: Event) -> Event:
            return {"type": "websocket.send", "text": repr(event)}

        names: list[str] = []
        application = _consumer(
            face, websocket_connect=websocket_connect, tick=tick, websocket_disconnect=_stop
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            await get_channel_layer().send(names[0], {"type": "tick", "n": [1, {"a": None}]})
            await connection.sent(2)
            connection.feed(BYE)
            ended = await connection.end()
        return [connection.outputs, ended]

    return await _both(observe)


async def stop_consumer_ends_with_none() -> object:
    """Contract 02, ``__call__`` 6: StopConsumer ends the call with None, from either source."""

    async def observe(face: str) -> object:
        application = _consumer(
            face, websocket_connect=lambda self, event: None, websocket_disconnect=_stop, halt=_stop
        )
        seen = [await converse(application(), CONNECT, BYE)]
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            layer = get_channel_layer()
            await connection.until(lambda: layer.channels)
            await layer.send(next(iter(layer.channels)), {"type": "halt"})
            seen.append(await connection.end())
        return seen

    return await _both(observe)


class _OwnError(Exception):
    """An error of the application's own."""


async def other_exceptions_propagate_unchanged() -> object:
    """Contract 02, ``__call__`` 6: any other exception reaches the server as the same object."""
    error = _OwnError("mine")

    async def observe(face: str) -> object:
        def failing(self: Any, event: Event) -> None:
            raise error

        application = _consumer(face, websocket_connect=failing)
        return (await converse(application(), CONNECT))["ended"] is error

    return await _both(observe)


async def dispatch_of_an_unknown_type() -> object:
    """Contract 02, dispatch: no handler, or a falsy one, is a ValueError naming the raw type."""

    async def observe(face: str) -> object:
        application = _consumer(face)
        application.empty_thing = None
        application.zero_thing = 0
        endings = [
            (await converse(application(), {"type": each}))["ended"]
            for each in ("no.such.handler", "empty.thing", "zero.thing")
        ]
        return [[ending, "thing" in str(ending) or "such.h" in str(ending)] for ending in endings]

    return await _both(observe)


async def dispatch_of_a_leading_underscore() -> object:
    """Contract 00, pinned texts: the text reaches the server when such an event comes."""

    async def observe(face: str) -> object:
        ended = (await converse(_consumer(face)(), {"type": "_secret"}))["ended"]
        return [ended, "Malformed type in message (leading underscore)" in str(ended)]

    return await _both(observe)


async def dispatch_of_a_data_attribute() -> object:
    """Contract 02, quirks [run]: a type that names an attribute which cannot be called."""

    async def observe(face: str) -> object:
        application = _consumer(face)
        application.data = "not callable"
        return (await converse(application(), {"type": "data"}))["ended"]

    return await _both(observe)


async def dispatch_of_a_type_that_is_no_string() -> object:
    """Contract 02, quirks: an event whose type is not a string."""

    async def observe(face: str) -> object:
        return (await converse(_consumer(face)(), {"type": 5}))["ended"]

    return await _both(observe)


async def any_method_can_be_named_by_type() -> object:
    """Contract 02, quirks [run]: ``send.json`` and ``send_json`` push a whole event."""
    from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

    seen = {}
    for cls in (AsyncJsonWebsocketConsumer, JsonWebsocketConsumer):
        async with Connection(cls()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            layer = get_channel_layer()
            await connection.until(lambda layer=layer: layer.channels)
            name = next(iter(layer.channels))
            for each in ("send.json", "send_json"):
                await layer.send(name, {"type": each, "n": 1})
            await connection.sent(3)
            connection.feed(BYE)
            await connection.end()
            seen[cls.__name__] = connection.outputs
    return seen


async def closing_by_type() -> object:
    """Contract 02, quirks [run]: ``{"type": "close"}`` through the layer calls ``close(event)``."""
    async with Connection(AsyncWebsocketConsumer()) as connection:
        connection.feed(CONNECT)
        await connection.sent(1)
        layer = get_channel_layer()
        await connection.until(lambda: layer.channels)
        await layer.send(next(iter(layer.channels)), {"type": "close"})
        await connection.sent(2)
        connection.feed(BYE)
        ended = await connection.end()
        return [connection.outputs[1:], ended]


async def handlers_get_one_positional_argument() -> object:
    """Contract 02, dispatch: exactly one positional argument, the event."""
    seen = []

    class Counting(AsyncConsumer):
        async def websocket_connect(self, *args: Any, **kwargs: Any) -> None:
            seen.append([list(args), kwargs])
            raise StopConsumer

    class CountingSync(SyncConsumer):
        def websocket_connect(self, *args: Any, **kwargs: Any) -> None:
            seen.append([list(args), kwargs])
            raise StopConsumer

    for cls in (Counting, CountingSync):
        await converse(cls(), CONNECT)
    return seen


async def dispatch_can_be_overridden() -> object:
    """Contract 02, dispatch: subclasses override it and await ``super().dispatch(message)``."""

    async def observe(face: str) -> object:
        base = _consumer(face, websocket_connect=_accept, websocket_disconnect=_stop)

        class Watching(base):  # type: ignore[misc, valid-type]
            seen: list[str] = []

            async def dispatch(self, message: Event) -> None:
                self.seen.append(message["type"])
                await super().dispatch(message)

        return [await converse(Watching(), CONNECT, BYE), Watching.seen]

    return await _both(observe)


async def send_passes_the_event_on_untouched() -> object:
    """Contract 02, send: awaits ``base_send(message)``, no transformation."""

    async def observe(face: str) -> object:
        event = {"type": "anything.at.all", "n": (1, 2)}
        application = _consumer(
            face, websocket_connect=lambda self, _: event, websocket_disconnect=_stop
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            return connection.outputs[0] is event

    return await _both(observe)


# --- as_asgi


async def as_asgi_attributes() -> object:
    """Contract 02, as_asgi: what stands on the product; it tests as a coroutine function."""

    class Documented(AsyncConsumer):
        """Says what it is."""

        marker = 1

        def __init__(self, **kwargs: Any) -> None:
            self.kwargs = kwargs

        async def websocket_connect(self, event: Event) -> None:
            await self.send({"type": "websocket.accept", "kwargs": self.kwargs})
            raise StopConsumer

    product = Documented.as_asgi(limit=3)
    return {
        "class": product.consumer_class is Documented,
        "initkwargs": product.consumer_initkwargs,
        "names": [product.__name__, product.__qualname__, product.__module__, product.__doc__],
        "wrapped": product.__wrapped__ is Documented,
        "class dict is not copied": hasattr(product, "marker"),
        "coroutine function": inspect.iscoroutinefunction(product),
        "talk": await converse(product, CONNECT),
    }


async def as_asgi_does_not_check_initkwargs_early() -> object:
    """Contract 02, as_asgi [run]: unexpected kwargs are a TypeError at connect, or are ignored."""
    bare = AsyncConsumer.as_asgi(limit=3)
    generic = AsyncWebsocketConsumer.as_asgi(limit=3)
    consumer = AsyncWebsocketConsumer("positional", limit=3)
    return {
        "bare": (await converse(bare, CONNECT))["ended"],
        "generic": await converse(generic, CONNECT, BYE),
        "not stored": hasattr(consumer, "limit"),
    }


async def as_asgi_isolates_connections() -> object:
    """Contract 02, lifetime: one instance shares state over connections, ``as_asgi()`` does not."""

    class Counting(AsyncConsumer):
        count = 0

        async def websocket_connect(self, event: Event) -> None:
            self.count += 1
            await self.send({"type": "websocket.accept", "count": self.count})
            raise StopConsumer

    instance, product = Counting(), Counting.as_asgi()
    return [
        [(await converse(app, CONNECT))["sent"][0]["count"] for _ in range(2)]
        for app in (instance, product)
    ]


async def as_asgi_returns_the_result() -> object:
    """Contract 02, as_asgi: the result of the call is returned."""

    class Returning(AsyncConsumer):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> str:  # type: ignore[override]
            return "result"

    return await Returning.as_asgi()({}, None, None)


# --- SyncConsumer


def sync_dispatch_is_a_database_sync_to_async() -> object:
    """Contract 02, SyncConsumer: ``dispatch`` on the class is a DatabaseSyncToAsync object."""
    found = inspect.getattr_static(SyncConsumer, "dispatch")
    return [isinstance(found, DatabaseSyncToAsync), iscoroutinefunction(found)]


async def sync_handlers_run_outside_the_loop() -> object:
    """Contract 02, SyncConsumer: handlers run in a worker thread, one for a connection."""
    threads: list[int] = []

    def record(self: Any, event: Event) -> None:
        threads.append(threading.get_ident())

    def stop(self: Any, event: Event) -> None:
        record(self, event)
        raise StopConsumer

    application = _consumer(
        "sync", websocket_connect=record, websocket_receive=record, websocket_disconnect=stop
    )
    await converse(application(), CONNECT, text("x"), BYE)
    return [len(threads), len(set(threads)), threading.get_ident() in threads]


async def sync_send_goes_out_at_once() -> object:
    """Contract 02, SyncConsumer [run]: a sent message leaves before the handler returns."""
    go_on, seen = threading.Event(), []

    class Waiting(SyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            self.send({"type": "websocket.accept"})
            seen.append(go_on.wait(5))
            raise StopConsumer

    async with Connection(Waiting()) as connection:
        connection.feed(CONNECT)
        sent = await connection.sent(1)
        still_running = not connection.task.done()
        go_on.set()
        return [sent, still_running, await connection.end(), seen]


async def sync_send_blocks_until_the_server_has_it() -> object:
    """Contract 02, SyncConsumer: ``send`` blocks until the server's awaitable completes."""
    order: list[str] = []

    class Sending(SyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            self.send({"type": "websocket.accept"})
            order.append("after send")
            raise StopConsumer

    async def receive() -> Event:
        return dict(CONNECT)

    async def send(event: Event) -> None:
        await asyncio.sleep(0.02)
        order.append("sent")

    await Sending()(websocket_scope(), receive, send)
    return order


async def an_error_of_the_servers_send_reaches_the_handler() -> object:
    """Contract 02, send: what ``base_send`` raises is raised by ``send``, in both faces."""
    error = _OwnError("the server's")

    async def receive() -> Event:
        return dict(CONNECT)

    async def send(event: Event) -> None:
        raise error

    async def observe(face: str) -> object:
        application = _consumer(face, websocket_connect=_accept)
        return await aoutcome(application()(websocket_scope(), receive, send)) is error

    return await _both(observe)


async def context_variables_persist_between_handlers() -> object:
    """Contract 02, SyncConsumer [run] and concurrency 6: set in one handler, seen in the next."""

    async def observe(face: str) -> object:
        def websocket_connect(self: Any, event: Event) -> Event:
            note.set("set in connect")
            return {"type": "websocket.accept"}

        def websocket_receive(self: Any, event: Event) -> Event:
            return {"type": "websocket.send", "text": note.get()}

        application = _consumer(
            face,
            websocket_connect=websocket_connect,
            websocket_receive=websocket_receive,
            websocket_disconnect=_stop,
        )
        talk = await converse(application(), CONNECT, text("x"), BYE)
        return [talk["sent"][1], note.get()]

    return await _both(observe)


async def three_blocking_sync_consumers() -> object:
    """Contract 02, SyncConsumer [run]: three consumers, each blocking: how many run at once?"""
    running, most, lock = 0, 0, threading.Lock()

    def block(self: Any, event: Event) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.2)
        with lock:
            running -= 1
        raise StopConsumer

    application = _consumer("sync", websocket_connect=block)
    talks = await asyncio.gather(*(converse(application(), CONNECT) for _ in range(3)))
    return {"most at once": most, "ended": [talk["ended"] for talk in talks]}


def sync_consumers_use_the_parents_thread_under_async_to_sync() -> object:
    """Contract 02, SyncConsumer [run]: under ``async_to_sync`` the parent's thread is used."""
    threads: list[int] = []

    def record(self: Any, event: Event) -> None:
        threads.append(threading.get_ident())
        if event["type"] == "websocket.disconnect":
            raise StopConsumer
        if event["type"] == "websocket.connect":
            self.send({"type": "websocket.accept"})

    application = _consumer(
        "sync", websocket_connect=record, websocket_receive=record, websocket_disconnect=record
    )

    async def by_hand() -> object:
        return await converse(application(), CONNECT, text("x"), BYE)

    async def by_communicator() -> object:
        communicator = WebsocketCommunicator(application(), "/")
        connected = await communicator.connect()
        await communicator.disconnect()
        return connected

    async def two_at_once() -> None:
        await asyncio.gather(by_hand(), by_hand())

    seen = []
    for test in (by_hand, by_communicator, two_at_once):
        threads.clear()
        async_to_sync(test)()
        seen.append([len(threads), set(threads) == {threading.get_ident()}])
    return seen


async def cancelling_a_sync_consumer_returns_at_once() -> object:
    """Contract 02, SyncConsumer [run]: a handler in its thread finishes in the background."""
    started, go_on, finished = threading.Event(), threading.Event(), threading.Event()

    class Slow(SyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            started.set()
            go_on.wait(5)
            finished.set()

    async with Connection(Slow()) as connection:
        connection.feed(CONNECT)
        await connection.until(started.is_set)
        connection.task.cancel()
        ended = await connection.end()
        before = finished.is_set()
        go_on.set()
        return [ended, before, await asyncio.to_thread(finished.wait, 5)]


# --- Concurrency and lifetime


async def events_are_handled_strictly_one_at_a_time() -> object:
    """Contract 02, concurrency 2: a slow handler delays everything, disconnect included."""

    async def observe(face: str) -> object:
        order: list[str] = []
        if face == "async":

            class Slow(AsyncConsumer):
                async def websocket_receive(self, event: Event) -> None:
                    order.append(f"begin {event['text']}")
                    await asyncio.sleep(0.03)
                    order.append(f"end {event['text']}")

                async def websocket_disconnect(self, event: Event) -> None:
                    order.append("disconnect")
                    raise StopConsumer
        else:

            class Slow(SyncConsumer):  # type: ignore[no-redef]
                def websocket_receive(self, event: Event) -> None:
                    order.append(f"begin {event['text']}")
                    time.sleep(0.03)
                    order.append(f"end {event['text']}")

                def websocket_disconnect(self, event: Event) -> None:
                    order.append("disconnect")
                    raise StopConsumer

        async with Connection(Slow()) as connection:
            connection.feed(text("a"), text("b"), BYE)
            return [await connection.end(), order]

    return await _both(observe)


async def a_sender_can_still_answer_while_a_disconnect_waits() -> object:
    """Contract 02, concurrency 2: frames before the disconnect are handled and answered."""

    async def observe(face: str) -> object:
        application = _consumer(
            face,
            websocket_connect=_accept,
            websocket_receive=lambda self, event: {
                "type": "websocket.send",
                "text": event["text"],
            },
            websocket_disconnect=_stop,
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT, text("a"), text("b"), text("c"), BYE)
            return [await connection.end(), connection.outputs]

    return await _both(observe)


async def a_slow_handler_answers_before_the_disconnect_is_handled() -> object:
    """Contract 02, concurrency 2: a handler that waits answers although the client has left."""

    class Slow(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            await self.send({"type": "websocket.accept"})

        async def websocket_receive(self, event: Event) -> None:
            await asyncio.sleep(0.01)
            await self.send({"type": "websocket.send", "text": event["text"]})

        async def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    async with Connection(Slow()) as connection:
        connection.feed(CONNECT, text("a"), text("b"), BYE)
        return [await connection.end(), connection.outputs]


async def a_handlers_error_runs_no_disconnect() -> object:
    """Contract 02, lifetime [run]: after a handler's exception no disconnect handler runs."""

    async def observe(face: str) -> object:
        ran: list[str] = []

        def failing(self: Any, event: Event) -> None:
            raise _OwnError

        application = _consumer(
            face,
            websocket_receive=failing,
            websocket_disconnect=lambda self, event: ran.append("disconnect"),
        )
        async with Connection(application()) as connection:
            connection.feed(text("x"), BYE)
            return [type(await connection.end()).__name__, ran]

    return await _both(observe)


async def cancellation_runs_no_disconnect() -> object:
    """Contract 02, lifetime: the server's cancellation propagates, no disconnect handler runs."""

    async def observe(face: str) -> object:
        ran: list[str] = []
        application = _consumer(
            face,
            websocket_connect=_accept,
            websocket_disconnect=lambda self, event: ran.append("disconnect"),
        )
        async with Connection(application()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            connection.task.cancel()
            return [await connection.end(), ran]

    return await _both(observe)


async def groups_after_an_abnormal_end() -> object:
    """Contract 02, lifetime [run] and quirks: are groups left after an error or cancellation?"""

    class Grouped(AsyncWebsocketConsumer):
        groups = ["room"]

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            raise _OwnError

    seen = {}
    for end in ("error", "cancellation"):
        channel_layers.backends = {}
        layer = get_channel_layer()
        async with Connection(Grouped()) as connection:
            connection.feed(CONNECT)
            await connection.sent(1)
            if end == "error":
                connection.feed(text("x"))
            else:
                connection.task.cancel()
            await connection.end()
        seen[end] = {"groups": sorted(layer.groups), "channels": len(layer.channels)}
    return seen


async def a_plain_function_as_an_async_handler() -> object:
    """Contract 02, quirks [run]: a ``def`` handler on an async consumer."""

    class Mistaken(AsyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            pass

    ended = (await converse(Mistaken(), CONNECT))["ended"]
    return [ended, "websocket_connect" in str(ended)]


async def a_consumer_that_never_stops_keeps_running() -> object:
    """Contract 02, lifetime: without StopConsumer the call goes on after the disconnect."""

    async def observe(face: str) -> object:
        handled: list[str] = []
        application = _consumer(
            face, websocket_disconnect=lambda self, event: handled.append("disconnect")
        )
        async with Connection(application()) as connection:
            connection.feed(BYE)
            await connection.until(lambda: handled)
            await asyncio.sleep(0.02)
            return [handled, connection.task.done()]

    return await _both(observe)


# --- Database hygiene


async def old_connections_are_closed_around_handlers() -> object:
    """Contract 02, database hygiene: how often, where no handler used a database."""

    async def observe(face: str) -> object:
        calls: list[str] = []
        application = _consumer(
            face,
            websocket_connect=_accept,
            websocket_receive=lambda self, event: None,
            websocket_disconnect=_stop,
        )
        with mock.patch("channels.db.close_old_connections", lambda: calls.append("closed")):
            await converse(application(), CONNECT, text("x"), BYE)
        return len(calls)

    return await _both(observe)


async def an_event_patched_away_clean_up_takes_no_arguments() -> object:
    """Contract 02, database hygiene: a no-op without parameters in its place is enough."""
    with mock.patch("channels.db.close_old_connections", lambda: None):
        return await _both(
            lambda face: converse(
                _consumer(face, websocket_connect=_accept, websocket_disconnect=_stop)(),
                CONNECT,
                BYE,
            )
        )


async def module_globals_can_be_patched() -> object:
    """Contract 02, names: ``channels.consumer.get_channel_layer`` is patched by tests."""
    layer = _DuckLayer()
    application = _consumer("async", websocket_connect=_stop)
    with mock.patch("channels.consumer.get_channel_layer", lambda alias: layer):
        ended = (await converse(application(), CONNECT))["ended"]
    return [ended, layer.calls[0]]


# --- Third-party style: attributes assigned directly


async def attributes_assigned_by_hand_are_enough() -> object:
    """Contract 02, names: unit tests skip ``__call__`` and assign scope and base_send."""
    sent: list[Event] = []

    async def collect(event: Event) -> None:
        sent.append(event)

    asynchronous = AsyncConsumer()
    asynchronous.scope, asynchronous.base_send = {"user": "ann"}, collect
    await asynchronous.send({"type": "websocket.send", "text": "a"})

    synchronous = SyncConsumer()
    synchronous.scope, synchronous.base_send = {"user": "ann"}, sent.append
    synchronous.send({"type": "websocket.send", "text": "b"})
    return sent


async def dispatch_works_without_a_call() -> object:
    """Contract 02, names: ``await consumer.dispatch(event)`` on an instance made by hand."""

    async def observe(face: str) -> object:
        seen: list[Event] = []
        consumer = _consumer(face, tick=lambda self, event: seen.append(event))()
        await consumer.dispatch({"type": "tick", "n": 1})
        error = await atext_of(consumer.dispatch({"type": "tock"}))
        return [seen, "tock" in error]

    return await _both(observe)

"""Contract 04: the HTTP consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.layers import get_channel_layer
from channels.testing import HttpCommunicator
from support import Connection, Event, aoutcome, converse, http_scope

REQUEST: Event = {"type": "http.request"}
GONE: Event = {"type": "http.disconnect"}
Handle = Callable[[Any, bytes], Awaitable[Any]]


def _consumer(handle: Handle) -> Any:
    """Build a consumer that handles by ``handle`` and counts its disconnects."""

    class Example(AsyncHttpConsumer):
        disconnects = 0

        async def handle(self, body: bytes) -> None:
            await handle(self, body)

        async def disconnect(self) -> None:
            type(self).disconnects += 1

    return Example


async def _answer(self: Any, body: bytes) -> None:
    await self.send_response(200, body or b"nothing")


async def _talk(application: Any, *events: Event) -> Event:
    return await converse(application, *events, scope=http_scope())


async def _direct(name: str, *args: Any, **kwargs: Any) -> Any:
    consumer = AsyncHttpConsumer()
    sent: list[Event] = []

    async def collect(event: Event) -> None:
        sent.append(event)

    consumer.base_send = collect  # type: ignore[assignment]

    async def call() -> None:
        await getattr(consumer, name)(*args, **kwargs)

    return await aoutcome(call()) or sent


async def send_headers_messages() -> object:
    """Contract 04, send_headers: None is ``[]``, a dict its items, anything else as it is."""
    return [
        await _direct("send_headers"),
        await _direct("send_headers", status=404),
        await _direct("send_headers", headers={b"a": b"b", b"c": b"d"}),
        await _direct("send_headers", headers=[(b"a", b"b")]),
        await _direct("send_headers", headers=[[b"a", b"b"]]),
        await _direct("send_headers", headers={"str": "kept"}),
        await _direct("send_headers", headers=[]),
        await _direct("send_headers", 200),
    ]


async def send_headers_of_a_tuple() -> object:
    """Contract 04, quirks: headers given as a tuple, which cookie injection cannot append to."""
    return await _direct("send_headers", headers=((b"a", b"b"),))


async def send_body_messages() -> object:
    """Contract 04, send_body: AssertionError unless bytes; ``body`` and ``more_body`` always."""
    return [
        await _direct("send_body", b"x"),
        await _direct("send_body", b"", more_body=True),
        await _direct("send_body", body=b"x"),
        await _direct("send_body", "text"),
        await _direct("send_body", None),
        await _direct("send_body", bytearray(b"x")),
        await _direct("send_body", b"x", True),
    ]


async def send_response_messages() -> object:
    """Contract 04, send_response: headers, then the whole body."""
    return [
        await _direct("send_response", 201, b"made", headers={b"a": b"b"}),
        await _direct("send_response", 204, b""),
        await _direct("send_response", 200, b"x", more_body=True),
        await _direct("send_response", 200, "text"),
    ]


async def handle_gets_the_whole_body() -> object:
    """Contract 04, request flow [run]: chunks are joined; a missing body adds nothing."""
    chunks = [
        {"type": "http.request", "body": b"one ", "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b"two"},
    ]
    application = _consumer(_answer)
    return [
        await _talk(application(), *chunks),
        await _talk(application(), REQUEST),
        await _talk(application(), {"type": "http.request", "body": b"", "more_body": False}),
        application.disconnects,
    ]


async def body_is_a_list_of_chunks() -> object:
    """Contract 04, names: ``self.body`` is a list; ``__init__`` ignores its arguments."""
    consumer = AsyncHttpConsumer(1, a=2)
    await consumer.http_request({"body": b"a", "more_body": True})
    await consumer.http_request({"body": b"b", "more_body": True})
    return [AsyncHttpConsumer().body, consumer.body]


async def handle_must_be_overridden() -> object:
    """Contract 04, methods: the base ``handle`` raises NotImplementedError."""
    return await _talk(AsyncHttpConsumer(), REQUEST)


async def handles_result_is_ignored() -> object:
    """Contract 04, methods: what ``handle`` returns is ignored; the call ends with None."""

    class Returning(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> str:
            await self.send_response(200, b"x")
            return "ignored"

    return await _talk(Returning.as_asgi(), REQUEST)


async def an_error_in_handle() -> object:
    """Contract 04, request flow [run]: it reaches the server, ``disconnect()`` ran once before."""

    async def handle(self: Any, body: bytes) -> None:
        raise LookupError("mine")

    application = _consumer(handle)
    communicator = HttpCommunicator(application(), "GET", "/")
    return [
        await _talk(application(), REQUEST),
        application.disconnects,
        await aoutcome(communicator.get_response()),
    ]


async def a_client_that_leaves_during_the_upload() -> object:
    """Contract 04, request flow [run]: ``http.disconnect`` ends it, ``disconnect()`` runs once."""
    application = _consumer(_answer)
    half = {"type": "http.request", "body": b"half", "more_body": True}
    return [await _talk(application(), half, GONE), application.disconnects]


async def a_client_that_leaves_during_handle() -> object:
    """Contract 04, request flow [run]: not seen before ``handle`` ends."""
    seen: list[str] = []
    go_on = asyncio.Event()

    async def handle(self: Any, body: bytes) -> None:
        await self.send_headers(headers=[])
        await go_on.wait()
        seen.append("went on")
        await self.send_body(b"done")

    application = _consumer(handle)
    async with Connection(application(), http_scope()) as connection:
        connection.feed(REQUEST, GONE)
        await connection.sent(1)
        await asyncio.sleep(0.02)
        seen.append(f"ended early: {connection.task.done()}")
        go_on.set()
        return [await connection.end(), connection.outputs, seen, application.disconnects]


async def cancellation_during_handle() -> object:
    """Contract 04, request flow [run]: server cancellation interrupts ``handle``."""

    async def handle(self: Any, body: bytes) -> None:
        await self.send_headers(headers=[])
        await asyncio.sleep(60)

    application = _consumer(handle)
    async with Connection(application(), http_scope()) as connection:
        connection.feed(REQUEST)
        await connection.sent(1)
        connection.task.cancel()
        return [await connection.end(), application.disconnects]


async def streaming() -> object:
    """Contract 04, streaming: each chunk leaves when it is sent."""
    go_on = asyncio.Event()

    async def handle(self: Any, body: bytes) -> None:
        await self.send_headers(headers={b"content-type": b"text/event-stream"})
        await self.send_body(b"data: 0\n\n", more_body=True)
        await go_on.wait()
        await self.send_body(b"")

    async with Connection(_consumer(handle)(), http_scope()) as connection:
        connection.feed(REQUEST)
        first = await connection.sent(2)
        go_on.set()
        return [first, await connection.end(), connection.outputs[2:]]


async def raw_events_may_be_sent() -> object:
    """Contract 04, names: direct use of ``self.send({...})``; StopConsumer inside ``handle``."""

    async def handle(self: Any, body: bytes) -> None:
        await self.send({"type": "http.response.start", "status": 200})
        await self.send({"type": "http.response.body"})
        raise StopConsumer

    application = _consumer(handle)
    return [await _talk(application(), REQUEST), application.disconnects]


async def handlers_can_be_overridden() -> object:
    """Contract 04, names: ``http_request`` and ``http_disconnect`` with ``super()``."""
    order: list[str] = []

    class Wrapped(AsyncHttpConsumer):
        async def http_request(self, message: Event) -> None:
            order.append("request")
            await super().http_request(message)

        async def http_disconnect(self, message: Event) -> None:
            order.append("disconnect")
            await super().http_disconnect(message)

        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"x")

    half = {"type": "http.request", "body": b"half", "more_body": True}
    return [await _talk(Wrapped(), REQUEST), await _talk(Wrapped(), half, GONE), order]


async def one_instance_for_two_requests() -> object:
    """Contract 04, quirks [run]: one instance used as the app for several requests."""
    instance = _consumer(_answer)()
    request = {"type": "http.request", "body": b"a"}
    return [(await _talk(instance, request))["sent"][1]["body"] for _ in range(2)]


async def long_polling() -> object:
    """Contract 04, quirks [run]: ``handle`` returns with more to come from a layer handler."""

    class LongPoll(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_headers(headers=[])
            await self.send_body(b"", more_body=True)
            await get_channel_layer().send(self.channel_name, {"type": "news"})

        async def news(self, event: Event) -> None:
            await self.send_body(b"news")

    return await _talk(LongPoll(), REQUEST)


async def no_layer_is_needed() -> object:
    """Contract 04: an HTTP consumer works without a channel layer."""
    from django.test import override_settings

    with override_settings(CHANNEL_LAYERS={}):
        return await _talk(_consumer(_answer).as_asgi(), REQUEST)

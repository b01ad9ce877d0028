"""One WebSocket to an application under test."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from channels.exceptions import DenyConnection, StopConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.testing import WebsocketCommunicator
from channels.typing import Event, Receive, Scope, Send


class Answers:
    """An application that answers the handshake with the given events, then waits for the end."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.received: list[Event] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.received.append(await receive())
        for event in self.events:
            await send(event)
        while self.received[-1]["type"] != "websocket.disconnect":
            self.received.append(await receive())


class AsyncEcho(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class SyncEcho(WebsocketConsumer):
    def connect(self) -> None:
        self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data, bytes_data)


class AsyncJsonEcho(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)


class SyncJsonEcho(JsonWebsocketConsumer):
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json(content)


class Failing(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise LookupError("the handler failed")


ACCEPT: Event = {"type": "websocket.accept"}
START: Event = {"type": "websocket.http.response.start", "status": 402}

ONE_PAYLOAD = "Expected exactly one of text_data and bytes_data, not empty"
ONE_KEY = "Expected exactly one of the keys 'text' and 'bytes', but the event was "

either_echo = pytest.mark.parametrize("consumer", [AsyncEcho, SyncEcho])
either_json_echo = pytest.mark.parametrize("consumer", [AsyncJsonEcho, SyncJsonEcho])


async def answered(*events: Event) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(Answers(ACCEPT, *events), "/")
    await communicator.connect()
    return communicator


# The scope


def test_the_scope_has_what_the_handshake_says_and_no_other_key() -> None:
    communicator = WebsocketCommunicator(
        Answers(),
        "ws://shop.test:80/caf%C3%A9/?v=2#part",
        headers=[(b"origin", b"http://shop.test")],
        subprotocols=["chat"],
    )

    assert communicator.scope == {
        "type": "websocket",
        "path": "/café/",
        "query_string": b"v=2",
        "headers": [(b"origin", b"http://shop.test")],
        "subprotocols": ["chat"],
    }


def test_headers_and_subprotocols_are_empty_lists_by_default() -> None:
    scope = WebsocketCommunicator(Answers(), "/").scope

    assert (scope["headers"], scope["subprotocols"]) == ([], [])


def test_the_format_s_version_stands_where_asgi_wants_it_and_where_channels_put_it() -> None:
    scope = WebsocketCommunicator(Answers(), "/", spec_version="2.3").scope

    assert scope["spec_version"] == "2.3"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}


def test_a_path_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected path to be a str, but it was None"):
        WebsocketCommunicator(Answers(), None)  # type: ignore[arg-type]


# The handshake


@either_echo
async def test_an_accepted_connection_gives_its_subprotocol(consumer: Any) -> None:
    plain = WebsocketCommunicator(consumer.as_asgi(), "/")
    chat = WebsocketCommunicator(consumer.as_asgi(), "/", subprotocols=["chat", "v1"])

    assert await plain.connect() == (True, None)
    assert await chat.connect() == (True, "chat")
    await plain.disconnect()
    await chat.disconnect()


async def test_response_headers_are_those_of_the_accept_as_they_were_sent() -> None:
    headers = [[b"x-node", b"a"]]
    communicator = WebsocketCommunicator(Answers(ACCEPT | {"headers": headers}), "/")
    assert communicator.response_headers is None

    await communicator.connect()

    assert communicator.response_headers is headers


async def test_response_headers_are_empty_when_the_accept_has_none() -> None:
    communicator = await answered()

    assert communicator.response_headers == []


@pytest.mark.parametrize(
    ("close", "code"), [({}, 1000), ({"code": 4001}, 4001), ({"code": None}, 1000)]
)
async def test_a_refusal_gives_its_code(close: Event, code: int) -> None:
    communicator = WebsocketCommunicator(Answers({"type": "websocket.close"} | close), "/")

    assert await communicator.connect() == (False, code)
    assert communicator.response_headers is None
    assert communicator.response_body is None
    await communicator.disconnect()


async def test_a_consumer_that_denies_is_refused() -> None:
    class Denying(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            raise DenyConnection(4003)

    communicator = WebsocketCommunicator(Denying.as_asgi(), "/")

    assert await communicator.connect() == (False, 4003)
    await communicator.disconnect()


async def test_a_refusal_with_a_response_gives_its_status_headers_and_body() -> None:
    class Paid(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.deny_with_response(402, b"please pay", [(b"x-price", b"3")])

    communicator = WebsocketCommunicator(Paid.as_asgi(), "/")
    communicator.scope["extensions"] = {"websocket.http.response": {}}

    assert await communicator.connect() == (False, 402)
    assert communicator.response_headers == [(b"x-price", b"3")]
    assert communicator.response_body == b"please pay"
    assert await communicator.receive_nothing(timeout=0.01)
    await communicator.disconnect()


async def test_the_body_of_a_refusal_may_come_in_chunks_without_headers() -> None:
    body = "websocket.http.response.body"
    events = (START, {"type": body, "body": b"a", "more_body": True}, {"type": body})
    communicator = WebsocketCommunicator(Answers(*events), "/")

    assert await communicator.connect() == (False, 402)
    assert communicator.response_headers == []
    assert communicator.response_body == b"a"


async def test_another_answer_is_named_with_what_was_expected() -> None:
    communicator = WebsocketCommunicator(Answers({"type": "websocket.send", "text": "x"}), "/")

    with pytest.raises(
        AssertionError,
        match=r"Expected type 'websocket\.accept' or 'websocket\.close' or "
        r"'websocket\.http\.response\.start', but was 'websocket\.send'",
    ):
        await communicator.connect()


async def test_no_answer_times_out() -> None:
    with pytest.raises(TimeoutError):
        await WebsocketCommunicator(Answers(), "/").connect(timeout=0.01)


# Frames


@either_echo
async def test_text_and_bytes_come_back(consumer: Any) -> None:
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    await communicator.connect()

    await communicator.send_to(text_data="hello")
    await communicator.send_to(bytes_data=b"\0\1")

    assert await communicator.receive_from() == "hello"
    assert await communicator.receive_from() == b"\0\1"
    await communicator.disconnect()


@either_json_echo
async def test_json_comes_back(consumer: Any) -> None:
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    await communicator.connect()

    await communicator.send_json_to({"n": [1, None, "é"]})

    assert await communicator.receive_json_from() == {"n": [1, None, "é"]}
    await communicator.disconnect()


@pytest.mark.parametrize("payload", [{"text": ""}, {"bytes": b""}])
async def test_an_empty_frame_is_received(payload: Event) -> None:
    communicator = await answered({"type": "websocket.send"} | payload)

    assert [await communicator.receive_from()] == list(payload.values())


async def test_a_frame_goes_out_with_just_its_payload() -> None:
    application = Answers(ACCEPT)
    async with WebsocketCommunicator(application, "/") as communicator:
        await communicator.send_to("hello", b"")
        await communicator.send_to("", b"hello")

    assert application.received[1:-1] == [
        {"type": "websocket.receive", "text": "hello"},
        {"type": "websocket.receive", "bytes": b"hello"},
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (),
            f"{ONE_PAYLOAD}, but they were None and None",
        ),
        (
            ("", b""),
            f"{ONE_PAYLOAD}, but they were '' and b''",
        ),
        (
            ("a", b"b"),
            f"{ONE_PAYLOAD}, but they were 'a' and b'b'",
        ),
        ((b"a",), "Expected text_data to be str, but was bytes: b'a'"),
        ((None, "a"), "Expected bytes_data to be bytes, but was str: 'a'"),
    ],
)
async def test_a_frame_that_cannot_be_sent_is_refused_by_name(
    arguments: tuple[Any, ...], text: str
) -> None:
    communicator = await answered()

    with pytest.raises(AssertionError) as raised:
        await communicator.send_to(*arguments)

    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {"type": "websocket.close", "code": 4000},
            "Expected type 'websocket.send', but was 'websocket.close'",
        ),
        (
            {"type": "websocket.send"},
            ONE_KEY + "{'type': 'websocket.send'}",
        ),
        (
            {"type": "websocket.send", "text": "a", "bytes": None},
            ONE_KEY + "{'type': 'websocket.send', 'text': 'a', 'bytes': None}",
        ),
        (
            {"type": "websocket.send", "text": b"a"},
            "Expected text to be str, but was bytes: b'a'",
        ),
        (
            {"type": "websocket.send", "bytes": "a"},
            "Expected bytes to be bytes, but was str: 'a'",
        ),
    ],
)
async def test_what_is_no_frame_is_named_with_what_was_expected(event: Event, text: str) -> None:
    communicator = await answered(event)

    with pytest.raises(AssertionError) as raised:
        await communicator.receive_from()

    assert str(raised.value) == text


async def test_a_frame_of_bytes_is_not_json() -> None:
    communicator = await answered({"type": "websocket.send", "bytes": b"{}"})

    with pytest.raises(AssertionError, match=r"Expected text to be str, but was bytes: b'\{\}'"):
        await communicator.receive_json_from()


async def test_text_that_is_not_json_is_a_value_error() -> None:
    communicator = await answered({"type": "websocket.send", "text": "{"})

    with pytest.raises(ValueError, match="Expecting property name"):
        await communicator.receive_json_from()


# The end


async def test_disconnect_tells_the_code_and_waits_for_the_end() -> None:
    application = Answers(ACCEPT)
    communicator = WebsocketCommunicator(application, "/")
    await communicator.connect()

    await communicator.disconnect(4001)

    assert application.received[-1] == {"type": "websocket.disconnect", "code": 4001}
    assert communicator.future.done()


async def test_disconnect_from_an_application_that_has_ended_is_fine() -> None:
    class Leaving(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.close()
            raise StopConsumer

    communicator = WebsocketCommunicator(Leaving.as_asgi(), "/")
    await communicator.connect()
    await communicator.wait()

    await communicator.disconnect()


async def test_disconnect_raises_what_the_application_raised() -> None:
    communicator = WebsocketCommunicator(Failing.as_asgi(), "/")
    await communicator.connect()
    await communicator.send_to("hello")

    with pytest.raises(LookupError, match="the handler failed"):
        await communicator.disconnect()


async def test_disconnect_after_a_time_out_raises_cancelled_error() -> None:
    communicator = WebsocketCommunicator(AsyncEcho.as_asgi(), "/")
    await communicator.connect()
    with pytest.raises(TimeoutError):
        await communicator.receive_from(timeout=0.01)

    with pytest.raises(asyncio.CancelledError):
        await communicator.disconnect()


async def test_disconnect_from_a_slow_application_cancels_it_and_logs_where_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            await asyncio.Event().wait()

    communicator = WebsocketCommunicator(Slow.as_asgi(), "/")
    await communicator.connect()

    with caplog.at_level(logging.WARNING, "channels.testing"):
        await communicator.disconnect(timeout=0.01)

    assert communicator.future.cancelled()
    assert "Slow.disconnect at" in caplog.text


# As a context manager


async def test_a_block_connects_and_disconnects() -> None:
    application = Answers(ACCEPT)

    async with WebsocketCommunicator(application, "/") as communicator:
        assert communicator.response_headers == []

    assert [event["type"] for event in application.received] == [
        "websocket.connect",
        "websocket.disconnect",
    ]
    assert communicator.future.done()


async def test_a_block_is_not_entered_when_the_connection_is_refused() -> None:
    communicator = WebsocketCommunicator(Answers({"type": "websocket.close", "code": 4003}), "/")

    with pytest.raises(
        AssertionError, match="Expected an accepted connection, but it was refused: 4003"
    ):
        async with communicator:
            raise NotImplementedError

    assert communicator.future.cancelled()


async def test_leaving_a_block_raises_what_the_application_raised_since() -> None:
    with pytest.raises(LookupError, match="the handler failed"):
        async with WebsocketCommunicator(Failing.as_asgi(), "/") as communicator:
            await communicator.send_to("hello")


async def test_an_error_that_the_test_has_met_is_not_raised_again_by_the_block() -> None:
    async with WebsocketCommunicator(Failing.as_asgi(), "/") as communicator:
        await communicator.send_to("hello")
        with pytest.raises(LookupError):
            await communicator.receive_from()


async def test_a_time_out_that_the_test_has_met_does_not_end_the_block_with_another() -> None:
    async with WebsocketCommunicator(AsyncEcho.as_asgi(), "/") as communicator:
        with pytest.raises(TimeoutError):
            await communicator.receive_from(timeout=0.01)


async def test_an_error_in_the_block_stands_and_stops_the_application() -> None:
    class Unhappy(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("while cleaning up")

    communicator = WebsocketCommunicator(Unhappy.as_asgi(), "/")

    async def test() -> None:
        async with communicator:
            await communicator.send_to("hello")
            await asyncio.sleep(0)
            raise KeyError("of the test")

    with pytest.raises(KeyError, match="of the test"):
        await test()

    assert communicator.future.done()

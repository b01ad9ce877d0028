"""One HTTP request to an application under test."""

from __future__ import annotations

from typing import Any

import pytest

from channels.generic.http import AsyncHttpConsumer
from channels.testing import HttpCommunicator
from channels.typing import Event, Receive, Scope, Send

START: Event = {"type": "http.response.start", "status": 200}


class Answers:
    """An application that reads the request and sends the given events."""

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.request: Event = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request = await receive()
        for event in self.events:
            await send(event)


class Greeter(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(201, b"hello " + body, headers=[(b"content-type", b"text/plain")])


async def test_the_scope_has_what_the_request_says_and_no_other_key() -> None:
    communicator = HttpCommunicator(
        Answers(), "get", "/caf%C3%A9/a%20b;v?q=%C3%A9&n=1#part", headers=[[b"host", b"shop.test"]]
    )

    assert communicator.scope == {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/café/a b;v",
        "query_string": b"q=%C3%A9&n=1",
        "headers": [[b"host", b"shop.test"]],
    }


async def test_headers_are_an_empty_list_by_default() -> None:
    assert HttpCommunicator(Answers(), "GET", "/").scope["headers"] == []


def test_a_body_that_is_not_bytes_is_refused() -> None:
    with pytest.raises(AssertionError, match="Expected a body of bytes, but it was 'text'"):
        HttpCommunicator(Answers(), "POST", "/", body="text")  # type: ignore[arg-type]


def test_a_path_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected path to be a str, but it was b'/'"):
        HttpCommunicator(Answers(), "GET", b"/")  # type: ignore[arg-type]


async def test_a_consumer_gets_the_body_and_its_response_comes_back() -> None:
    response = await HttpCommunicator(Greeter.as_asgi(), "POST", "/", b"ann").get_response()

    assert response == {
        "status": 201,
        "headers": [(b"content-type", b"text/plain")],
        "body": b"hello ann",
    }


async def test_the_request_is_one_event_with_the_whole_body() -> None:
    application = Answers(START, {"type": "http.response.body"})

    await HttpCommunicator(application, "POST", "/", b"ann").get_response()

    assert application.request == {"type": "http.request", "body": b"ann"}


async def test_a_body_in_chunks_is_joined_and_a_chunk_may_have_no_body() -> None:
    body = "http.response.body"
    application = Answers(
        START,
        {"type": body, "body": b"a", "more_body": True},
        {"type": body, "more_body": True},
        {"type": body, "body": b"b", "more_body": True},
        {"type": body},
    )

    response = await HttpCommunicator(application, "GET", "/").get_response()

    assert response == {"status": 200, "headers": [], "body": b"ab"}


async def test_what_else_the_start_event_has_is_kept() -> None:
    application = Answers(START | {"trailers": True}, {"type": "http.response.body"})

    response = await HttpCommunicator(application, "GET", "/").get_response()

    assert response["trailers"] is True


async def test_the_request_is_sent_once() -> None:
    events = (START, {"type": "http.response.body", "body": b"1"})
    communicator = HttpCommunicator(Answers(*events, *events), "GET", "/")
    assert communicator.sent_request is False

    await communicator.get_response()
    second = await communicator.get_response()

    assert communicator.sent_request is True
    assert communicator.input_queue.empty()
    assert second["body"] == b"1"


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (
            ({"type": "http.response.body"},),
            "Expected type 'http.response.start', but was 'http.response.body'",
        ),
        ((START, START), "Expected type 'http.response.body', but was 'http.response.start'"),
        (
            (START, {"type": "http.response.body", "body": "text"}),
            "Expected a response body of bytes, but it was 'text'",
        ),
    ],
)
async def test_an_event_that_is_not_due_is_named_with_what_was_expected(
    events: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(AssertionError, match=text):
        await HttpCommunicator(Answers(*events), "GET", "/").get_response()


async def test_the_application_s_error_is_raised() -> None:
    class Broken(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            raise LookupError("no such page")

    with pytest.raises(LookupError, match="no such page"):
        await HttpCommunicator(Broken.as_asgi(), "GET", "/").get_response()


async def test_a_response_that_does_not_end_times_out() -> None:
    application = Answers(START, {"type": "http.response.body", "more_body": True})

    with pytest.raises(TimeoutError):
        await HttpCommunicator(application, "GET", "/").get_response(timeout=0.01)

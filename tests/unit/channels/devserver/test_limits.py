"""Time limits and the root path of a site under development."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels.devserver.limits import limit_requests, set_root_path
from channels.typing import App, Event, Receive, Scope, Send

HTTP: Scope = {"type": "http", "path": "/"}
SOCKET: Scope = {"type": "websocket", "path": "/chat", "query_string": b"room=1"}
START: Event = {"type": "http.response.start", "status": 200}
LIMIT = 0.01


class Server:
    """What a server does around one call of an application."""

    def __init__(self, *events: Event) -> None:
        self.sent: list[Event] = []
        self.incoming: asyncio.Queue[Event] = asyncio.Queue()
        for event in events:
            self.incoming.put_nowait(event)

    async def send(self, event: Event) -> None:
        self.sent.append(event)
        if event["type"] == "websocket.close":
            self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def call(self, application: App, scope: Scope) -> list[Event]:
        async with asyncio.timeout(5):
            await application(scope, self.incoming.get, self.send)
        return self.sent


async def echo_scope(scope: Scope, receive: Receive, send: Send) -> None:
    await send(scope)


async def test_request_that_takes_too_long_is_answered_with_503() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    start, body = await Server().call(limit_requests(application, LIMIT), HTTP)

    assert start["status"] == 503
    assert body["body"] == b"The application took longer than 0.01 s."


async def test_answer_does_not_wait_for_an_application_that_cannot_end() -> None:
    release = asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await release.wait()
        finally:
            await release.wait()
            await send(START)

    server = Server()
    call = asyncio.create_task(server.call(limit_requests(application, LIMIT), HTTP))
    await asyncio.sleep(3 * LIMIT)
    sent_meanwhile = len(server.sent)
    release.set()
    await call

    assert sent_meanwhile == len(server.sent) == 2


async def test_cancelling_a_request_from_outside_cancels_the_application() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    server = Server()
    call = asyncio.create_task(server.call(limit_requests(application, 5), HTTP))
    await asyncio.sleep(0)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert server.sent == []


async def test_response_that_has_started_is_cut_off() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.Event().wait()

    sent = await Server().call(limit_requests(application, LIMIT), HTTP)

    assert sent == [START]


async def test_work_after_the_response_is_not_limited() -> None:
    finished = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await send({"type": "http.response.body", "body": b"whole"})
        await asyncio.sleep(3 * LIMIT)
        finished.append(True)

    await Server().call(limit_requests(application, LIMIT), HTTP)

    assert finished == [True]


async def test_timeout_of_the_application_itself_is_not_taken_for_the_limit() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("the application's own")

    with pytest.raises(TimeoutError, match="the application's own"):
        await Server().call(limit_requests(application, 5), HTTP)


async def test_websockets_are_not_limited_as_requests() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3 * LIMIT)
        await send({"type": "websocket.accept"})

    sent = await Server().call(limit_requests(application, LIMIT), SOCKET)

    assert sent == [{"type": "websocket.accept"}]


@pytest.mark.parametrize("seconds", [None, 0])
def test_no_limit_leaves_the_application_as_it_is(seconds: Any) -> None:
    assert limit_requests(echo_scope, seconds) is echo_scope
    assert set_root_path(echo_scope, "") is echo_scope

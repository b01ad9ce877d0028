"""The console log of ``runserver``: which lines there are, and how they read."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.core.management.color import make_style, no_style

from channels.devserver.log import log_connections, write_action
from channels.typing import App, Event, Receive, Scope, Send

CLIENT = ["127.0.0.1", 50000]
HTTP: Scope = {"type": "http", "method": "GET", "path": "/", "client": CLIENT}
SOCKET: Scope = {"type": "websocket", "path": "/chat", "client": CLIENT}
CONNECT: Event = {"type": "websocket.connect"}
DISCONNECT: Event = {"type": "websocket.disconnect"}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "django.channels.server")
    return caplog


async def call(application: App, scope: Scope, *events: Event) -> list[Event]:
    waiting, sent = list(events), []

    async def receive() -> Event:
        return waiting.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    def log(protocol: str, action: str, details: dict[str, Any]) -> None:
        write_action(protocol, action, details, style=no_style())

    await log_connections(application, log)(scope, receive, send)
    return sent


def responder(status: int) -> App:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"ha", "more_body": True})
        await send({"type": "http.response.body", "body": b"lf"})

    return application


def socket_that(*sends: str) -> App:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for event_type in sends:
            await send({"type": event_type})
        await receive()

    return application


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (200, logging.INFO),
        (302, logging.INFO),
        (399, logging.INFO),
        (400, logging.WARNING),
        (404, logging.WARNING),
        (500, logging.ERROR),
        (503, logging.ERROR),
    ],
)
async def test_request_is_one_line_whose_level_is_by_status(
    lines: pytest.LogCaptureFixture, status: int, level: int
) -> None:
    await call(responder(status), HTTP)

    [(logger, found_level, text)] = lines.record_tuples
    assert logger == "django.channels.server"
    assert found_level == level
    assert re.fullmatch(rf"HTTP GET / {status} \[0\.0\d, 127\.0\.0\.1:50000\]", text)


async def test_details_of_a_request_are_those_of_the_contract() -> None:
    seen = []

    async def send(event: Event) -> None:
        pass

    application = log_connections(responder(200), lambda *action: seen.append(action))
    await application(HTTP, send, send)  # type: ignore[arg-type]

    [(protocol, action, details)] = seen
    assert (protocol, action) == ("http", "complete")
    assert isinstance(details.pop("time_taken"), float)
    assert details == {
        "path": "/",
        "client": "127.0.0.1:50000",
        "status": 200,
        "method": "GET",
        "size": 4,
    }


@pytest.mark.parametrize(
    ("path", "query", "shown"),
    [
        ("/a b/", b"", "/a%20b/"),
        ("/rooms/é", b"", "/rooms/%C3%A9"),
        ("/a\nHTTP GET /forged 200", b"", "/a%0AHTTP%20GET%20/forged%20200"),
        ("/find", b"q=%0a1&page=2", "/find?q=%0a1&page=2"),
        ("/find", b"q=\xff\x1b[2J", "/find?q=%FF%1B%5B2J"),
    ],
)
async def test_path_and_query_are_one_line_of_plain_text(
    lines: pytest.LogCaptureFixture, path: str, query: bytes, shown: str
) -> None:
    await call(responder(200), HTTP | {"path": path, "query_string": query})

    assert lines.messages[0].startswith(f"HTTP GET {shown} 200 [")


async def test_request_that_fails_before_its_response_is_logged_as_500(
    lines: pytest.LogCaptureFixture,
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await call(application, HTTP)

    assert lines.messages[0].startswith("HTTP GET / 500 [")


async def test_client_without_an_address_is_unknown(lines: pytest.LogCaptureFixture) -> None:
    await call(socket_that("websocket.accept"), SOCKET | {"client": None}, CONNECT, DISCONNECT)

    assert lines.messages[0] == "WebSocket HANDSHAKING /chat [unknown]"


@pytest.mark.parametrize(
    ("sends", "words"),
    [
        (["websocket.accept"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
        (["websocket.accept", "websocket.close"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
        (["websocket.close"], ["HANDSHAKING", "REJECT", "DISCONNECT"]),
        (["websocket.http.response.start"], ["HANDSHAKING", "REJECT", "DISCONNECT"]),
        ([], ["HANDSHAKING", "DISCONNECT"]),
    ],
)
async def test_websocket_is_logged_step_by_step(
    lines: pytest.LogCaptureFixture, sends: list[str], words: list[str]
) -> None:
    scope = SOCKET | {"query_string": b"token=secret"}

    await call(socket_that(*sends), scope, CONNECT, DISCONNECT)

    assert lines.messages == [f"WebSocket {word} /chat [127.0.0.1:50000]" for word in words]
    assert {record.levelno for record in lines.records} == {logging.INFO}


@pytest.mark.parametrize(
    ("sends", "words"),
    [
        ([], ["HANDSHAKING", "REJECT", "DISCONNECT"]),
        (["websocket.accept"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
    ],
)
async def test_websocket_whose_application_fails_is_logged_to_its_end(
    lines: pytest.LogCaptureFixture, sends: list[str], words: list[str]
) -> None:
    # The last `receive` of the application raises: there are no more events.
    with pytest.raises(IndexError):
        await call(socket_that(*sends), SOCKET, CONNECT)

    assert [line.split()[1] for line in lines.messages] == words


async def test_everything_passes_through_unchanged(lines: pytest.LogCaptureFixture) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"scope": scope, "received": await receive()})

    sent = await call(application, {"type": "lifespan"}, {"type": "lifespan.startup"})

    assert sent == [{"scope": {"type": "lifespan"}, "received": {"type": "lifespan.startup"}}]
    assert lines.messages == []


@pytest.mark.parametrize(
    ("status", "palette"),
    [
        (101, "HTTP_INFO"),
        (200, "HTTP_SUCCESS"),
        (302, "HTTP_REDIRECT"),
        (304, "HTTP_NOT_MODIFIED"),
        (400, "HTTP_BAD_REQUEST"),
        (404, "HTTP_NOT_FOUND"),
        (500, "HTTP_SERVER_ERROR"),
        (600, "HTTP_SERVER_ERROR"),
    ],
)
def test_lines_have_the_colours_of_django(
    lines: pytest.LogCaptureFixture, status: int, palette: str
) -> None:
    style = make_style("dark")
    details = {"method": "GET", "path": "/", "status": status, "time_taken": 0, "client": "x"}

    write_action("http", "complete", details, style=style)

    assert lines.messages == [getattr(style, palette)(f"HTTP GET / {status} [0.00, x]")]


def test_action_of_another_protocol_is_no_line(lines: pytest.LogCaptureFixture) -> None:
    write_action("gopher", "complete", {}, style=no_style())

    assert lines.messages == []

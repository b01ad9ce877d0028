"""Requests that do not come, and connections that are too many."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Any

import pytest
from django.test import override_settings

from channels.server import HttpProtocol, WebSocketProtocol
from tests.integration.websocket.conftest import REQUEST, Serve, eventually
from tests.slow import SLOW

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": LENGTH})
        await send({"type": "http.response.body", "body": b"hello"})
    else:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass


LENGTH = [(b"content-length", b"5")]


@pytest.fixture(autouse=True)
def _soon() -> Any:
    with override_settings(CHANNELS={"HEADER_TIMEOUT": 0.1 * SLOW, "MAX_CONNECTIONS": 3}):
        yield


async def test_a_request_is_answered(serve: Serve) -> None:
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(GET)

        assert b" 200 " in await peer.head()


async def test_a_socket_opens_and_outlives_the_deadline_of_its_head(serve: Serve) -> None:
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.open()

        await asyncio.sleep(0.15 * SLOW)

        peer.send(0x89, b"?")
        assert await peer.frame() == (0x8A, b"?")


@pytest.mark.parametrize("split", [0, 20, len(REQUEST % (b"", b"")) - 1])
@pytest.mark.parametrize("upgrade", [b"websocket", b"WebSocket"])
async def test_a_socket_opens_whether_its_head_comes_in_one_piece_or_not_and_is_plain_or_not(
    serve: Serve, split: int, upgrade: bytes
) -> None:
    head = (REQUEST % (b"", b"")).replace(b"websocket", upgrade, 1)
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(head[:split])
        await asyncio.sleep(0.01)
        peer.writer.write(head[split:])

        assert b" 101 " in await peer.head()
        peer.send(0x89, b"?")
        assert await peer.frame() == (0x8A, b"?")
        assert [type(each) for each in site.protocols] == [WebSocketProtocol]


async def test_a_plain_handshake_leaves_nothing_for_the_garbage_collector(serve: Serve) -> None:
    async with serve(app, http=HttpProtocol) as site:
        await site.open()
        gc.collect()
        gc.disable()
        try:
            await site.open()

            assert gc.collect() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_a_client_that_sends_no_whole_request_is_refused(
    serve: Serve, counted: Counter[str], sent: bytes
) -> None:
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(sent)

        assert (await peer.rest()).startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: not site.state.connections)
    assert counted["ConnectionLimited.header_timeout"] == 1


async def test_a_byte_now_and_then_does_not_move_the_deadline(
    serve: Serve, counted: Counter[str]
) -> None:
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(b"GET /")
        while site.state.connections or not counted:
            peer.writer.write(b"a")
            await asyncio.sleep(0.01)

    assert counted["ConnectionLimited.header_timeout"] == 1


async def test_the_next_request_of_a_connection_has_a_deadline_too(serve: Serve) -> None:
    async with serve(app, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(GET)
        await peer.head()
        peer.writer.write(b"GET / H")

        assert (await peer.rest()).startswith(b"helloHTTP/1.1 408 ")


async def test_a_request_that_is_being_answered_has_none(serve: Serve) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.15 * SLOW)
        await app(scope, receive, send)

    async with serve(slow, http=HttpProtocol) as site:
        peer = await site.connect()
        peer.writer.write(GET)

        assert b" 200 " in await peer.head()


async def test_one_connection_too_many_is_refused_at_once(
    serve: Serve, counted: Counter[str]
) -> None:
    async with serve(app, http=HttpProtocol) as site:
        await site.open()
        await site.open()
        await site.open()
        fourth = await site.connect()

        assert (await fourth.rest()).startswith(b"HTTP/1.1 503 ")
    assert counted["ConnectionLimited.max_connections"] == 1

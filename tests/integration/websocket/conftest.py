"""A WebSocket under test: our protocol at a real socket, and a peer that can do anything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from channels import telemetry
from channels.server import WebSocketProtocol
from channels.server import wheel as wheel_module
from tests.slow import SLOW
from tests.unit.channels.server.frames import client_frame

REQUEST = b"""GET /%s HTTP/1.1
host: localhost
upgrade: websocket
connection: upgrade
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
sec-websocket-version: 13
%s
""".replace(b"\n", b"\r\n")

Frame = tuple[int, bytes]


class Peer:
    """A client that sends bytes and sees frames.

    Attributes:
        answer: The head of the response to its request.
    """

    answer: bytes

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, path: str = "", headers: str = "") -> bytes:
        """Send the request and return the head of the response."""
        more = headers.encode().replace(b"\n", b"\r\n")
        self.writer.write(REQUEST % (path.encode(), more))
        self.answer = await self.head()
        return self.answer

    async def head(self) -> bytes:
        """Return the head of a response."""
        head: bytes = await self._soon(self._reader.readuntil(b"\r\n\r\n"))
        return head

    def send(self, first: int, payload: bytes = b"") -> None:
        """Send a frame whose first byte is ``first``."""
        self.writer.write(client_frame(first, payload))

    def text(self, text: str) -> None:
        """Send a message."""
        self.send(0x81, text.encode())

    async def frame(self) -> Frame:
        """Return the next frame: its first byte and its payload."""
        first, size = await self._soon(self._reader.readexactly(2))
        if size > 125:
            length = await self._soon(self._reader.readexactly(2 if size == 126 else 8))
            size = int.from_bytes(length, "big")
        return first, await self._soon(self._reader.readexactly(size))

    async def frames(self, number: int) -> list[bytes]:
        """Return the payloads of the next frames."""
        return [(await self.frame())[1] for _ in range(number)]

    async def closed(self) -> tuple[int, str]:
        """Skip to the close frame; return its code and reason."""
        first, payload = 0, b""
        while first != 0x88:
            first, payload = await self.frame()
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def rest(self) -> bytes:
        """Return all that comes until the connection ends."""
        return await self._soon(self._reader.read())

    async def _soon(self, awaitable: Any) -> Any:
        return await asyncio.wait_for(awaitable, 10 * SLOW)


class Site:
    """An application at a port.

    Attributes:
        state: Uvicorn's, with the connections in it.
    """

    def __init__(self, application: Any, options: dict[str, Any]) -> None:
        self.state = ServerState()
        self._config = uvicorn.Config(
            application, ws=WebSocketProtocol, log_config=None, lifespan="off", **options
        )
        self._config.load()
        self._peers: list[Peer] = []

    async def start(self) -> None:
        """Listen at a free port."""
        # Ours takes the head of the request first; uvicorn's gives it the head, and then the rest.
        kind: Any = self._config.http if isinstance(self._config.http, type) else WebSocketProtocol
        self._server = await asyncio.get_running_loop().create_server(
            lambda: kind(self._config, self.state, {}), "127.0.0.1", 0
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def connect(self, *, buffer: int | None = None) -> Peer:
        """Return a peer that has not asked yet; one with a small ``buffer`` is soon full."""
        endpoint = socket.socket()
        if buffer is not None:
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        endpoint.setblocking(False)
        await asyncio.get_running_loop().sock_connect(endpoint, ("127.0.0.1", self._port))
        peer = Peer(*await asyncio.open_connection(sock=endpoint, limit=1024))
        self._peers.append(peer)
        return peer

    async def open(self, path: str = "", headers: str = "", *, buffer: int | None = None) -> Peer:
        """Return a peer whose socket is open."""
        peer = await self.connect(buffer=buffer)
        assert b" 101 " in await peer.ask(path, headers)
        return peer

    @property
    def protocols(self) -> list[Any]:
        """Our ends of the connections."""
        return list(self.state.connections)

    async def stop(self) -> None:
        """End every connection and application."""
        self._server.close()
        for peer in self._peers:
            peer.writer.transport.abort()
        for protocol in self.protocols:
            protocol.shutdown()
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10 * SLOW)
        await eventually(lambda: not self.state.connections)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Any:
    """Run each test on both event loops: their transports differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "TICK", 0.01)


@pytest.fixture
def counted() -> Iterator[Counter[str]]:
    """Count what telemetry counts during the test."""
    before = telemetry.totals.copy()
    seen: Counter[str] = Counter()
    end = telemetry.subscribe(lambda event: (seen.clear(), seen.update(telemetry.totals - before)))
    yield seen
    end()


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Site]]


@pytest.fixture
def serve() -> Serve:
    @contextlib.asynccontextmanager
    async def serving(application: Any, **options: Any) -> AsyncIterator[Site]:
        site = Site(application, options)
        await site.start()
        try:
            yield site
        finally:
            await site.stop()

    return serving


async def eventually(is_so: Callable[[], Any]) -> None:
    """Return when it is so, or fail after a while."""
    async with asyncio.timeout(10 * SLOW):
        while not is_so():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.005)

"""Peers that mean harm, against ``manage.py serve``: none costs more than its bound.

While each of them does its worst, a client of another connection sends a frame and waits for it,
again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
from websockets.asyncio.client import connect

from tests.integration.serving import Server, serve
from tests.slow import SLOW
from tests.unit.channels.server.frames import client_frame, deflated

MIB: Final = 2**20
BOUND: Final = 24 * MIB
"""Most bytes that a test may add to the server's memory: its connections, twenty messages of the
limit, and what an allocator keeps."""
HALF_OPEN: Final = 10_000
COST: Final = 12 * 1024
"""Most bytes that one connection costs which has not even asked."""
PATIENCE: Final = 5 * SLOW
"""Seconds within which the well-behaved client has each answer; the peers share its core."""

REQUEST: Final = (
    b"GET /%s/hostile/ HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n%s\r\n"
)
HEADER_TIMEOUT: Final = 10.0
"""Seconds: the default of the setting."""
DEFLATE: Final = b"sec-websocket-extensions: permessage-deflate\r\n"

OPENED: Final[list[asyncio.StreamWriter]] = []

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve("serve", tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@contextlib.asynccontextmanager
async def undisturbed(server: Server, bound: int = BOUND) -> AsyncIterator[None]:
    """Fail if somebody else's frames take long meanwhile, or if memory passes its bound."""
    before, most, slowest, echoes = server.resident_bytes(), 0, 0.0, 0
    async with connect(f"ws://{server.address}/sync-echo/well-behaved/") as client:

        async def talk() -> None:
            nonlocal most, slowest, echoes
            while True:
                start = time.monotonic()
                await client.send("hello")
                await asyncio.wait_for(client.recv(), PATIENCE)
                slowest = max(slowest, time.monotonic() - start)
                most = max(most, server.resident_bytes())
                echoes += 1
                await asyncio.sleep(0.01)

        talking = asyncio.create_task(talk())
        yield
        # At least once more, now that all is done.
        done = echoes
        while echoes < done + 2 and not talking.done():  # noqa: ASYNC110 - it counts by itself
            await asyncio.sleep(0.01)
        talking.cancel()
        await asyncio.wait([talking])
        if not talking.cancelled():
            talking.result()
    print(f"grew by {(most - before) / MIB:.1f} MiB, slowest answer {slowest * 1000:.0f} ms")  # noqa: T201
    assert most - before < bound


@pytest.fixture(autouse=True)
async def _nobody_stays() -> AsyncIterator[None]:
    yield
    writers, OPENED[:] = OPENED[:], []
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def raw(server: Server) -> Streams:
    host, port = server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    OPENED.append(writer)
    return reader, writer


async def hostile(server: Server, more: bytes = b"", face: bytes = b"echo") -> Streams:
    """Open a WebSocket that can then send anything."""
    reader, writer = await raw(server)
    writer.write(REQUEST % (face, more))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection ends, in whatever way."""
    received = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20 * SLOW):
            while data := await reader.read(65536):
                received = (received + data)[-65536:]
    return received


async def test_ten_thousand_half_open_handshakes_that_drip(server: Server) -> None:
    host, port = server.address.split(":")
    peers: list[socket.socket] = []
    try:
        async with undisturbed(server, HALF_OPEN * COST):
            for number in range(HALF_OPEN - 1):
                peers.append(socket.create_connection((host, int(port))))
                peers[-1].send(b"GET /echo/half-open/ HTTP/1.1\r\nhost: localhost\r\n")
                if number % 50 == 0:
                    await asyncio.sleep(0)
            # A byte now and then does not put off the end.
            until = time.monotonic() + HEADER_TIMEOUT + 5 * SLOW
            rest = peers
            while rest and time.monotonic() < until:
                rest = [peer for peer in rest if _drips(peer)]
                await asyncio.sleep(0.5)
        assert not rest
        assert b" 408 " in peers[0].recv(100)
    finally:
        for peer in peers:
            peer.close()


def _drips(peer: socket.socket) -> bool:
    """Send a byte more of the head; return whether the server still takes it."""
    with contextlib.suppress(OSError):
        peer.send(b"x", socket.MSG_DONTWAIT)
        # Its end of stream, or its answer, is there to be read once it has given up.
        return not _is_readable(peer)
    return False


def _is_readable(peer: socket.socket) -> bool:
    try:
        peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


async def test_heads_that_never_end(server: Server) -> None:
    async with undisturbed(server):
        start = time.monotonic()
        reader, writer = await raw(server)
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(200_000):
                writer.write(b"x-%d: %b\r\n" % (number, b"y" * 1000))
                await writer.drain()

        # The answer may be lost to the reset that what is still on its way brings.
        assert (await end_of(reader))[:12] in (b"HTTP/1.1 431", b"")
        assert time.monotonic() - start < HEADER_TIMEOUT / 2


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (b"\x82\xff" + (2**30).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", 1009),
        (b"\x81\x05hello", 1002),
        (client_frame(0x81, b"\xff\xfe"), 1007),
        (client_frame(0x89, b"x" * 126), 1002),
    ],
    ids=["1 GiB", "2 ** 64", "unmasked", "no UTF-8", "long ping"],
)
async def test_illegal_frames_with_a_flood_behind_them(
    server: Server, received: bytes, code: int
) -> None:
    async with undisturbed(server):
        reader, writer = await hostile(server)
        writer.write(received)

        async def flood() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(500):
                    writer.write(b"\0" * 65536)
                    await writer.drain()

        flooding = asyncio.create_task(flood())
        end = await end_of(reader)
        writer.transport.abort()
        await flooding

    assert end[:1] == b"\x88"
    assert int.from_bytes(end[2:4], "big") == code


async def test_a_message_that_never_ends(server: Server) -> None:
    async with undisturbed(server):
        reader, writer = await hostile(server)
        # Read meanwhile: a client that still sends when the server has stopped listening is reset,
        # and then what has come and was not read is gone.
        reading = asyncio.create_task(end_of(reader))
        with contextlib.suppress(ConnectionError):
            writer.write(client_frame(0x01, b"x"))
            for _ in range(300_000):
                writer.write(client_frame(0x00))
            for _ in range(2000):
                writer.write(client_frame(0x00, b"x" * 1000))
                await writer.drain()

        assert int.from_bytes((await reading)[2:4], "big") == 1009


async def test_a_bomb(server: Server) -> None:
    packed = deflated(b"\0" * (64 * MIB))
    # Bombs inside bombs do not exist here: a message is inflated once.
    assert len(zlib.compress(packed)) < len(packed) < 100_000
    async with undisturbed(server):
        for _ in range(20):
            reader, writer = await hostile(server, DEFLATE)
            writer.write(client_frame(0xC2, packed))
            assert int.from_bytes((await end_of(reader))[2:4], "big") == 1009


async def test_a_hundred_thousand_tiny_frames_a_second(server: Server) -> None:
    flood = client_frame(0x81, b"x") * 10_000
    async with undisturbed(server):
        reader, writer = await hostile(server, face=b"forgetful-echo")
        reading = asyncio.create_task(end_of(reader))
        for _ in range(30):
            start = time.monotonic()
            writer.write(flood)
            await writer.drain()
            await asyncio.sleep(max(0, start + 0.1 - time.monotonic()))
        writer.transport.abort()
        await reading


@pytest.mark.parametrize(
    ("path", "head"),
    [
        (b"chat/a%0d%0aset-cookie:%20x=1/", b""),
        (b"chat/a%0aset-cookie:%20x=1/", b""),
        (b"chat/one/", b"sec-websocket-protocol: chat.v1\r\n folded: x\r\n"),
        (b"chat/one/", b"sec-websocket-protocol: chat.v1\rset-cookie: x=1\r\n"),
    ],
)
async def test_what_a_client_says_becomes_no_header_of_the_answer(
    server: Server, path: bytes, head: bytes
) -> None:
    async with undisturbed(server):
        reader, writer = await raw(server)
        writer.write((REQUEST % (b"PATH", head)).replace(b"PATH/hostile/", path))
        writer.write_eof()
        answer = await end_of(reader)

    names = [line.partition(b":")[0].lower() for line in answer.split(b"\r\n\r\n")[0].splitlines()]
    assert names[0].split()[1] in (b"400", b"404", b"500")
    assert not {b"set-cookie", b" folded"} & set(names)


async def test_control_frames_without_number_to_a_peer_that_reads_nothing(server: Server) -> None:
    flood = client_frame(0x89, b"x" * 125) * 1000
    async with undisturbed(server):
        _, writer = await hostile(server)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(3 * SLOW):
                for _ in range(200):
                    writer.write(flood)
                    await writer.drain()
        writer.transport.abort()


async def test_frames_to_a_handler_that_never_ends(server: Server) -> None:
    flood = client_frame(0x82, b"x" * 1000) * 1000
    async with undisturbed(server):
        for _ in range(20):
            _, writer = await hostile(server, face=b"gated")
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.1 * SLOW):
                    for _ in range(20):
                        writer.write(flood)
                        await writer.drain()
    await asyncio.to_thread(server.get, "/open/hostile/")

"""What a connection to Redis writes, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from channels_redis._wire import Wire, pack

LARGE = b"x" * 8_000_000
"""More than the kernel takes at once."""


class Peer:
    """The server's end of one connection, and the wire at the other."""

    def __init__(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        self.reader = reader
        self.wire = wire
        self.losses: list[Exception] = []


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    losses: list[Exception] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    reader, answers = await accepted.get()
    peer = Peer(reader, Wire(writer, lambda reply: None, losses.append))
    peer.losses = losses
    yield peer
    peer.wire.close()
    answers.close()
    with contextlib.suppress(ConnectionError):
        await answers.wait_closed()
    server.close()
    await server.wait_closed()


async def test_commands_of_one_turn_go_out_together_and_in_order(peer: Peer) -> None:
    for number in range(3):
        peer.wire.write(pack("PUBLISH", "topic", number))

    expected = b"".join(pack("PUBLISH", "topic", number) for number in range(3))
    assert await peer.reader.read(1000) == expected


async def test_what_the_kernel_does_not_take_goes_out_before_what_comes_later(peer: Peer) -> None:
    large, small = pack("PUBLISH", "topic", LARGE), pack("PUBLISH", "topic", b"after")
    peer.wire.write(large)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert peer.wire._transport.get_write_buffer_size() > 0
    peer.wire.write(small)

    received = await peer.reader.readexactly(len(large) + len(small))
    assert received == large + small


async def test_a_write_to_a_server_that_has_gone_is_a_loss_and_no_error() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    losses: asyncio.Queue[Exception] = asyncio.Queue()
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, writer = await asyncio.open_connection(*server.getsockname())
        peer, _ = server.accept()
    wire = Wire(writer, lambda reply: None, losses.put_nowait)
    # It resets the connection, of which the loop hears after the write.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    wire.write(pack("PING"))

    assert isinstance(await losses.get(), ConnectionError)
    await asyncio.sleep(0)
    assert not errors
    assert losses.empty()


async def test_nothing_is_written_once_it_is_closed(peer: Peer) -> None:
    peer.wire.write(pack("PING"))
    peer.wire.close()
    await asyncio.sleep(0)

    assert await peer.reader.read() == b""
    assert not peer.losses

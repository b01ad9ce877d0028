"""How the connections of a worker end."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from uvicorn.server import ServerState

from channels.server import WebSocketProtocol
from channels.serving.drain import Drain
from tests.slow import SLOW


class Socket(WebSocketProtocol):
    """Notes when it is closed."""

    __slots__ = ("closed", "state")

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.closed: list[Any] = []
        state.connections.add(self)  # type: ignore[arg-type]

    def close_for_restart(self) -> None:
        self.closed.append(asyncio.get_running_loop().time())
        self.state.connections.discard(self)  # type: ignore[arg-type]

    def shutdown(self) -> None:
        self.closed.append("at once")
        self.state.connections.discard(self)  # type: ignore[arg-type]


class Request:
    """A connection of HTTP, which ends when it has answered."""

    was_told = False

    def shutdown(self) -> None:
        self.was_told = True


@pytest.fixture
def state() -> ServerState:
    return ServerState()


async def test_websockets_are_closed_over_the_window(state: ServerState) -> None:
    sockets = [Socket(state) for _ in range(40)]
    start = asyncio.get_running_loop().time()

    await Drain(state, window=0.4, timeout=5).run()

    moments = sorted(moment - start for socket in sockets for moment in socket.closed)
    assert len(moments) == 40
    assert moments[-1] > 0.38
    # One in each fortieth of the window: a quarter has a quarter of them, and one at its edge.
    assert sum(moment < 0.1 for moment in moments) <= 11


async def test_haste_closes_all_at_once(state: ServerState) -> None:
    sockets = [Socket(state) for _ in range(40)]
    drain = Drain(state, window=60, timeout=90)
    running = asyncio.create_task(drain.run())
    await asyncio.sleep(0.01)

    drain.hurry()

    await asyncio.wait_for(running, 5 * SLOW)
    assert sum(socket.closed == ["at once"] for socket in sockets) > 30
    assert all(socket.closed for socket in sockets)


async def test_a_request_in_flight_is_waited_for(state: ServerState) -> None:
    request: Any = Request()
    state.connections.add(request)
    running = asyncio.create_task(Drain(state, window=0, timeout=60).run())
    await asyncio.sleep(0.1)
    assert request.was_told
    assert not running.done()

    state.connections.discard(request)

    await asyncio.wait_for(running, 5 * SLOW)


async def test_connections_that_come_during_the_drain_are_told_to_end_too(
    state: ServerState,
) -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    state.tasks.add(task)
    running = asyncio.create_task(Drain(state, window=0, timeout=60).run())
    await asyncio.sleep(0.01)

    socket, request = Socket(state), Request()
    state.connections.add(request)  # type: ignore[arg-type]
    async with asyncio.timeout(5 * SLOW):
        while not (socket.closed and request.was_told):  # noqa: ASYNC110 - another task does it
            await asyncio.sleep(0.01)

    state.connections.clear()
    state.tasks.clear()
    task.cancel()
    await asyncio.wait_for(running, 5 * SLOW)
    assert len(socket.closed) == 1


async def test_at_the_deadline_a_handler_is_named_and_cancelled(
    state: ServerState, caplog: pytest.LogCaptureFixture
) -> None:
    async def never_ends() -> None:
        await asyncio.sleep(3600)

    task = asyncio.create_task(never_ends())
    state.tasks.add(task)
    await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR, "channels.server"):
        await Drain(state, window=0, timeout=0.05).run()

    assert task.cancelled()
    assert "Still running at the end, cancelled: " in caplog.text
    assert "never_ends at " in caplog.text
    assert "test_drain.py:" in caplog.text


async def test_at_the_deadline_a_thread_is_named_too(
    state: ServerState, caplog: pytest.LogCaptureFixture
) -> None:
    end = threading.Event()

    def blocks() -> None:
        end.wait()

    task = asyncio.create_task(sync_to_async(blocks, thread_sensitive=False)())
    state.tasks.add(task)
    try:
        with caplog.at_level(logging.ERROR, "channels.server"):
            await Drain(state, window=0, timeout=0.2).run()
    finally:
        end.set()

    assert "left to its thread: blocks at " in caplog.text
    await asyncio.wait([task])

"""The supervisor with real workers, and a worker without its supervisor."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from channels.serving import process, worker
from channels.serving import supervisor as supervising
from channels.serving.options import Options
from channels.serving.supervisor import Supervisor
from tests.slow import SLOW

ROOT = Path(__file__).resolve().parents[4]
OPTIONS = Options(drain_window=0, drain_timeout=2, start_timeout=20 * SLOW)
HEALTH = b"GET /-/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.integration.apps.rolling_settings")
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(autouse=True)
async def _signals_are_as_in_any_process() -> AsyncIterator[None]:
    yield
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)
        is_interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def until(is_so: object) -> None:
    async with asyncio.timeout(30 * SLOW):
        while not is_so():  # type: ignore[operator] # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.02)


async def test_it_starts_replaces_rolls_and_ends_its_workers(listener: socket.socket) -> None:
    supervisor = Supervisor(OPTIONS, listener, 1)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(supervisor._slots) == 1)
    first = supervisor._slots[0]
    assert await first.is_ready()
    await asyncio.sleep(0)

    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: supervisor._slots[0] is not first)
    second = supervisor._slots[0]
    assert await second.is_ready()

    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: supervisor._slots[0] is not second)
    assert await supervisor._slots[0].is_ready()
    await until(lambda: not supervisor._is_rolling)

    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10 * SLOW) == 0


async def test_workers_that_cannot_start_end_it_with_status_1(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROLLING_BROKEN", str(tmp_path))

    assert await asyncio.wait_for(Supervisor(OPTIONS, listener, 2).run(), 30 * SLOW) == 1


async def test_a_worker_that_cannot_be_started_is_tried_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervising, "FIRST_DELAY", 0.01)
    supervisor = Supervisor(OPTIONS, listener, 1)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(supervisor._slots) == 1)
    first = supervisor._slots[0]
    assert await first.is_ready()
    await asyncio.sleep(0)

    with monkeypatch.context() as no_room:
        no_room.setattr(sys, "executable", "/no/such/python")
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: caplog.text.count("A worker cannot be started: ") == 2)
    await until(lambda: supervisor._slots[0] is not first)
    assert await supervisor._slots[0].is_ready()

    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10 * SLOW) == 0


async def test_a_first_worker_that_cannot_be_started_ends_it_with_status_1(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    assert await asyncio.wait_for(Supervisor(OPTIONS, listener, 2).run(), 30 * SLOW) == 1
    assert "A worker cannot be started: [Errno 2] No such file or directory" in caplog.text


async def test_it_may_be_told_to_end_while_it_starts(listener: socket.socket) -> None:
    supervisor = Supervisor(OPTIONS, listener, 3)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10 * SLOW):
        while not supervisor._slots:  # noqa: ASYNC110 - within milliseconds
            await asyncio.sleep(0)

    supervisor._told_to_end()

    assert await asyncio.wait_for(running, 10 * SLOW) == 0
    assert len(supervisor._slots) < 3
    assert not supervisor._alive


async def test_a_worker_that_ignores_haste_is_killed(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "HASTE", 0.1)
    one = await process.WorkerProcess.start(OPTIONS, listener)
    assert await one.is_ready()
    os.kill(one.pid, signal.SIGSTOP)

    await one.hurry()

    assert await one.wait() == -signal.SIGKILL
    assert "has not ended at once in 0.1 s; killed" in caplog.text


async def test_a_worker_without_a_limit_on_hanging_lives_on(listener: socket.socket) -> None:
    one = await process.WorkerProcess.start(dataclasses.replace(OPTIONS, hang_timeout=0), listener)
    assert await one.is_ready()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.wait(), 0.3)

    assert await one.stop()


@override_settings(ASGI_APPLICATION="tests.unit.channels.serving.test_health.application")
async def test_a_worker_serves_until_its_supervisor_has_gone(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_end_without_threads", lambda: None)
    ours, its = socket.socketpair()
    address = listener.getsockname()
    serving = asyncio.create_task(worker.Worker(OPTIONS, its).serve([listener]))
    try:
        assert await asyncio.get_running_loop().run_in_executor(None, ours.recv, 6) == b"ready\n"
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HEALTH)
        assert b" 200 " in await reader.read()
        writer.close()
    finally:
        ours.close()

    await asyncio.wait_for(serving, 10 * SLOW)

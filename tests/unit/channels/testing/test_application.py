"""Starting, feeding, reading and stopping an application under test."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync

from channels import db
from channels.testing import ApplicationCommunicator, HttpCommunicator
from channels.typing import Receive, Scope, Send

FOREVER = 30.0
"""Seconds that a test waits only if it fails."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every event back; end with the event of type "end", fail with "fail"."""
    while (event := await receive())["type"] != "end":
        if event["type"] == "fail":
            raise LookupError("the application failed")
        await send(event)


async def silence(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def start(application: Any = echo) -> ApplicationCommunicator:
    return ApplicationCommunicator(application, {"type": "test"})


async def failed() -> ApplicationCommunicator:
    communicator = start()
    await communicator.send_input({"type": "fail"})
    await asyncio.wait([communicator.future])
    return communicator


async def cancelled() -> ApplicationCommunicator:
    communicator = start(silence)
    with pytest.raises(TimeoutError):
        await communicator.receive_output(timeout=0)
    return communicator


# Starting


async def test_the_application_gets_the_very_scope_that_the_test_edited() -> None:
    seen = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    communicator = start(application)
    communicator.scope["user"] = "ann"

    await communicator.wait()

    assert seen[0] is communicator.scope
    assert seen[0]["user"] == "ann"


async def test_construction_does_not_start_the_application() -> None:
    application = mock.AsyncMock()

    ApplicationCommunicator(application, {"type": "test"})
    await asyncio.sleep(0)

    application.assert_not_called()


def test_a_communicator_can_be_made_outside_a_loop() -> None:
    communicator = start()

    async def talk() -> Any:
        await communicator.send_input({"type": "hello"})
        received = await communicator.receive_output()
        await communicator.send_input({"type": "end"})
        await communicator.wait()
        return received

    assert asyncio.run(talk()) == {"type": "hello"}


async def test_the_application_does_not_see_context_variables_of_the_test() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("by the test")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": variable.get()})

    assert (await start(application).receive_output())["type"] == "unset"


async def test_an_application_in_two_calls_is_adapted() -> None:
    class Application:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await send({"type": self.scope["type"]})

    assert await start(Application).receive_output() == {"type": "test"}


async def test_dropping_a_communicator_stops_its_application() -> None:
    communicator = start(silence)
    future = communicator.future
    await asyncio.sleep(0)

    del communicator
    await asyncio.wait([future])

    assert future.cancelled()


def test_a_failed_construction_leaves_nothing_to_complain_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)

    with pytest.raises(AssertionError):
        HttpCommunicator(echo, "GET", "/", body="text")  # type: ignore[arg-type]
    gc.collect()

    assert complaints == []


# Sending and receiving


async def test_what_the_application_sends_is_received_in_order() -> None:
    communicator = start()
    for number in range(3):
        await communicator.send_input({"type": "count", "n": number})

    received = [(await communicator.receive_output())["n"] for _ in range(3)]

    assert received == [0, 1, 2]


async def test_sending_to_an_application_that_ended_normally_just_enqueues() -> None:
    communicator = start()
    await communicator.send_input({"type": "end"})
    await communicator.wait()

    await communicator.send_input({"type": "late"})

    assert communicator.input_queue.get_nowait() == {"type": "late"}


Call = Callable[[ApplicationCommunicator], Coroutine[Any, Any, Any]]
CALLS: dict[str, Call] = {
    "send_input": lambda communicator: communicator.send_input({"type": "hello"}),
    "receive_output": lambda communicator: communicator.receive_output(),
    "receive_nothing": lambda communicator: communicator.receive_nothing(),
    "has_output": lambda communicator: communicator.has_output(),
}


@pytest.mark.parametrize("name", [*CALLS, "wait"])
async def test_every_call_raises_what_the_application_raised(name: str) -> None:
    calls = CALLS | {"wait": lambda communicator: communicator.wait()}
    communicator = await failed()

    with pytest.raises(LookupError, match="the application failed"):
        await calls[name](communicator)


@pytest.mark.parametrize("name", CALLS)
async def test_calls_after_a_time_out_raise_cancelled_error(name: str) -> None:
    communicator = await cancelled()

    with pytest.raises(asyncio.CancelledError):
        await CALLS[name](communicator)


async def test_wait_after_a_time_out_returns_quietly() -> None:
    communicator = await cancelled()

    await communicator.wait()

    assert communicator.future.cancelled()


async def test_a_receive_that_times_out_cancels_the_application_and_says_where_it_waited() -> None:
    communicator = start(silence)

    with pytest.raises(TimeoutError, match=r"sent nothing within 0\.01 s; it waits in silence at"):
        await communicator.receive_output(timeout=0.01)

    assert communicator.future.cancelled()


async def test_a_receive_from_an_application_that_ended_times_out_and_says_so() -> None:
    communicator = start()
    await communicator.send_input({"type": "end"})

    with pytest.raises(TimeoutError, match=r"sent nothing within 0\.01 s; it has ended"):
        await communicator.receive_output(timeout=0.01)


@pytest.mark.parametrize("name", ["receive_output", "has_output"])
async def test_a_failure_ends_a_receive_at_once(name: str) -> None:
    communicator = start()
    await communicator.send_input({"type": "fail"})

    with pytest.raises(LookupError):
        await getattr(communicator, name)(timeout=FOREVER)


async def test_what_was_sent_before_a_failure_is_received_first() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "last words"})
        raise LookupError

    communicator = start(application)

    assert await communicator.receive_output() == {"type": "last words"}
    with pytest.raises(LookupError):
        await communicator.receive_output()


async def test_two_receivers_get_an_event_each() -> None:
    communicator = start()
    receivers = [asyncio.create_task(communicator.receive_output(FOREVER)) for _ in range(2)]
    await asyncio.sleep(0)

    await communicator.send_input({"type": "count", "n": 0})
    await communicator.send_input({"type": "count", "n": 1})

    assert sorted([(await receiver)["n"] for receiver in receivers]) == [0, 1]


# Looking without taking


async def test_receive_nothing_is_true_when_nothing_comes_and_leaves_the_application_running() -> (
    None
):
    communicator = start()

    assert await communicator.receive_nothing(timeout=0.01)
    assert not communicator.future.done()


async def test_receive_nothing_is_false_as_soon_as_something_comes_and_does_not_take_it() -> None:
    communicator = start()
    await communicator.send_input({"type": "hello"})

    assert not await communicator.receive_nothing(timeout=FOREVER)
    assert await communicator.receive_output() == {"type": "hello"}


async def test_receive_nothing_without_time_tells_what_is_there_now() -> None:
    communicator = start()
    await communicator.send_input({"type": "hello"})

    assert await communicator.receive_nothing(timeout=0)
    assert not await communicator.receive_nothing(timeout=0.01)
    assert not await communicator.receive_nothing(timeout=0)


async def test_receive_nothing_waits_for_the_interval_when_that_is_longer() -> None:
    communicator = start()
    await communicator.send_input({"type": "hello"})

    assert not await communicator.receive_nothing(timeout=0.000001, interval=FOREVER)


async def test_a_failure_during_receive_nothing_is_left_to_the_next_call() -> None:
    communicator = start()
    await communicator.send_input({"type": "fail"})

    assert await communicator.receive_nothing(timeout=FOREVER)
    with pytest.raises(LookupError):
        await communicator.receive_nothing()


async def test_has_output_takes_nothing() -> None:
    communicator = start()
    await communicator.send_input({"type": "hello"})

    assert await communicator.has_output(timeout=FOREVER)
    assert await communicator.has_output(timeout=0)
    assert await communicator.receive_output() == {"type": "hello"}


async def test_has_output_outlives_its_own_time_out() -> None:
    communicator = start()

    assert not await communicator.has_output(timeout=0.01)

    await communicator.send_input({"type": "hello"})
    assert await communicator.receive_output() == {"type": "hello"}


# Ending


async def test_wait_cancels_an_application_that_does_not_end_and_logs_where_it_waited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    communicator = start(silence)

    with caplog.at_level(logging.WARNING, "channels.testing"):
        await communicator.wait(timeout=0.01)

    assert communicator.future.cancelled()
    assert "did not end within 0.01 s and is cancelled; it waits in silence at" in caplog.text
    assert f"{__file__}:" in caplog.text


async def test_wait_says_nothing_when_the_application_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    communicator = start()
    await communicator.send_input({"type": "end"})

    await communicator.wait()

    assert caplog.records == []


async def test_an_error_while_being_cancelled_is_raised() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        finally:
            raise LookupError("while cleaning up")

    with pytest.raises(LookupError, match="while cleaning up"):
        await start(application).wait(timeout=0.01)
    with pytest.raises(LookupError, match="while cleaning up"):
        await start(application).receive_output(timeout=0.01)


async def test_cancelling_the_test_while_it_waits_cancels_both() -> None:
    communicator = start(silence)
    test = asyncio.create_task(communicator.wait(FOREVER))
    await asyncio.sleep(0)

    test.cancel()
    await asyncio.wait([test])

    assert test.cancelled()
    assert communicator.future.cancelled()


async def test_stop_cancels_a_running_application() -> None:
    communicator = start()
    communicator.stop()
    assert communicator._future is None

    await communicator.send_input({"type": "hello"})
    communicator.stop()
    await asyncio.wait([communicator.future])

    assert communicator.future.cancelled()


async def test_stop_raises_what_the_application_raised_unless_told_not_to() -> None:
    communicator = await failed()

    communicator.stop(exceptions=False)
    with pytest.raises(LookupError):
        communicator.stop()


# Database connections


class Closing:
    """An application that reports whether old connections are closed for real."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await receive()
            before = self.closed
            db.close_old_connections()
            await send({"type": "closed", "n": self.closed - before})


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Closing:
    application = Closing()
    monkeypatch.setattr(db, "close_old_connections", application.close)
    return application


@pytest.mark.parametrize("name", ["receive_output", "has_output"])
async def test_receiving_keeps_database_connections_open(closing: Closing, name: str) -> None:
    communicator = start(closing)
    await communicator.send_input({"type": "go"})

    await getattr(communicator, name)()

    assert closing.closed == 0
    assert db.close_old_connections == closing.close


@pytest.mark.parametrize("name", ["receive_nothing", "wait"])
async def test_waiting_does_not_keep_database_connections_open(closing: Closing, name: str) -> None:
    communicator = start(closing)
    await communicator.send_input({"type": "go"})

    await getattr(communicator, name)(timeout=0.01)

    assert closing.closed == 1


async def test_connections_stay_open_until_the_last_of_overlapping_receivers_is_done(
    closing: Closing,
) -> None:
    first, second = start(closing), start(closing)
    waiting = [
        asyncio.create_task(communicator.receive_output(FOREVER))
        for communicator in (first, second)
    ]
    await asyncio.sleep(0)

    await first.send_input({"type": "go"})
    await waiting[0]
    stands_in = db.close_old_connections
    await second.send_input({"type": "go"})
    await waiting[1]

    assert stands_in != closing.close
    assert closing.closed == 0
    assert db.close_old_connections == closing.close


async def test_receivers_in_several_threads_restore_the_original(closing: Closing) -> None:
    def talk() -> None:
        async def receive() -> None:
            communicator = start(closing)
            for _ in range(20):
                await communicator.send_input({"type": "go"})
                await communicator.receive_output(FOREVER)

        async_to_sync(receive)()

    threads = [threading.Thread(target=talk) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)

    assert closing.closed == 0
    assert db.close_old_connections == closing.close


async def test_what_a_test_puts_in_place_meanwhile_is_left_alone(closing: Closing) -> None:
    communicator = start(closing)
    waiting = asyncio.create_task(communicator.receive_output(FOREVER))
    await asyncio.sleep(0)

    with mock.patch("channels.db.close_old_connections") as replacement:
        await communicator.send_input({"type": "go"})
        await waiting
        assert db.close_old_connections is replacement

    # The mock put back what it had found: the stand-in, which has nothing to stand in for now.
    db.close_old_connections()
    assert closing.closed == 1
    await communicator.send_input({"type": "go"})
    await communicator.receive_output()
    assert closing.closed == 1

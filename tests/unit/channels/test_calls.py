"""Calls in threads, and what comes back from there."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from channels.calls import Carrier, Threaded
from channels.consumer import SyncConsumer
from channels.lanes import MOST_JOBS, enter_lane

color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


async def test_a_carrier_brings_all_calls_in_order_in_one_turn() -> None:
    carrier = Carrier()
    seen: list[Any] = []

    def post() -> None:
        for number in range(100):
            carrier.post(seen.append, number)

    thread = threading.Thread(target=post)
    thread.start()
    thread.join()
    await asyncio.sleep(0)

    assert seen == list(range(100))


async def test_a_call_that_fails_keeps_no_other_from_the_loop() -> None:
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    carrier, seen = Carrier(), []

    carrier.post([].pop)
    carrier.post(seen.append, 1)
    await asyncio.sleep(0)

    assert seen == [1]
    assert isinstance(failures[0]["exception"], IndexError)


async def test_jobs_of_a_lane_keep_their_order() -> None:
    done, seen = asyncio.Event(), []
    loop = asyncio.get_running_loop()
    last = 3 * MOST_JOBS

    with enter_lane() as lane:
        for number in range(last):
            lane.post(lambda number=number: seen.append(number))  # type: ignore[misc]
        lane.post(lambda: loop.call_soon_threadsafe(done.set) and None)
        await done.wait()

    assert seen == list(range(last))


def threaded(lane: Any, handler: Any) -> Threaded:
    class Consumer(SyncConsumer):
        def ask(self, event: dict[str, Any]) -> None:
            handler()

    consumer = Consumer()
    consumer._lane = lane
    found = consumer._threaded()
    assert found is not None
    return found


async def test_a_handler_runs_in_the_context_of_its_caller_and_changes_it() -> None:
    color.set("red")
    seen: list[str] = []

    def handler() -> None:
        seen.append(color.get())
        color.set("green")

    with enter_lane() as lane:
        await threaded(lane, handler).run({"type": "ask"})

    assert seen == ["red"]
    assert color.get() == "green"


async def test_what_a_handler_raises_reaches_whoever_waits() -> None:
    def handler() -> None:
        raise ZeroDivisionError

    with enter_lane() as lane, pytest.raises(ZeroDivisionError):
        await threaded(lane, handler).run({"type": "ask"})


async def test_cancelling_the_wait_cancels_what_the_handler_awaits() -> None:
    awaits, seen = asyncio.Event(), []

    async def wait() -> None:
        awaits.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with enter_lane() as lane:
        task = asyncio.create_task(threaded(lane, async_to_sync(wait)).run({"type": "ask"}))
        await awaits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert seen == ["cancelled"]


async def test_a_call_that_is_given_up_before_it_begins_never_begins() -> None:
    blocked, seen = threading.Event(), []

    with enter_lane() as lane:
        lane.post(lambda: blocked.wait(5) and None)
        task = asyncio.create_task(threaded(lane, lambda: seen.append(1)).run({"type": "ask"}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        blocked.set()
        await threaded(lane, lambda: None).run({"type": "ask"})

    assert seen == []


async def test_a_consumer_with_a_dispatch_of_its_own_is_asked_for_every_event() -> None:
    class Own(SyncConsumer):
        async def dispatch(self, message: dict[str, Any]) -> None:  # type: ignore[override]
            await super().dispatch(message)

    with enter_lane() as lane:
        own = Own()
        own._lane = lane

        assert own._threaded() is None

"""Where messages wait: a consumer's own inbox, and the backlog of a channel that nobody owns."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from channels import telemetry
from channels._core.broadcast import Broadcast
from channels._core.mailbox import Mailbox
from channels.layers.inbox import Backlog, Inbox
from channels.telemetry import MessageDropped
from tests.unit.channels.layers.conftest import Clock


def message(number: int) -> dict[str, Any]:
    return {"type": "tick", "n": number}


def numbers(*messages: dict[str, Any] | None) -> list[int | None]:
    return [None if found is None else found["n"] for found in messages]


def new_inbox(wakes: list[None] | None = None, *, capacity: int = 3, expiry: int = 60) -> Inbox:
    heard: list[None] = [] if wakes is None else wakes
    return Inbox("mine!1", Mailbox(capacity, expiry), lambda: heard.append(None))


def new_backlog(*, capacity: int = 3, expiry: int = 60) -> Backlog:
    return Backlog("thumbs", Mailbox(capacity, expiry))


async def turns(number: int = 5) -> None:
    """Let every task that is ready go on."""
    for _ in range(number):
        await asyncio.sleep(0)


class TestInbox:
    async def test_messages_come_out_in_the_order_they_came(self, clock: Clock) -> None:
        inbox = new_inbox()
        for n in (1, 2, 3):
            inbox.put(message(n), clock.now)

        assert inbox.qsize() == 3
        assert numbers(inbox.take(), inbox.take(), inbox.take(), inbox.take()) == [1, 2, 3, None]

    async def test_each_arrival_wakes_the_reader_and_a_refusal_does_not(self, clock: Clock) -> None:
        wakes: list[None] = []
        inbox = new_inbox(wakes, capacity=2)

        accepted = [inbox.put(message(n), clock.now) for n in (1, 2, 3)]

        assert accepted == [True, True, False]
        assert len(wakes) == 2

    async def test_a_cancelled_reader_takes_nothing(self, clock: Clock) -> None:
        inbox = new_inbox()
        reader = asyncio.create_task(inbox.get())
        await turns()

        inbox.put(message(1), clock.now)
        reader.cancel()
        await asyncio.wait([reader])

        assert reader.cancelled()
        assert numbers(inbox.take()) == [1]

    async def test_the_consumer_takes_nothing_while_somebody_waits(self, clock: Clock) -> None:
        inbox = new_inbox()
        reader = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)

        inbox.put(message(1), clock.now)

        assert inbox.take() is None
        assert numbers(await reader) == [1]

    async def test_each_of_several_readers_gets_another_message(self, clock: Clock) -> None:
        inbox = new_inbox()
        readers = [asyncio.create_task(inbox.get()) for _ in range(2)]
        await turns()

        inbox.put(message(1), clock.now)
        await turns()
        inbox.put(message(2), clock.now)

        assert numbers(*await asyncio.gather(*readers)) == [1, 2]

    async def test_a_reader_may_change_a_frame_that_others_get_too(self, clock: Clock) -> None:
        inbox = new_inbox()
        frame = {"type": "websocket.send", "text": "x", "for": "you"}
        inbox.put(Broadcast(frame), clock.now)

        got = await inbox.get()
        assert got is not None
        got["changed"] = True

        assert got == {**frame, "changed": True}

    async def test_the_consumer_is_woken_when_nobody_else_waits_any_more(
        self, clock: Clock
    ) -> None:
        wakes: list[None] = []
        inbox = new_inbox(wakes)
        reader = asyncio.create_task(inbox.get())
        await turns()

        inbox.put(message(1), clock.now)
        inbox.put(message(2), clock.now)
        assert wakes == []
        await reader

        assert len(wakes) == 1
        assert numbers(inbox.take()) == [2]

    async def test_a_reader_takes_what_an_idle_consumer_would_handle_at_once(
        self, clock: Clock
    ) -> None:
        inbox, begun = new_inbox(), []
        inbox.begin = lambda message: begun.append(message) or True  # type: ignore[func-returns-value]
        reader = asyncio.create_task(inbox.get())
        await turns()

        inbox.put(message(1), clock.now)

        assert numbers(await reader) == [1]
        assert begun == []

    async def test_it_belongs_to_the_loop_it_was_made_on(self) -> None:
        assert new_inbox().loop is asyncio.get_running_loop()

    async def test_what_expired_unread_is_counted_when_the_reader_comes(
        self, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        inbox = new_inbox()
        inbox.put(message(1), clock.now)
        inbox.put(message(2), clock.now)
        clock.now += 60
        inbox.put(message(3), clock.now)

        assert numbers(inbox.take()) == [3]
        assert told == [MessageDropped("mine!1", "expired", 2)]

    async def test_room_is_what_neither_the_living_nor_those_on_their_way_take(
        self, clock: Clock
    ) -> None:
        inbox = new_inbox(capacity=2)
        inbox.put(message(1), clock.now)

        assert inbox.has_room(clock.now)
        inbox.on_the_way = 1
        assert not inbox.has_room(clock.now)
        assert inbox.has_room(clock.now + 60)

    async def test_clearing_counts_the_unread_and_tells_of_the_expired(
        self, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        inbox = new_inbox()
        inbox.put(message(1), clock.now)
        clock.now += 60
        inbox.put(message(2), clock.now)

        assert inbox.clear() == 1
        assert inbox.qsize() == 0
        assert told == [MessageDropped("mine!1", "expired")]


class TestBacklog:
    async def test_messages_come_out_in_the_order_they_came(self, clock: Clock) -> None:
        backlog = new_backlog()
        for n in (1, 2, 3):
            backlog.put(message(n), clock.now)

        assert backlog.qsize() == 3
        assert numbers(*[await backlog.get() for _ in range(3)]) == [1, 2, 3]

    async def test_a_full_one_refuses(self, clock: Clock) -> None:
        backlog = new_backlog(capacity=1)

        assert backlog.put(message(1), clock.now)
        assert not backlog.put(message(2), clock.now)

    async def test_a_reader_waits_until_a_message_comes(self, clock: Clock) -> None:
        backlog = new_backlog()
        reader = asyncio.create_task(backlog.get())
        await turns()
        assert not reader.done()

        backlog.put(message(1), clock.now)

        assert numbers(await reader) == [1]

    async def test_each_of_two_readers_gets_one_of_two_messages(self, clock: Clock) -> None:
        backlog = new_backlog()
        readers = [asyncio.create_task(backlog.get()) for _ in range(2)]
        await turns()

        backlog.put(message(1), clock.now)
        backlog.put(message(2), clock.now)

        assert numbers(*await asyncio.gather(*readers)) == [1, 2]

    async def test_the_reader_that_waits_longest_is_served_first(self, clock: Clock) -> None:
        backlog = new_backlog()
        first = asyncio.create_task(backlog.get())
        await turns()
        second = asyncio.create_task(backlog.get())
        await turns()

        backlog.put(message(1), clock.now)
        await turns()

        assert (first.done(), second.done()) == (True, False)
        second.cancel()

    async def test_cancelling_a_reader_takes_nothing(self, clock: Clock) -> None:
        backlog = new_backlog()
        reader = asyncio.create_task(backlog.get())
        await turns()
        reader.cancel()

        backlog.put(message(1), clock.now)

        assert numbers(await backlog.get()) == [1]

    async def test_a_reader_cancelled_after_its_call_passes_its_turn_on(self, clock: Clock) -> None:
        backlog = new_backlog()
        called, other = (asyncio.create_task(backlog.get()) for _ in range(2))
        await turns()

        backlog.put(message(1), clock.now)
        called.cancel()

        assert numbers(await other) == [1]
        assert called.cancelled()

    async def test_a_message_taken_by_another_sends_the_called_reader_back_to_wait(
        self, clock: Clock
    ) -> None:
        backlog = new_backlog()
        called = asyncio.create_task(backlog.get())
        await turns()
        backlog.put(message(1), clock.now)
        taken = await backlog.get()

        await turns()
        assert not called.done()
        backlog.put(message(2), clock.now)

        assert numbers(taken, await called) == [1, 2]

    async def test_what_expired_is_counted_once(
        self, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        backlog = new_backlog(capacity=2)
        backlog.put(message(1), clock.now)
        backlog.put(message(2), clock.now)
        clock.now += 60

        dropped = backlog.drop_expired(clock.now)
        accepted = backlog.put(message(3), clock.now)

        assert (dropped, accepted) == (2, True)
        assert told == [MessageDropped("thumbs", "expired", 2)]

    async def test_a_put_into_one_full_of_the_expired_counts_them(
        self, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        backlog = new_backlog(capacity=1)
        backlog.put(message(1), clock.now)
        clock.now += 60

        assert backlog.put(message(2), clock.now)
        assert told == [MessageDropped("thumbs", "expired")]

    async def test_a_reader_on_another_loop_is_woken_there(self, clock: Clock) -> None:
        backlog = new_backlog()
        waits = threading.Event()

        async def read() -> dict[str, Any]:
            asyncio.get_running_loop().call_soon(waits.set)
            return await backlog.get()

        reader = asyncio.create_task(asyncio.to_thread(asyncio.run, read()))
        await asyncio.to_thread(waits.wait, 10)

        backlog.put(message(1), clock.now)

        assert numbers(await reader) == [1]

    async def test_a_reader_whose_loop_has_closed_is_passed_over(self, clock: Clock) -> None:
        backlog = new_backlog()
        gone = asyncio.new_event_loop()
        abandoned = gone.create_task(backlog.get())
        await asyncio.to_thread(gone.run_until_complete, asyncio.sleep(0))
        gone.close()
        reader = asyncio.create_task(backlog.get())
        await turns()

        backlog.put(message(1), clock.now)

        assert numbers(await reader) == [1]
        # The loop never told its task; say so, or its end would be reported as a warning.
        abandoned._log_destroy_pending = False  # type: ignore[attr-defined]

    async def test_a_reader_may_change_a_frame_that_others_get_too(self, clock: Clock) -> None:
        backlog = new_backlog()
        frame = {"type": "websocket.send", "text": "x", "for": "you"}
        backlog.put(Broadcast(frame), clock.now)

        got = await backlog.get()
        got["changed"] = True

        assert got == {**frame, "changed": True}

    async def test_clearing_counts_the_unread(self, clock: Clock) -> None:
        backlog = new_backlog()
        backlog.put(message(1), clock.now)

        assert (backlog.clear(), backlog.qsize()) == (1, 0)


@pytest.mark.parametrize("box", [new_backlog, new_inbox])
async def test_both_say_their_channel(box: Any) -> None:
    assert box().channel in {"thumbs", "mine!1"}

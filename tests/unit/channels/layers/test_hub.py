"""The hub: who gets a message, what becomes of the rest, and other threads."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from channels import telemetry
from channels._core.mailbox import Mailbox
from channels.layers.fan_out import LARGE, FanOut
from channels.layers.hub import Hub
from channels.layers.inbox import Backlog, Inbox
from channels.telemetry import MessageDropped
from tests.unit.channels.layers.conftest import Clock

T = TypeVar("T")
CAPACITY = 3
EXPIRY = 60
GROUP_EXPIRY = 86400


def new_hub(*, capacity: int = CAPACITY, expiry: float = EXPIRY) -> Hub:
    return Hub(GROUP_EXPIRY, lambda channel: Mailbox(capacity, expiry))


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return new_hub()


def message(number: int = 0) -> dict[str, Any]:
    return {"type": "tick", "n": number}


def asleep() -> None:
    """Stand for a consumer that looks into its inbox by itself."""


def taken(inbox: Inbox) -> list[int]:
    """Take all there is."""
    return [found["n"] for found in iter(inbox.take, None)]


def elsewhere(act: Callable[[], T]) -> T:
    """Run ``act`` on an event loop of another thread, while this loop stands still."""

    async def run() -> T:
        return act()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()


async def turns(number: int = 5) -> None:
    """Let every task that is ready go on."""
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every fan-out end at once, however busy the machine is."""
    monkeypatch.setattr("channels.layers.fan_out.SLICE", 3600.0)
    monkeypatch.setattr("channels.layers.hub.SLICE", 3600.0)


def fan_out(hub: Hub, group: str, copies: Callable[[], dict[str, Any]]) -> tuple[int, int]:
    """Send to a group that is served in one go; return how many members got it and missed it."""
    fan = hub.fan_out(group, copies)
    assert fan.is_over
    return fan.delivered, fan.dropped


class TestDelivery:
    async def test_a_message_reaches_its_channel_alone_and_in_order(self, hub: Hub) -> None:
        mine, other = hub.attach("mine!1", asleep), hub.attach("other!1", asleep)

        accepted = [hub.deliver("mine!1", message(n)) for n in (1, 2, 3)]

        assert accepted == [True, True, True]
        assert (taken(mine), taken(other)) == ([1, 2, 3], [])

    async def test_an_arrival_wakes_the_consumer(self, hub: Hub) -> None:
        wakes: list[None] = []
        hub.attach("mine!1", lambda: wakes.append(None))

        hub.deliver("mine!1", message())

        assert len(wakes) == 1

    async def test_a_consumer_at_its_capacity_gets_no_more(self, hub: Hub) -> None:
        inbox = hub.attach("mine!1", asleep)

        accepted = [hub.deliver("mine!1", message(n)) for n in range(CAPACITY + 1)]

        assert accepted == [True] * CAPACITY + [False]
        assert taken(inbox) == list(range(CAPACITY))

    async def test_a_channel_without_a_consumer_keeps_messages_for_a_reader(self, hub: Hub) -> None:
        hub.deliver("thumbs", message(1))
        hub.deliver("thumbs", message(2))

        assert [(await hub.receive("thumbs"))["n"] for _ in range(2)] == [1, 2]

    async def test_a_channel_is_gone_when_its_last_message_is_read(self, hub: Hub) -> None:
        hub.deliver("thumbs", message(1))
        hub.deliver("thumbs", message(2))

        await hub.receive("thumbs")
        assert list(hub.channels) == ["thumbs"]
        await hub.receive("thumbs")

        assert hub.channels == {}

    async def test_a_channel_is_there_while_a_reader_waits_and_gone_when_it_is_cancelled(
        self, hub: Hub
    ) -> None:
        reader = asyncio.create_task(hub.receive("thumbs"))
        await turns()
        assert list(hub.channels) == ["thumbs"]

        reader.cancel()
        await asyncio.wait([reader])

        assert hub.channels == {}

    async def test_one_of_two_readers_ending_leaves_the_other_its_channel(self, hub: Hub) -> None:
        first, second = (asyncio.create_task(hub.receive("thumbs")) for _ in range(2))
        await turns()

        first.cancel()
        await asyncio.wait([first])
        hub.deliver("thumbs", message(1))

        assert (await second)["n"] == 1
        assert hub.channels == {}

    async def test_a_deleted_channel_still_gives_its_reader_what_was_queued(self, hub: Hub) -> None:
        reader = asyncio.create_task(hub.receive("thumbs"))
        await turns()
        hub.deliver("thumbs", message(1))

        del hub.channels["thumbs"]

        assert (await reader)["n"] == 1
        assert hub.channels == {}

    async def test_a_consumer_finds_what_was_sent_to_its_channel_before_it_came(
        self, hub: Hub
    ) -> None:
        hub.deliver("mine!1", message(1))

        inbox = hub.attach("mine!1", asleep)
        hub.deliver("mine!1", message(2))

        assert taken(inbox) == [1, 2]

    async def test_the_channel_of_a_consumer_can_be_read_in_its_place(self, hub: Hub) -> None:
        hub.attach("mine!1", asleep)
        reader = asyncio.create_task(hub.receive("mine!1"))
        await turns()

        hub.deliver("mine!1", message(1))
        hub.deliver("mine!1", message(2))

        assert [await reader, await hub.receive("mine!1")] == [message(1), message(2)]

    async def test_the_channel_of_a_consumer_cannot_be_read_on_another_loop(self, hub: Hub) -> None:
        hub.attach("mine!1", asleep)

        with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError) as caught:
            pool.submit(asyncio.run, hub.receive("mine!1")).result()

        assert str(caught.value) == (
            "channel 'mine!1' is read by its consumer; "
            "expected to be asked on the event loop of that"
        )


class TestGroups:
    async def test_a_group_message_reaches_every_member_and_no_other(self, hub: Hub) -> None:
        ann, bob, eve = (hub.attach(f"{name}!1", asleep) for name in ("ann", "bob", "eve"))
        hub.join("room", "ann!1")
        hub.join("room", "bob!1")
        hub.join("hall", "eve!1")

        delivery = fan_out(hub, "room", message(7).copy)

        assert delivery == (2, 0)
        assert (taken(ann), taken(bob), taken(eve)) == ([7], [7], [])

    async def test_a_member_without_a_consumer_finds_the_message_later(self, hub: Hub) -> None:
        hub.join("room", "thumbs")

        hub.fan_out("room", message(7).copy)

        assert (await hub.receive("thumbs"))["n"] == 7

    async def test_what_fails_behind_a_message_keeps_no_other_from_its_way(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(fan: FanOut) -> None:
            raise LookupError("deliberate")

        hub.join("room", "member!1")
        hub.fan_out("room", message(1).copy, ended=fail)

        assert fan_out(hub, "room", message(2).copy) == (1, 0)
        assert "What follows a message to group room failed." in caplog.text

    async def test_a_large_group_without_leave_has_it_at_once(self, hub: Hub) -> None:
        for number in range(LARGE + 1):
            hub.join("crowd", f"member!{number}")

        assert fan_out(hub, "crowd", message(1).copy) == (LARGE + 1, 0)

    async def test_an_unknown_group_is_no_members_and_makes_no_copy(self, hub: Hub) -> None:
        def refuse() -> dict[str, Any]:
            raise AssertionError("a copy was made")

        assert fan_out(hub, "nobody-here", refuse) == (0, 0)
        assert hub.membership.groups == {}

    async def test_a_full_member_misses_the_message_alone_and_is_counted(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        slow, quick = hub.attach("slow!1", asleep), hub.attach("quick!1", asleep)
        for channel in ("slow!1", "quick!1"):
            hub.join("room", channel)
        for n in range(CAPACITY):
            hub.deliver("slow!1", message(n))

        delivery = fan_out(hub, "room", message(9).copy)

        assert delivery == (1, 1)
        assert (taken(slow), taken(quick)) == ([0, 1, 2], [9])
        assert told == [MessageDropped("slow!1", "full")]

    async def test_leaving_ends_one_membership_and_leaving_all_ends_every_one(
        self, hub: Hub
    ) -> None:
        for group in ("room", "hall", "yard"):
            hub.join(group, "mine!1")

        hub.leave("room", "mine!1")
        assert set(hub.membership.groups) == {"hall", "yard"}
        hub.leave_all("mine!1")

        assert hub.membership.groups == {}

    async def test_a_running_consumer_stays_a_member_however_old_it_is(
        self, hub: Hub, clock: Clock
    ) -> None:
        inbox = hub.attach("mine!1", asleep)
        hub.join("room", "mine!1")
        hub.join("room", "thumbs")
        clock.now += GROUP_EXPIRY

        delivery = fan_out(hub, "room", message(7).copy)

        assert delivery == (1, 0)
        assert taken(inbox) == [7]
        assert hub.membership.groups == {"room": {"mine!1": clock.now}}

    async def test_old_memberships_end_in_every_group_when_asked(
        self, hub: Hub, clock: Clock
    ) -> None:
        hub.attach("mine!1", asleep)
        for group, channel in (("room", "thumbs"), ("hall", "thumbs"), ("hall", "mine!1")):
            hub.join(group, channel)
        clock.now += GROUP_EXPIRY - 1
        hub.join("yard", "thumbs")
        clock.now += 1

        hub.expire_memberships()

        assert {group: set(members) for group, members in hub.membership.groups.items()} == {
            "hall": {"mine!1"},
            "yard": {"thumbs"},
        }

    async def test_a_membership_lasts_until_its_time(self, hub: Hub, clock: Clock) -> None:
        hub.join("room", "thumbs")
        clock.now += GROUP_EXPIRY - 1

        assert fan_out(hub, "room", message().copy) == (1, 0)

    async def test_a_consumer_that_leaves_while_a_group_is_served_is_passed_over(
        self, hub: Hub
    ) -> None:
        hub.join("room", "first!1")
        hub.join("room", "second!1")
        hub.attach("first!1", lambda: hub.detach("second!1"))
        second = hub.attach("second!1", asleep)

        hub.fan_out("room", message(7).copy)

        assert taken(second) == []
        assert set(hub.membership.groups["room"]) == {"first!1"}


class TestDetaching:
    async def test_a_detached_consumer_leaves_nothing_behind(self, hub: Hub) -> None:
        hub.attach("mine!1", asleep)
        hub.join("room", "mine!1")

        hub.detach("mine!1")
        hub.detach("mine!1")

        assert (hub.channels, hub.membership.groups) == ({}, {})

    async def test_what_it_had_not_read_is_counted(
        self, hub: Hub, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        hub.attach("mine!1", asleep)
        hub.deliver("mine!1", message(1))
        clock.now += EXPIRY
        hub.deliver("mine!1", message(2))
        hub.deliver("mine!1", message(3))

        hub.detach("mine!1")

        assert sorted(told) == [
            MessageDropped("mine!1", "closed", 2),
            MessageDropped("mine!1", "expired", 1),
        ]

    async def test_whoever_waits_besides_it_goes_on_and_gets_what_is_sent_later(
        self, hub: Hub, seconds: Callable[[float], float]
    ) -> None:
        hub.attach("mine!1", asleep)
        readers = [asyncio.create_task(hub.receive("mine!1")) for _ in range(2)]
        await turns()

        hub.detach("mine!1")
        await turns()
        hub.deliver("mine!1", message(1))
        elsewhere(lambda: hub.deliver("mine!1", message(2)))
        async with asyncio.timeout(seconds(5)):
            found = [await reader for reader in readers]

        assert found == [message(1), message(2)]
        assert hub.channels == {}

    async def test_whoever_waits_besides_it_gets_what_it_can_read_no_more(
        self, hub: Hub, told: list[telemetry.Event], seconds: Callable[[float], float]
    ) -> None:
        hub.attach("mine!1", asleep)
        reader = asyncio.create_task(hub.receive("mine!1"))
        await turns()

        elsewhere(lambda: hub.deliver("mine!1", message(2)))
        hub.deliver("mine!1", message(1))
        hub.detach("mine!1")
        hub.deliver("mine!1", message(3))
        async with asyncio.timeout(seconds(5)):
            found = [await reader, await hub.receive("mine!1"), await hub.receive("mine!1")]

        assert found == [message(1), message(2), message(3)]
        assert (hub.channels, told) == ({}, [])

    async def test_what_has_no_room_beside_the_unread_is_counted_when_it_leaves_readers(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        hub.attach("mine!1", asleep)
        reader = asyncio.create_task(hub.receive("mine!1"))
        await turns()
        elsewhere(lambda: hub.deliver("mine!1", message(9)))
        for n in range(CAPACITY):
            hub.deliver("mine!1", message(n))

        hub.detach("mine!1")

        assert told == [MessageDropped("mine!1", "closed")]
        assert await reader == message(0)

    async def test_a_reader_that_is_cancelled_as_it_leaves_keeps_no_channel(self, hub: Hub) -> None:
        hub.attach("mine!1", asleep)
        reader = asyncio.create_task(hub.receive("mine!1"))
        await turns()

        hub.detach("mine!1")
        reader.cancel()
        await asyncio.wait([reader])

        assert hub.channels == {}

    async def test_readers_that_its_closed_event_loop_left_keep_nothing(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        abandoned: list[asyncio.Task[Any]] = []

        def read() -> None:
            hub.attach("gone!1", asleep)
            loop = asyncio.get_running_loop()
            abandoned.append(loop.create_task(hub.receive("gone!1")))
            loop.call_soon(loop.stop)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(run_until_stopped, read).result()
        hub.deliver("gone!1", message(1))

        assert (hub.channels, told) == ({}, [MessageDropped("gone!1", "closed")])
        # The loop never told its task; say so, or its end would be reported as a warning.
        abandoned[0]._log_destroy_pending = False  # type: ignore[attr-defined]

    async def test_forgetting_an_unknown_channel_does_nothing(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        hub.detach("nobody!1")

        assert told == []


class TestSweeping:
    async def test_expired_messages_go_with_their_channel_and_its_memberships(
        self, hub: Hub, clock: Clock, told: list[telemetry.Event]
    ) -> None:
        hub.join("room", "thumbs")
        hub.deliver("thumbs", message(1))
        hub.deliver("thumbs", message(2))
        clock.now += EXPIRY

        hub.sweep()

        assert (hub.channels, hub.membership.groups) == ({}, {})
        assert told == [MessageDropped("thumbs", "expired", 2)]

    async def test_what_is_young_stays_until_its_own_time(self, hub: Hub, clock: Clock) -> None:
        hub.deliver("thumbs", message(1))
        clock.now += EXPIRY - 1
        hub.deliver("thumbs", message(2))
        clock.now += 1

        hub.sweep()
        assert hub.channels["thumbs"].qsize() == 1
        clock.now += EXPIRY - 1
        hub.sweep()

        assert hub.channels == {}

    async def test_channels_are_swept_in_the_order_in_which_their_messages_expire(
        self, hub: Hub, clock: Clock
    ) -> None:
        hub.deliver("b", message(1))
        clock.now += 1
        hub.deliver("b", message(2))
        clock.now += 1
        hub.deliver("a", message(3))
        clock.now += EXPIRY - 2
        hub.sweep()
        clock.now += 1

        hub.sweep()

        assert list(hub.channels) == ["a"]

    async def test_a_waiting_reader_keeps_its_channel(self, hub: Hub, clock: Clock) -> None:
        hub.deliver("thumbs", message(1))
        await hub.receive("thumbs")
        reader = asyncio.create_task(hub.receive("thumbs"))
        await turns()
        clock.now += EXPIRY
        hub.sweep()

        hub.deliver("thumbs", message(2))

        assert (await reader)["n"] == 2

    async def test_the_channels_of_consumers_are_not_swept(self, hub: Hub, clock: Clock) -> None:
        hub.deliver("mine!1", message(1))
        inbox = hub.attach("mine!1", asleep)
        hub.join("room", "mine!1")
        clock.now += EXPIRY

        hub.sweep()

        assert hub.channels == {"mine!1": inbox}
        assert "room" in hub.membership.groups

    async def test_a_full_channel_that_is_sent_to_takes_no_more_memory(self, hub: Hub) -> None:
        for n in range(1000):
            hub.deliver("thumbs", message(n))

        assert len(hub._due) == 1

    async def test_a_channel_that_is_read_at_once_takes_no_more_memory(self, hub: Hub) -> None:
        for n in range(1000):
            hub.deliver("thumbs", message(n))
            await hub.receive("thumbs")

        assert hub.channels == {}
        assert len(hub._due) == 1


class TestFlushing:
    async def test_nothing_is_left_but_the_consumers(self, hub: Hub) -> None:
        inbox = hub.attach("mine!1", asleep)
        hub.join("room", "mine!1")
        hub.deliver("mine!1", message(1))
        hub.deliver("thumbs", message(2))

        hub.flush()

        assert hub.channels == {"mine!1": inbox}
        assert hub.membership.groups == {}
        assert taken(inbox) == []
        hub.deliver("mine!1", message(3))
        assert taken(inbox) == [3]

    async def test_a_waiting_reader_goes_on_waiting_and_gets_the_next_message(
        self, hub: Hub
    ) -> None:
        reader = asyncio.create_task(hub.receive("thumbs"))
        await turns()

        hub.flush()
        hub.deliver("thumbs", message(1))

        assert (await reader)["n"] == 1

    async def test_what_is_on_its_way_from_another_loop_is_dropped_too(self, hub: Hub) -> None:
        inbox = hub.attach("mine!1", asleep)
        elsewhere(lambda: hub.deliver("mine!1", message(1)))

        hub.flush()
        await turns()

        assert taken(inbox) == []
        assert inbox.on_the_way == 0
        elsewhere(lambda: [hub.deliver("mine!1", message(n)) for n in range(CAPACITY)])
        await turns()
        assert taken(inbox) == list(range(CAPACITY))


class TestOtherLoops:
    async def test_messages_from_another_loop_arrive_in_order(self, hub: Hub) -> None:
        wakes: list[None] = []
        inbox = hub.attach("mine!1", lambda: wakes.append(None))

        elsewhere(lambda: [hub.deliver("mine!1", message(n)) for n in (1, 2, 3)])
        assert taken(inbox) == []
        await turns()

        assert taken(inbox) == [1, 2, 3]
        assert len(wakes) == 3

    async def test_what_a_slice_makes_due_and_whoever_that_wakes_come_before_the_next_slice(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("channels.layers.hub.SLICE", -1.0)
        loop, seen = asyncio.get_running_loop(), []
        second = hub.attach("mine!2", asleep)
        # As a timer, that sets a future, that wakes a task.
        hub.attach(
            "mine!1", lambda: loop.call_soon(loop.call_soon, lambda: seen.append(second.qsize()))
        )

        elsewhere(lambda: [hub.deliver(f"mine!{n}", message(n)) for n in (1, 2)])
        await turns()

        assert seen == [0]
        assert second.qsize() == 1

    async def test_what_comes_during_a_slice_stands_behind_and_makes_no_slice_of_its_own(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("channels.layers.hub.SLICE", -1.0)
        loop, seen = asyncio.get_running_loop(), []

        def wake() -> None:
            elsewhere(lambda: hub.deliver("mine!2", message(3)))
            loop.call_soon(loop.call_soon, lambda: seen.append(second.qsize()))

        second = hub.attach("mine!2", asleep)
        hub.attach("mine!1", wake)

        elsewhere(lambda: [hub.deliver(f"mine!{n}", message(n)) for n in (1, 2)])
        await turns(9)

        assert seen == [0]
        assert taken(second) == [2, 3]

    async def test_a_reader_that_fails_to_wake_keeps_nobody_from_theirs(self, hub: Hub) -> None:
        loop, errors = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
        second = hub.attach("mine!2", asleep)
        hub.attach("mine!1", lambda: 1 / 0)

        elsewhere(lambda: [hub.deliver(f"mine!{n}", message(n)) for n in (1, 2)])
        await turns()
        elsewhere(lambda: hub.deliver("mine!2", message(3)))
        await turns()

        assert [type(error) for error in errors] == [ZeroDivisionError]
        assert taken(second) == [2, 3]

    async def test_what_is_on_its_way_counts_towards_the_capacity(self, hub: Hub) -> None:
        inbox = hub.attach("mine!1", asleep)
        hub.deliver("mine!1", message(0))

        accepted = elsewhere(lambda: [hub.deliver("mine!1", message(n)) for n in (1, 2, 3)])
        await turns()

        assert accepted == [True, True, False]
        assert taken(inbox) == [0, 1, 2]

    async def test_expired_messages_take_no_room_from_another_loop(
        self, hub: Hub, clock: Clock
    ) -> None:
        inbox = hub.attach("mine!1", asleep)
        for n in range(CAPACITY):
            hub.deliver("mine!1", message(n))
        clock.now += EXPIRY

        assert elsewhere(lambda: hub.deliver("mine!1", message(9)))
        await turns()

        assert taken(inbox) == [9]

    async def test_a_message_that_finds_the_inbox_full_on_arrival_is_counted(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        inbox = hub.attach("mine!1", asleep)
        elsewhere(lambda: hub.deliver("mine!1", message(9)))
        for n in range(CAPACITY):
            hub.deliver("mine!1", message(n))

        await turns()

        assert taken(inbox) == list(range(CAPACITY))
        assert told == [MessageDropped("mine!1", "full")]

    async def test_a_message_on_its_way_to_a_consumer_that_leaves_is_counted(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        left, stays = hub.attach("left!1", asleep), hub.attach("stays!1", asleep)
        for channel in ("left!1", "stays!1"):
            hub.join("room", channel)
        elsewhere(lambda: hub.fan_out("room", message(7).copy))

        hub.detach("left!1")
        await turns()

        assert (taken(left), taken(stays)) == ([], [7])
        assert told == [MessageDropped("left!1", "closed")]

    async def test_a_group_on_another_loop_is_woken_once(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boxes = [hub.attach(f"member!{n}", asleep) for n in range(100)]
        for box in boxes:
            hub.join("room", box.channel)
        loop = asyncio.get_running_loop()
        calls: list[object] = []
        call = loop.call_soon_threadsafe

        def counted(callback: Callable[..., object], *args: Any) -> object:
            calls.append(callback)
            return call(callback, *args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

        delivery = elsewhere(lambda: fan_out(hub, "room", message(7).copy))
        await turns()

        assert delivery == (100, 0)
        assert all(taken(box) == [7] for box in boxes)
        assert len(calls) == 1

    async def test_a_consumer_whose_loop_has_closed_is_forgotten_and_its_messages_are_counted(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        elsewhere(lambda: hub.attach("gone!1", asleep))
        hub.join("room", "gone!1")

        hub.fan_out("room", message(1).copy)

        assert (hub.channels, hub.membership.groups) == ({}, {})
        assert told == [MessageDropped("gone!1", "closed")]

    async def test_even_a_full_inbox_on_a_closed_loop_is_found_out(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        def fill() -> None:
            hub.attach("gone!1", asleep)
            for n in range(CAPACITY):
                hub.deliver("gone!1", message(n))

        elsewhere(fill)

        hub.deliver("gone!1", message(9))

        assert hub.channels == {}
        assert told == [MessageDropped("gone!1", "closed", CAPACITY + 1)]

    async def test_a_loop_that_closes_with_messages_on_their_way_loses_none_uncounted(
        self, hub: Hub, told: list[telemetry.Event]
    ) -> None:
        def attach_and_be_sent_to() -> None:
            hub.attach("gone!1", asleep)
            hub.attach("left!1", asleep)
            elsewhere(lambda: [hub.deliver("gone!1", message(n)) for n in (1, 2)])
            elsewhere(lambda: hub.deliver("left!1", message(3)))
            hub.detach("left!1")
            asyncio.get_running_loop().stop()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(run_until_stopped, attach_and_be_sent_to).result()
        assert told == [MessageDropped("left!1", "closed")]
        hub.deliver("gone!1", message(4))

        assert told[1:] == [MessageDropped("gone!1", "closed", 3)]
        assert hub._arrivals == {}


def run_until_stopped(act: Callable[[], None]) -> None:
    """Run a loop that ``act`` stops, and close it with what it still had to do."""
    loop = asyncio.new_event_loop()
    loop.call_soon(act)
    loop.run_forever()
    loop.close()


def in_threads(*work: Coroutine[Any, Any, None], limit: float) -> None:
    """Run each on an event loop of its own thread, all at the same time."""
    threads = [threading.Thread(target=asyncio.run, args=(job,), daemon=True) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit)
    assert not any(thread.is_alive() for thread in threads), "a thread has not ended"


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns after almost every step."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Consumers:
    """Consumers that come, read for a while and go, again and again."""

    def __init__(self, hub: Hub, names: list[str], *, stop: threading.Event) -> None:
        self.hub = hub
        self.names = names
        self.stop = stop
        self.read: list[int] = []
        self.most_held = self.rounds = 0

    async def run(self) -> None:
        while not self.stop.is_set():
            self.rounds += 1
            boxes = [self.hub.attach(name, asleep) for name in self.names]
            for name in self.names:
                self.hub.join("room", name)
            for turn in range(20):
                await asyncio.sleep(0)
                self.look(boxes, at_most=turn % 4)
            for name in self.names:
                self.hub.detach(name)

    def look(self, boxes: list[Inbox], *, at_most: int) -> None:
        for box in boxes:
            self.most_held = max(self.most_held, box.qsize())
            for _ in range(at_most):
                found = box.take()
                if found is not None:
                    self.read.append(found["n"])


class Sender:
    """Sends to the channels and to the group, a fixed number of times."""

    def __init__(self, hub: Hub, names: list[str], *, first: int) -> None:
        self.hub = hub
        self.names = names
        self.first = first
        self.accepted: list[int] = []
        self.delivered = self.dropped = 0

    async def run(self) -> None:
        for n in range(self.first, self.first + 1500):
            if n % 5:
                if self.hub.deliver(self.names[n % len(self.names)], message(n)):
                    self.accepted.append(n)
            else:
                fan = self.hub.fan_out("room", message(n).copy, ended=self.note)
                if fan.done is not None:
                    await fan.done

    def note(self, fan: FanOut) -> None:
        self.delivered += fan.delivered
        self.dropped += fan.dropped


def drained(hub: Hub) -> list[int]:
    """Take what waits in channels that nobody reads."""

    async def drain() -> list[int]:
        return [
            (await hub.receive(channel))["n"]
            for channel, box in tuple(hub.channels.items())
            for _ in range(box.qsize())
        ]

    return asyncio.run(drain())


@pytest.mark.usefixtures("often")
def test_threads_lose_no_message_uncounted_while_consumers_come_and_go(
    told: list[telemetry.Event], seconds: Callable[[float], float]
) -> None:
    hub = new_hub(capacity=5)
    names = [f"member!{n}" for n in range(6)]
    stop = threading.Event()
    consumers = [Consumers(hub, names[half::2], stop=stop) for half in (0, 1)]
    senders = [Sender(hub, names, first=first) for first in (0, 10_000, 20_000)]
    serving = threading.Thread(
        target=lambda: in_threads(*(one.run() for one in consumers), limit=seconds(40))
    )

    serving.start()
    in_threads(*(one.run() for one in senders), limit=seconds(30))
    while serving.is_alive() and min(one.rounds for one in consumers) < 2:
        time.sleep(0.001)
    stop.set()
    serving.join()

    read = [n for consumer in consumers for n in consumer.read] + drained(hub)
    direct = {n for sender in senders for n in sender.accepted}
    read_directly = [n for n in read if n % 5]
    assert len(read_directly) == len(set(read_directly))
    assert direct >= set(read_directly)
    drops = Counter[str]()
    for event in told:
        assert isinstance(event, MessageDropped)
        drops[event.reason] += event.count
    handed_over = len(direct) + sum(sender.delivered for sender in senders)
    refused = sum(sender.dropped for sender in senders)
    assert len(read) + sum(drops.values()) == handed_over + refused
    assert len(read) > 0
    assert min(consumer.rounds for consumer in consumers) > 1
    assert max(consumer.most_held for consumer in consumers) <= 5
    assert (hub.channels, hub.membership.groups, hub._arrivals) == ({}, {}, {})


@pytest.mark.usefixtures("often")
def test_readers_and_writers_of_one_channel_in_many_threads_lose_and_double_nothing(
    seconds: Callable[[float], float],
) -> None:
    hub = new_hub(capacity=10_000)
    each, threads = 300, 3
    read: list[int] = []

    async def write(first: int) -> None:
        for n in range(first, first + each):
            assert hub.deliver("thumbs", message(n))
            await asyncio.sleep(0)

    async def listen() -> None:
        read.extend([(await hub.receive("thumbs"))["n"] for _ in range(each)])

    in_threads(
        *(listen() for _ in range(threads)),
        *(write(n * each) for n in range(threads)),
        limit=seconds(30),
    )

    assert sorted(read) == list(range(each * threads))
    assert hub.channels == {}


@pytest.mark.usefixtures("often")
def test_readers_that_give_up_in_many_threads_lose_nothing(
    seconds: Callable[[float], float],
) -> None:
    hub = new_hub(capacity=10_000)
    each, threads = 200, 3
    read: list[int] = []
    writing = set(range(threads))

    async def write(writer: int) -> None:
        for n in range(each):
            assert hub.deliver("thumbs", message(n))
            await asyncio.sleep(0)
        writing.discard(writer)

    async def give_up_often() -> None:
        while writing:
            reader = asyncio.create_task(hub.receive("thumbs"))
            await asyncio.sleep(0)
            reader.cancel()
            [found] = await asyncio.gather(reader, return_exceptions=True)
            if isinstance(found, dict):
                read.append(found["n"])

    in_threads(
        *(give_up_often() for _ in range(threads)),
        *(write(n) for n in range(threads)),
        limit=seconds(30),
    )

    assert len(read) + len(drained(hub)) == each * threads


async def test_a_reader_is_not_left_behind_by_one_that_gives_up_in_another_thread(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Backlog.get
    gave_up: list[bool] = []

    def give_up() -> None:
        reader = asyncio.ensure_future(hub.receive("thumbs"))
        asyncio.get_running_loop().call_soon(reader.cancel)

    async def interrupted(backlog: Backlog) -> dict[str, Any]:
        # The moment between finding the backlog and waiting on it.
        if not gave_up:
            gave_up.append(True)
            elsewhere(give_up)
        return await get(backlog)

    monkeypatch.setattr(Backlog, "get", interrupted)
    reader = asyncio.create_task(hub.receive("thumbs"))
    await turns()

    hub.deliver("thumbs", message(1))

    assert (await reader)["n"] == 1


async def test_backlogs_and_inboxes_are_told_apart(hub: Hub) -> None:
    hub.attach("mine!1", asleep)
    hub.deliver("thumbs", message())

    assert isinstance(hub.channels["mine!1"], Inbox)
    assert isinstance(hub.channels["thumbs"], Backlog)

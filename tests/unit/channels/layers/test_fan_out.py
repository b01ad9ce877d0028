"""What a message to a large group costs, in things that can be counted, and what it must not share.

Times are measured in ``benchmarks/micro``; these counts are the same on every machine.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from channels import telemetry
from channels._core.membership import Groups
from channels.layers import InMemoryChannelLayer
from channels.layers.inbox import Inbox

MEMBERS = 1000
FLAT = {"type": "chat.line", "text": "Ahoy", "n": 1}
NESTED = {"type": "chat.line", "lines": [{"text": "Ahoy", "seen": []}], "by": {"name": "ann"}}
DATED = {"type": "chat.line", "lines": [{"at": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)}]}


class Watched(dict[str, Any]):
    """A dict that remembers which keys were asked for, and whether all were looked through."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: Counter[str] = Counter()
        self.scans = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.asked[key] += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked[key] += 1
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.asked[key] += 1
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self.asked[key] += 1
        super().__delitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked[str(key)] += 1
        return super().__contains__(key)

    def pop(self, key: str, *default: Any) -> Any:
        self.asked[key] += 1
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        self.asked[key] += 1
        return super().setdefault(key, default)

    def __iter__(self) -> Iterator[str]:
        self.scans += 1
        return super().__iter__()

    def keys(self) -> Any:
        self.scans += 1
        return super().keys()

    def values(self) -> Any:
        self.scans += 1
        return super().values()

    def items(self) -> Any:
        self.scans += 1
        return super().items()

    def forget(self) -> None:
        """Begin to watch anew."""
        self.asked.clear()
        self.scans = 0


class WatchedGroups(Watched, Groups):
    """The same for the names of groups."""


class Crowd:
    """A layer with a large group, and as many channels and groups beside it."""

    def __init__(self) -> None:
        self.layer = InMemoryChannelLayer()
        self.inboxes = [self.attach(f"member!{n}") for n in range(MEMBERS)]
        self.channels = Watched()
        self.groups = WatchedGroups()
        self.groups_of = Watched()
        self.members = Watched()

    def attach(self, channel: str) -> Inbox:
        return self.layer.attach(channel, lambda: None)

    async def gather(self) -> None:
        for n in range(MEMBERS):
            await self.layer.group_add("crowd", f"member!{n}")
            self.attach(f"bystander!{n}")
            await self.layer.group_add(f"other{n}", f"bystander!{n}")

    def watch(self) -> None:
        """Put watched dicts in the place of the hub's own."""
        hub = self.layer._hub
        self.channels.update(hub.channels)
        self.members.update(hub.membership.groups["crowd"])
        self.groups.update({**hub.membership.groups, "crowd": self.members})
        self.groups_of.update(hub.membership._groups_of)
        hub.channels = self.channels
        hub.membership.groups = self.groups
        hub.membership._groups_of = self.groups_of
        for watched in self.watched():
            watched.forget()

    def watched(self) -> tuple[Watched, ...]:
        return self.channels, self.groups, self.groups_of, self.members

    def require_no_look_elsewhere(self, *, scans_of_members: int = 0) -> None:
        assert set(self.channels.asked) <= {f"member!{n}" for n in range(MEMBERS)}
        assert set(self.groups_of.asked) <= {f"member!{n}" for n in range(MEMBERS)}
        assert set(self.groups.asked) <= {"crowd"}
        assert [watched.scans for watched in self.watched()] == [0, 0, 0, scans_of_members]

    def received(self) -> list[dict[str, Any]]:
        found = [inbox.take() for inbox in self.inboxes]
        return [message for message in found if message is not None]


@pytest.fixture
async def crowd() -> Crowd:
    crowd = Crowd()
    await crowd.gather()
    return crowd


@pytest.mark.parametrize("message", [FLAT, NESTED, DATED], ids=["flat", "nested", "dated"])
async def test_a_message_to_a_thousand_members_creates_no_task(
    crowd: Crowd, message: dict[str, Any]
) -> None:
    created: list[object] = []

    def count(
        loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> Any:
        created.append(coro)
        return asyncio.Task(coro, loop=loop, **kwargs)

    factory: Any = count
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    loop.set_task_factory(factory)

    await crowd.layer.group_send("crowd", message)
    loop.set_task_factory(None)

    assert created == []
    assert asyncio.all_tasks() == before
    assert len(crowd.received()) == MEMBERS


@pytest.mark.parametrize("message", [FLAT, NESTED], ids=["flat", "nested"])
async def test_a_message_to_a_thousand_members_is_never_deep_copied(
    crowd: Crowd, message: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("deepcopy was called")

    monkeypatch.setattr(copy, "deepcopy", refuse)

    await crowd.layer.group_send("crowd", message)

    assert crowd.received() == [message] * MEMBERS


async def test_a_group_message_looks_at_each_member_once_and_at_nothing_else(crowd: Crowd) -> None:
    crowd.watch()

    await crowd.layer.group_send("crowd", FLAT)

    crowd.require_no_look_elsewhere(scans_of_members=1)
    assert crowd.channels.asked == Counter(f"member!{n}" for n in range(MEMBERS))
    assert crowd.groups.asked.total() <= 3


async def test_joining_looks_at_its_own_group_and_channel_alone(crowd: Crowd) -> None:
    crowd.attach("member!0")
    crowd.watch()

    await crowd.layer.group_add("crowd", "member!0")

    crowd.require_no_look_elsewhere()
    assert (
        crowd.channels.asked.total() + crowd.groups.asked.total() + crowd.members.asked.total() <= 6
    )


async def test_leaving_looks_at_its_own_group_and_channel_alone(crowd: Crowd) -> None:
    crowd.watch()

    await crowd.layer.group_discard("crowd", "member!500")

    crowd.require_no_look_elsewhere()
    assert crowd.groups.asked.total() + crowd.members.asked.total() <= 6
    assert len(crowd.layer.groups["crowd"]) == MEMBERS - 1


async def test_a_consumer_that_ends_looks_at_its_own_groups_alone(crowd: Crowd) -> None:
    crowd.watch()

    crowd.layer.detach("member!500")

    crowd.require_no_look_elsewhere()
    assert (
        crowd.channels.asked.total() + crowd.groups.asked.total() + crowd.members.asked.total() <= 6
    )


async def test_the_whole_group_coming_and_going_costs_the_same_for_each(crowd: Crowd) -> None:
    crowd.watch()

    for n in range(MEMBERS):
        await crowd.layer.group_add("crowd", f"member!{n}")
    for n in range(MEMBERS):
        await crowd.layer.group_discard("crowd", f"member!{n}")

    crowd.require_no_look_elsewhere()
    assert "crowd" not in crowd.layer.groups
    assert sum(watched.asked.total() for watched in crowd.watched()) <= 12 * MEMBERS


def mark_flat(message: dict[str, Any]) -> None:
    message["seen"] = True
    message["text"] = "changed"


def mark_nested(message: dict[str, Any]) -> None:
    message["lines"][0]["seen"] = True
    message["lines"].append("changed")
    message["by"] = "changed"


@pytest.mark.parametrize(
    ("message", "mark"),
    [(FLAT, mark_flat), (NESTED, mark_nested), (DATED, mark_nested)],
    ids=["flat", "nested", "dated"],
)
@pytest.mark.parametrize("kind", [dict, type("Subclass", (dict,), {})])
async def test_a_change_to_a_received_message_never_shows_in_anothers(
    crowd: Crowd,
    message: dict[str, Any],
    mark: Callable[[dict[str, Any]], None],
    kind: type[dict[str, Any]],
) -> None:
    sent = kind(copy.deepcopy(message))

    await crowd.layer.group_send("crowd", sent)
    mark(sent)
    first, *others = crowd.received()
    mark(first)

    assert len(others) == MEMBERS - 1
    assert all(other == message for other in others)
    assert first != message


async def test_a_change_to_a_message_sent_to_one_channel_never_shows_at_its_reader(
    crowd: Crowd,
) -> None:
    sent = copy.deepcopy(NESTED)

    await crowd.layer.send("member!0", sent)
    mark_nested(sent)

    assert crowd.received() == [NESTED]


# Slices


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each slice be as short as can be."""
    monkeypatch.setattr("channels.layers.fan_out.SLICE", -1.0)


@pytest.mark.usefixtures("slices")
async def test_a_long_fan_out_lets_others_have_turns_and_its_sender_wait(crowd: Crowd) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await crowd.layer.group_send("crowd", FLAT)

    assert len(crowd.received()) == MEMBERS
    assert turns > MEMBERS / 16 - 2
    counting.cancel()


@pytest.mark.usefixtures("slices")
async def test_every_member_gets_two_messages_of_a_group_in_the_same_order(crowd: Crowd) -> None:
    sending = [
        asyncio.create_task(crowd.layer.group_send("crowd", {"type": "line", "n": n}))
        for n in range(3)
    ]
    await asyncio.wait(sending)

    for _ in range(3):
        assert len({message["n"] for message in crowd.received()}) == 1
    assert crowd.received() == []


@pytest.mark.usefixtures("slices")
async def test_another_group_does_not_wait(crowd: Crowd) -> None:
    await crowd.layer.group_add("few", "member!999")
    long = asyncio.create_task(crowd.layer.group_send("crowd", FLAT))
    await asyncio.sleep(0)

    await crowd.layer.group_send("few", {"type": "line", "n": "few"})

    assert not long.done()
    assert crowd.received()[-1] == {"type": "line", "n": "few"}
    await long


@pytest.mark.usefixtures("slices")
async def test_fan_outs_that_go_on_share_one_slice_of_a_turn(crowd: Crowd) -> None:
    groups = [f"crowd-{number}" for number in range(4)]
    for number in range(200):
        for group in groups:
            await crowd.layer.group_add(group, f"member!{number}")
    sending = [
        asyncio.create_task(crowd.layer.group_send(group, {"type": "line", "n": group}))
        for group in groups
    ]
    await asyncio.sleep(0)
    crowd.received()
    most = 0
    while not all(task.done() for task in sending):
        before = sum(box.qsize() for box in crowd.layer.channels.values())
        await asyncio.sleep(0)
        most = max(most, sum(box.qsize() for box in crowd.layer.channels.values()) - before)

    # As many as lie between two looks at the clock, whatever the number of groups.
    assert most == 16


@pytest.mark.usefixtures("slices")
async def test_what_a_slice_makes_due_and_whoever_that_wakes_come_before_the_next_slice(
    crowd: Crowd,
) -> None:
    loop, seen = asyncio.get_running_loop(), []

    def begin(message: object) -> bool:
        # As a timer, that sets a future, that wakes a task.
        loop.call_soon(loop.call_soon, lambda: seen.append(len(crowd.received())))
        return True

    crowd.inboxes[0].begin = begin
    await crowd.layer.group_send("crowd", FLAT)

    assert seen == [15]


@pytest.mark.usefixtures("slices")
async def test_a_member_that_goes_before_its_turn_is_counted(crowd: Crowd) -> None:
    before = telemetry.totals["MessageDropped.closed"]
    sending = asyncio.create_task(crowd.layer.group_send("crowd", FLAT))
    await asyncio.sleep(0)
    crowd.layer.detach("member!999")

    await sending

    assert "member!999" not in crowd.layer.channels
    assert telemetry.totals["MessageDropped.closed"] == before + 1


@pytest.mark.usefixtures("slices")
async def test_a_frame_that_cannot_be_encoded_fails_for_whoever_sent_it(crowd: Crowd) -> None:
    def refuse(frame: object) -> None:
        raise ValueError("deliberate")

    crowd.inboxes[500].express = refuse
    with pytest.raises(ValueError, match="deliberate"):
        await crowd.layer.group_send("crowd", {"type": "websocket.send", "text": "x"})

    # The group is served as before.
    await crowd.layer.group_send("crowd", FLAT)
    assert crowd.inboxes[999].take() == FLAT


def test_what_an_event_loop_leaves_behind_when_it_closes_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # However fast the machine is: the fan-out does not end in one slice.
    monkeypatch.setattr("channels.layers.fan_out.SLICE", -1.0)
    layer = InMemoryChannelLayer()
    told: list[telemetry.Event] = []

    asyncio.run(begin_to_send(layer))
    delivered = len(layer.channels)
    stop = telemetry.subscribe(told.append)
    asyncio.run(layer.group_send("room", FLAT))
    stop()

    assert 0 < delivered < MEMBERS
    assert told.count(telemetry.MessageDropped("room", "closed", MEMBERS - delivered)) == 1


def test_what_two_threads_find_of_a_closed_event_loop_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("channels.layers.fan_out.SLICE", -1.0)
    layer = InMemoryChannelLayer()
    told: list[telemetry.Event] = []
    looks: list[Callable[[], object]] = []

    class Loop(asyncio.SelectorEventLoop):
        def is_closed(self) -> bool:
            if looks:
                looks.pop()()
            return super().is_closed()

    def send_elsewhere() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, layer.group_send("room", FLAT)).result()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(begin_to_send(layer))
    missed = MEMBERS - len(layer.channels)
    # Another thread finds the loop, and forgets it, while this one looks at it.
    looks.append(send_elsewhere)
    stop = telemetry.subscribe(told.append)
    asyncio.run(layer.group_send("room", FLAT))
    stop()

    assert looks == []
    assert told.count(telemetry.MessageDropped("room", "closed", missed)) == 1
    assert {box.qsize() for box in layer.channels.values()} == {2, 3}


async def begin_to_send(layer: InMemoryChannelLayer) -> None:
    """Leave a message on its way to a part of the group."""
    for number in range(MEMBERS):
        await layer.group_add("room", f"member!{number}")
    sending = asyncio.create_task(layer.group_send("room", FLAT))
    await asyncio.sleep(0)
    sending.cancel()

"""What a process does when its broker loses something, is slow, or cannot be reached."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from channels import telemetry
from channels.exceptions import LayerUnavailableError
from channels.history.broker import Change, Listener
from channels.history.memory import MemoryTopicBroker
from channels.history.position import Excerpt, Position, Publication
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.publish import apublish
from channels.topics import Topic, upkeep
from channels.topics import engine as engine_module
from channels.topics.site import here
from channels.topics.upkeep import check_positions


class Faults:
    """What is wrong with the way between a broker and its process.

    Attributes:
        is_deaf: Nothing that is published arrives.
        is_away: Nothing that is asked is answered.
        reads: Topics that were read, in order.
        reading: How many reads are under way, and at most were.
        hold: Answers of reads wait for this, if it is there.
    """

    def __init__(self) -> None:
        self.is_deaf = False
        self.is_away = False
        self.reads: list[str] = []
        self.reading = 0
        self.most_reading = 0
        self.hold: asyncio.Event | None = None


class FaultyListener:
    """Hears what the faults let through."""

    def __init__(self, listener: Listener, faults: Faults) -> None:
        self._listener = listener
        self._faults = faults

    def arrived(self, topic: str, epoch: str, publication: Publication) -> Any:
        if not self._faults.is_deaf:
            return self._listener.arrived(topic, epoch, publication)
        return None

    def presence_changed(self, topic: str, change: Change) -> None:
        if not self._faults.is_deaf:
            self._listener.presence_changed(topic, change)

    def signalled(self, body: bytes) -> None:
        self._listener.signalled(body)

    def interrupted(self) -> None:
        self._listener.interrupted()


class FaultyBroker(MemoryTopicBroker):
    """A broker in memory behind a way that has faults."""

    faults: Faults

    async def read(self, topic: str, after: int) -> Excerpt:
        faults = self.faults
        if faults.is_away:
            raise LayerUnavailableError("away")
        faults.reads.append(topic)
        faults.reading += 1
        faults.most_reading = max(faults.most_reading, faults.reading)
        try:
            excerpt = await super().read(topic, after)
            if faults.hold is not None:
                await faults.hold.wait()
            return excerpt
        finally:
            faults.reading -= 1

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        if self.faults.is_away:
            raise LayerUnavailableError("away")
        return await super().positions(topics)


class FaultyLayer(InMemoryChannelLayer):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def topic_broker(self, listener: Listener) -> Any:
        broker = FaultyBroker(self._topics, FaultyListener(listener, self.faults))
        broker.faults = self.faults
        return broker


@pytest.fixture
def faults(fresh_layer: None, room: Any) -> Faults:
    faults = Faults()
    channel_layers.backends["default"] = FaultyLayer(faults)
    return faults


async def numbers(client: Any, count: int) -> list[Any]:
    return [(await client.receive())["data"] for _ in range(count)]


async def test_what_did_not_arrive_is_read_when_the_next_does(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(telemetry, "totals", counted)
    client = await join()
    await client.subscribe("room.7")
    await apublish("room.7", 1)
    faults.is_deaf = True
    for n in (2, 3):
        await apublish("room.7", n)
    faults.is_deaf = False

    await apublish("room.7", 4)

    assert await numbers(client, 4) == [1, 2, 3, 4]
    assert await client.receives_nothing()
    assert counted == {"TopicCaughtUp": 3}


async def test_an_interruption_is_made_good_without_another_publication(
    join: Any, faults: Faults
) -> None:
    clients = [await join() for _ in range(5)]
    for client in clients:
        await client.subscribe("room.7")
    faults.reads.clear()
    faults.is_deaf = True
    await apublish("room.7", 1)
    faults.is_deaf = False

    here().interrupted()

    assert [await numbers(client, 1) for client in clients] == [[1]] * 5
    assert faults.reads == ["room.7"]


async def test_the_last_publication_is_missed_for_no_longer_than_the_check(
    join: Any, faults: Faults
) -> None:
    client = await join()
    await client.subscribe("room.7")
    faults.is_deaf = True
    await apublish("room.7", 1)
    faults.is_deaf = False

    await check_positions(here())

    assert await numbers(client, 1) == [1]
    faults.reads.clear()
    await check_positions(here())
    assert faults.reads == []


async def test_more_than_is_kept_is_a_gap(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(telemetry, "totals", counted)
    client = await join()
    await client.subscribe("room.7")
    faults.is_deaf = True
    for n in range(8):
        await apublish("room.7", n)
    faults.is_deaf = False

    here().interrupted()

    gap = await client.receive()
    assert (gap["type"], gap["reason"]) == ("gap", "trimmed")
    assert gap["position"].endswith(":8")
    await apublish("room.7", "after")
    assert (await client.receive())["offset"] == 9
    assert counted == {"GapTold.trimmed": 1}


async def test_an_interruption_during_a_reading_is_not_forgotten(join: Any, faults: Faults) -> None:
    client = await join()
    await client.subscribe("room.7")
    faults.hold = asyncio.Event()
    here().interrupted()
    await asyncio.sleep(0.01)
    # The reading has been answered, but the answer is on its way.
    faults.is_deaf = True
    await apublish("room.7", 1)
    faults.is_deaf = False

    here().interrupted()
    faults.hold.set()

    assert await numbers(client, 1) == [1]


async def test_while_the_broker_is_away_it_is_asked_again(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_RETRY", 0.001)
    client = await join()
    await client.subscribe("room.7")
    faults.is_deaf = faults.is_away = True
    await apublish("room.7", 1)
    here().interrupted()
    await asyncio.sleep(0.01)

    faults.is_deaf = faults.is_away = False

    assert await numbers(client, 1) == [1]


async def test_who_subscribes_while_the_broker_is_away_is_told_so(
    join: Any, faults: Faults
) -> None:
    client = await join()
    faults.is_away = True

    answer = await client.subscribe("room.7")

    assert (answer["code"], answer["message"]) == (
        "unavailable",
        "the broker cannot be reached; try again",
    )
    faults.is_away = False
    assert (await client.subscribe("room.7"))["type"] == "subscribed"


async def test_many_who_come_at_once_cost_one_reading_of_each_topic(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [await join() for _ in range(30)]
    faults.hold = asyncio.Event()
    for number, client in enumerate(clients):
        await client.send(type="subscribe", id=1, topic=f"room.{number % 3 + 1}")
    await asyncio.sleep(0.01)
    faults.hold.set()

    answers = [await client.receive() for client in clients]

    assert {answer["type"] for answer in answers} == {"subscribed"}
    assert sorted(faults.reads) == ["room.1", "room.2", "room.3"]


async def test_readings_at_once_are_bounded(join: Any, faults: Faults) -> None:
    client = await join()
    faults.hold = asyncio.Event()
    for number in range(1, 51):
        if number != 13:
            await client.send(type="subscribe", id=number, topic=f"room.{number}")
    await asyncio.sleep(0.05)
    faults.hold.set()

    answers = [await client.receive() for _ in range(49)]

    assert {answer["type"] for answer in answers} == {"subscribed"}
    assert faults.most_reading == engine_module.READS_AT_ONCE


async def test_a_topic_that_nobody_has_is_closed_after_a_while_but_not_under_a_newcomer(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "LINGER", 0.01)
    first, second = await join(), await join()
    await first.subscribe("room.7")
    topic = here().topics["room.7"]
    await first.ask(type="unsubscribe", topic="room.7")
    async with here().opened("room.7", topic.cls):
        await asyncio.sleep(0.03)
        assert "room.7" in here().topics

    await asyncio.sleep(0.03)

    assert "room.7" not in here().topics
    await second.subscribe("room.7")
    await apublish("room.7", 1)
    assert await numbers(second, 1) == [1]


async def test_upkeep_ends_with_the_last_connection_and_begins_with_the_next(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "TICK", 0.001)
    first = await join()
    keeping_up = here()._keeping_up
    await first.socket.disconnect()
    await asyncio.wait_for(keeping_up, 5)

    await join()

    assert here()._keeping_up is not keeping_up


async def test_a_member_that_could_not_enter_leaves_nothing_behind(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lounge(Topic, pattern="lounge"):
        presence = True
        presence_grace = 0.01

        def authorize(self) -> bool:
            return True

        def shown(self) -> Any:
            return {}

    client = await join()
    engine = here()

    async def away(*args: Any, **kwargs: Any) -> None:
        raise LayerUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(engine.broker, "enter", away)
        assert (await client.subscribe("lounge"))["code"] == "unavailable"
    await asyncio.sleep(0.02)

    assert engine.attendance.topics == []
    assert (await engine.broker.present("lounge")).members == {}


async def test_a_change_that_comes_while_presence_is_read_is_not_undone(
    join: Any, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lounge(Topic, pattern="lounge"):
        presence = True

        def authorize(self) -> bool:
            return True

        def member(self) -> str:
            return str(self.user)

        def shown(self) -> Any:
            return {}

    ann = await join("ann")
    await ann.subscribe("lounge")
    engine = here()
    present, hold = engine.broker.present, asyncio.Event()

    async def slow(topic: str) -> Any:
        found = await present(topic)
        await hold.wait()
        return found

    monkeypatch.setattr(engine.broker, "present", slow)
    engine.interrupted()
    await asyncio.sleep(0.01)
    await engine.broker.enter("lounge", "tab", "bob", shown="{}")
    hold.set()
    await asyncio.sleep(0.02)

    here_now = engine.topics["lounge"].present
    assert here_now is not None
    assert set(here_now.members) == {"ann", "bob"}


async def test_a_chore_that_waits_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, join: Any
) -> None:
    announced, hold = asyncio.Event(), asyncio.Event()

    async def stuck(engine: Any) -> None:
        await hold.wait()

    async def announce(engine: Any) -> None:
        announced.set()

    monkeypatch.setattr(upkeep, "announce", announce)
    monkeypatch.setattr(upkeep, "TICK", 0.01)
    await join()
    keeping_up = asyncio.create_task(upkeep.keep_up(here(), (0.001, stuck)))

    await asyncio.wait_for(announced.wait(), 5)

    keeping_up.cancel()
    hold.set()


async def test_a_broker_that_was_closed_is_replaced(faults: Faults) -> None:
    engine = here()
    await engine.broker.close()

    assert here() is not engine
    assert await apublish("room.7", 1)

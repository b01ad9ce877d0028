"""A process whose clients, topics and broker are not in step, without a broker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from channels._core.broadcast import Broadcast
from channels.exceptions import LayerUnavailableError
from channels.history.position import Excerpt, Position, Publication
from channels.topics import engine as engine_module
from channels.topics import topic as topic_module
from channels.topics.body import Body
from channels.topics.engine import Engine
from channels.topics.session import Limits, Session
from channels.topics.topic import Reliable, Topic
from tests.slow import SLOW

NAME = "log.1"


class Broker:
    """A history that others write, of which the process hears when the test says so."""

    def __init__(self) -> None:
        self.listener: Any = None
        self.epoch = "e1"
        self.bodies: list[bytes] = []
        self.listens: set[str] = set()
        self.reads = 0
        self.may_read = asyncio.Event()
        self.may_read.set()

    def __call__(self, listener: Any) -> Broker:
        self.listener = listener
        return self

    @property
    def topic_broker(self) -> Any:
        return self

    def add(self, *texts: str) -> None:
        """Keep what another process has published."""
        self.bodies += [Body(json.dumps(text)).pack() for text in texts]

    def tell(self, offset: int) -> None:
        """Tell the process of one, if it listens."""
        if NAME in self.listens:
            publication = Publication(offset, self.bodies[offset - 1])
            self.listener.arrived(NAME, self.epoch, publication)

    async def read(self, topic: str, after: int) -> Excerpt:
        self.reads += 1
        position = Position(self.epoch, len(self.bodies))
        found = [Publication(number, body) for number, body in enumerate(self.bodies, 1)][after:]
        await self.may_read.wait()
        return Excerpt(position, found)

    async def listen(self, topic: str) -> None:
        self.listens.add(topic)

    def unlisten(self, topic: str) -> None:
        self.listens.discard(topic)


class Peer:
    """A session, and the frames that it was sent."""

    def __init__(self, engine: Engine) -> None:
        self.frames: list[dict[str, Any]] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        Peer.count = getattr(Peer, "count", 0) + 1
        channel = f"channel{Peer.count}"
        self.session = Session(
            engine, channel, {"type": "websocket"}, send=self._send, close=_nothing,
            clean_up=_nothing, authenticate=_nothing, limits=Limits(),
        )  # fmt: skip
        engine.local._hub.attach(channel, self._read)
        self._inbox = engine.local._hub.channels[channel]
        self.events: list[Any] = []

    def _read(self) -> None:
        while (event := self._inbox.take()) is not None:  # type: ignore[union-attr]
            self.events.append(event)
            self.frames.append(json.loads(event["text"]))

    async def _send(self, text: str) -> None:
        await self.may_send.wait()
        self.frames.append(json.loads(text))

    async def subscribe(self, position: str | None = None) -> None:
        await self.session.receive('{"type":"hello"}')
        self.frames.clear()
        frame = {"type": "subscribe", "id": 1, "topic": NAME}
        await self.session.receive(
            json.dumps(frame if position is None else frame | {"position": position})
        )
        await settle()

    def data(self) -> list[str]:
        """Return what it was given, in order."""
        found = []
        for frame in self.frames:
            found += [each["data"] for each in frame.get("publications", ())]
            if frame["type"] == "publication":
                found.append(frame["data"])
        return found


async def _nothing(*args: Any) -> Any:
    return None


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def engine(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(topic_module, "_classes", {})
    topic_module._find.cache_clear()

    class Log(Topic, pattern="log.<int:number>"):
        delivery = Reliable()
        number: int

        async def authorize(self) -> bool:
            return True

    monkeypatch.setattr(engine_module, "PATIENCE", 0.05)
    yield Engine(broker, _nothing)  # type: ignore[misc]
    topic_module._find.cache_clear()


# A client that has heard more elsewhere than this process has.


async def test_a_client_that_is_ahead_of_the_process_is_told_of_no_gap(
    engine: Engine, broker: Broker
) -> None:
    early, late = Peer(engine), Peer(engine)
    await early.subscribe()
    broker.add("a", "b", "c")

    await late.subscribe("e1:2")

    assert late.frames == [
        {
            "type": "subscribed", "id": 1, "topic": NAME, "position": "e1:3", "recovered": True,
            "publications": [{"offset": 3, "data": "c"}],
        }
    ]  # fmt: skip
    assert early.data() == ["a", "b", "c"]


async def test_a_read_that_began_before_it_came_is_not_enough(
    engine: Engine, broker: Broker
) -> None:
    early, late = Peer(engine), Peer(engine)
    await early.subscribe()
    broker.may_read.clear()
    engine.interrupted()
    await settle()
    broker.add("a", "b")

    await late.subscribe("e1:2")
    broker.may_read.set()
    await settle()

    assert late.frames[0]["recovered"] is True
    assert late.frames[0]["position"] == "e1:2"


async def test_a_client_of_a_newer_epoch_than_the_process_knows_is_told_of_no_gap(
    engine: Engine, broker: Broker
) -> None:
    early, late = Peer(engine), Peer(engine)
    await early.subscribe()
    engine.topics[NAME].read_at -= 10
    broker.epoch = "e2"
    broker.add("a")

    await late.subscribe("e2:1")

    assert late.frames[0]["recovered"] is True
    assert [frame["type"] for frame in early.frames] == ["subscribed", "gap"]


async def test_thousands_of_an_old_epoch_cost_no_read_each(engine: Engine, broker: Broker) -> None:
    peers = [Peer(engine) for _ in range(100)]

    for peer in peers:
        await peer.subscribe("old:7")

    assert {peer.frames[0]["gap"] for peer in peers} == {"epoch"}
    assert broker.reads == 1


async def test_a_position_that_nobody_has_is_a_gap_after_one_read(
    engine: Engine, broker: Broker
) -> None:
    early, late = Peer(engine), Peer(engine)
    await early.subscribe()

    await late.subscribe("e1:7")

    assert late.frames[0]["gap"] == "future"
    assert broker.reads == 2


async def test_while_the_broker_is_silent_a_client_that_is_ahead_is_asked_to_try_again(
    engine: Engine, broker: Broker
) -> None:
    early, late = Peer(engine), Peer(engine)
    await early.subscribe()
    broker.may_read.clear()

    await late.subscribe("e1:2")
    await asyncio.sleep(0.1)

    assert late.frames[0]["code"] == "unavailable"


# A topic that somebody is about to have is not closed.


async def test_a_topic_stays_open_while_the_answer_to_a_subscribe_is_sent(
    engine: Engine, broker: Broker
) -> None:
    peer = Peer(engine)
    await peer.session.receive('{"type":"hello"}')
    peer.may_send.clear()
    await peer.session.receive(f'{{"type":"subscribe","id":1,"topic":"{NAME}"}}')
    await settle()

    engine.close_unused(engine.topics[NAME])
    peer.may_send.set()
    await settle()
    broker.add("a")
    broker.tell(1)

    assert peer.data() == ["a"]


async def test_a_topic_stays_open_while_somebody_waits_for_its_state(
    engine: Engine, broker: Broker
) -> None:
    broker.may_read.clear()
    peer = Peer(engine)
    await peer.subscribe()

    engine.close_unused(engine.topics[NAME])
    broker.may_read.set()
    await settle()

    assert [frame["type"] for frame in peer.frames] == ["subscribed"]


async def test_while_the_broker_is_silent_a_client_that_subscribes_is_asked_to_try_again(
    engine: Engine, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.may_read.clear()
    peer = Peer(engine)

    await peer.subscribe()
    async with asyncio.timeout(5 * SLOW):
        while not peer.frames:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)

    assert [frame["code"] for frame in peer.frames] == ["unavailable"]
    assert "topic log.1 could not be read within 0.05 s" in caplog.text
    broker.may_read.set()
    await settle()
    peer.frames.clear()
    await peer.subscribe()
    assert peer.frames[-1]["type"] == "subscribed"


async def test_a_topic_closes_after_a_client_that_left_before_the_answer(
    engine: Engine, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "LINGER", 0.0)
    broker.may_read.clear()
    peer = Peer(engine)
    await peer.subscribe()

    peer.session.end()
    await settle()
    await asyncio.sleep(0.01)

    assert engine.topics == {}
    assert broker.listens == set()


async def test_a_topic_that_is_opened_again_at_once_is_heard(
    engine: Engine, broker: Broker
) -> None:
    broker.may_read.clear()
    gone, peer = Peer(engine), Peer(engine)
    await gone.subscribe()
    gone.session.end()
    await settle()
    engine.close_unused(engine.topics[NAME])
    broker.may_read.set()

    await peer.subscribe()
    broker.add("a")
    broker.tell(1)

    assert peer.data() == ["a"]


async def test_a_topic_that_cannot_be_opened_is_not_kept(engine: Engine, broker: Broker) -> None:
    async def refuse(topic: str, after: int) -> Excerpt:
        raise LayerUnavailableError("deliberate")

    broker.read = refuse  # type: ignore[method-assign]
    peer = Peer(engine)

    await peer.subscribe()

    assert peer.frames[0]["code"] == "unavailable"
    assert engine.topics == {}
    assert broker.listens == set()


# One frame for all.


async def test_a_client_that_is_excluded_hears_of_it_behind_what_it_waits_for(
    engine: Engine, broker: Broker
) -> None:
    ann = Peer(engine)
    await ann.subscribe()
    for n in range(6000):
        engine.local._hub.attach(f"other{n}", lambda: None)
        engine.local.join(NAME, f"other{n}")
    # The last of the members, so that it gets each publication at the end.
    engine.local.leave(NAME, ann.session.channel)
    engine.local.join(NAME, ann.session.channel)
    ann.frames.clear()
    broker.add("by bob", "by ann", "by bob again")
    broker.bodies[1] = Body('"by ann"', ann.session.client).pack()

    for offset in (1, 2, 3):
        broker.tell(offset)
    async with asyncio.timeout(5 * SLOW):
        while len(ann.frames) < 3:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)

    assert [frame["offset"] for frame in ann.frames] == [1, 2, 3]
    assert [frame.get("skipped", False) for frame in ann.frames] == [False, True, False]


async def test_a_publication_is_made_into_one_frame_for_all_subscribers(
    engine: Engine, broker: Broker
) -> None:
    peers = [Peer(engine) for _ in range(3)]
    for peer in peers:
        await peer.subscribe()

    broker.add("a")
    broker.tell(1)

    [first], *others = [peer.events for peer in peers]
    assert type(first) is Broadcast
    # The server keeps its bytes with it: tests of framing see to that.
    assert all(other is first for [other] in others)

"""The history of topics: positions, what is kept, what is heard."""

# ruff: noqa: D102, S101 - a test's name is its docstring, and pytest explains its asserts
from __future__ import annotations

import asyncio
import itertools
import string
from typing import Any

from channels.history.position import Position, Publication
from channels.testing.contract.base import new_name
from channels.testing.contract.listening import KEPT, Arrival, Recorder, TopicBrokerSuite


class HistoryContract(TopicBrokerSuite):
    """Publications are numbered, kept within their bounds, and heard in order by all."""

    async def test_positions_are_consecutive_from_1(self, open_broker: Any) -> None:
        broker, topic = open_broker(Recorder()), new_name("topic")

        positions = await self.publish(broker, topic, *[b"body"] * 5)

        assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
        assert len({position.epoch for position in positions}) == 1
        assert Position.parse(str(positions[0])) == positions[0]

    async def test_every_process_that_listens_hears_a_publication_in_order(
        self, open_broker: Any
    ) -> None:
        heard, topic = [Recorder(), Recorder()], new_name("topic")
        brokers = [open_broker(each) for each in heard]
        for broker in brokers:
            await broker.listen(topic)

        positions = await self.publish(brokers[0], topic, b"1", b"2", b"3")

        for each in heard:
            await self.until(lambda each=each: len(each.arrivals) == 3)  # type: ignore[misc]
            assert each.arrivals == [
                Arrival(topic, position.epoch, Publication(position.offset, b"%d" % n))
                for n, position in enumerate(positions, start=1)
            ]

    async def test_only_what_is_listened_to_is_heard(self, open_broker: Any) -> None:
        heard, topics = Recorder(), [new_name("topic"), new_name("topic")]
        broker = open_broker(heard)
        await broker.listen(topics[0])

        await self.publish(broker, topics[1], b"unheard")
        await self.publish(broker, topics[0], b"heard")

        await self.until(lambda: heard.arrivals)
        assert heard.bodies(topics[1]) == []

    async def test_listening_twice_is_listening_once_and_ends_at_once(
        self, open_broker: Any
    ) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await asyncio.gather(broker.listen(topic), broker.listen(topic))
        await self.publish(broker, topic, b"1")
        await self.until(lambda: heard.arrivals)

        broker.unlisten(topic)
        broker.unlisten(topic)
        await self.publish(broker, topic, b"2")
        await asyncio.sleep(self.silence)
        await broker.listen(topic)
        await self.publish(broker, topic, b"3")

        await self.until(lambda: len(heard.arrivals) > 1)
        assert heard.bodies(topic) == [b"1", b"3"]

    async def test_reading_returns_what_came_after_an_offset(self, open_broker: Any) -> None:
        publisher, reader, topic = open_broker(Recorder()), open_broker(Recorder()), new_name("t")
        positions = await self.publish(publisher, topic, b"1", b"2", b"3", b"4")

        excerpts = {after: await reader.read(topic, after) for after in (0, 2, 4, 9)}

        assert {excerpt.position for excerpt in excerpts.values()} == {positions[-1]}
        kept = [Publication(n, b"%d" % n) for n in (1, 2, 3, 4)]
        assert excerpts[0].publications == kept
        assert excerpts[2].publications == kept[2:]
        assert excerpts[4].publications == excerpts[9].publications == []

    async def test_no_more_entries_are_kept_than_asked_for(self, open_broker: Any) -> None:
        broker, topic = open_broker(Recorder()), new_name("topic")
        bodies = [b"%d" % n for n in range(1, 11)]

        await self.publish(broker, topic, *bodies, retention=KEPT._replace(entries=3))

        assert (await broker.read(topic, 0)).publications == [
            Publication(n, b"%d" % n) for n in (8, 9, 10)
        ]
        # Fewer from now on.
        await self.publish(broker, topic, b"11", retention=KEPT._replace(entries=2))
        assert [each.offset for each in (await broker.read(topic, 0)).publications] == [10, 11]

    async def test_no_more_bytes_are_kept_than_asked_for_but_the_latest_always(
        self, open_broker: Any
    ) -> None:
        broker, topic = open_broker(Recorder()), new_name("topic")
        bounded = KEPT._replace(max_bytes=100)
        kept: list[list[int]] = []

        for size in (40, 40, 20, 1, 99, 1, 500, 30, 30, 40, 0, 1):
            await self.publish(broker, topic, b"x" * size, retention=bounded)
            excerpt = await broker.read(topic, 0)
            kept.append([len(each.body) for each in excerpt.publications])

        assert kept == [
            [40], [40, 40], [40, 40, 20], [40, 20, 1], [1, 99], [99, 1], [500], [30], [30, 30],
            [30, 30, 40], [30, 30, 40, 0], [30, 40, 0, 1],
        ]  # fmt: skip

    async def test_nothing_is_kept_longer_than_asked_for(self, open_broker: Any) -> None:
        broker, topic = open_broker(Recorder()), new_name("topic")
        brief = KEPT._replace(ttl=0.5)
        await self.publish(broker, topic, b"1", b"2", retention=brief)
        assert len((await broker.read(topic, 0)).publications) == 2

        await self.pass_time(0.3)
        await self.publish(broker, topic, b"3", retention=brief)
        await self.pass_time(0.3)

        assert [each.body for each in (await broker.read(topic, 0)).publications] == [b"3"]
        await self.publish(broker, topic, b"4", retention=brief)
        assert [each.body for each in (await broker.read(topic, 0)).publications] == [b"3", b"4"]
        await self.pass_time(0.6)
        assert (await broker.read(topic, 0)).publications == []

    async def test_a_publication_that_is_repeated_is_published_once(self, open_broker: Any) -> None:
        heard, topic, name = Recorder(), new_name("topic"), new_name("id")
        brokers = [open_broker(heard), open_broker(Recorder())]
        await brokers[0].listen(topic)

        again = [
            await broker.publish(topic, b"once", retention=KEPT, publication_id=name)
            for broker in (*brokers, *brokers)
        ]
        last = await self.publish(brokers[0], topic, b"last")

        assert [position.offset for position in again] == [1, 1, 1, 1]
        assert last[0].offset == 2
        await self.until(lambda: len(heard.arrivals) > 1)
        assert heard.bodies(topic) == [b"once", b"last"]

    async def test_publishers_at_once_get_positions_of_their_own_that_all_hear_in_order(
        self, open_broker: Any
    ) -> None:
        heard, topic = [Recorder(), Recorder()], new_name("topic")
        brokers = [open_broker(each) for each in heard]
        for broker in brokers:
            await broker.listen(topic)

        rounds = await asyncio.gather(
            *[self.publish(broker, topic, b"body") for broker in brokers for _ in range(50)]
        )

        offsets = sorted(position.offset for (position,) in rounds)
        assert offsets == list(range(1, 101))
        for each in heard:
            await self.until(lambda each=each: len(each.arrivals) == 100)  # type: ignore[misc]
            assert [arrival.publication.offset for arrival in each.arrivals] == offsets

    async def test_without_retention_nothing_is_numbered_or_kept(self, open_broker: Any) -> None:
        heard, topic = [Recorder(), Recorder()], new_name("topic")
        brokers = [open_broker(each) for each in heard]
        for broker in brokers:
            await broker.listen(topic)

        position = await brokers[0].publish(topic, b"!", retention=None, publication_id="1")

        assert position is None
        for each in heard:
            await self.until(lambda each=each: each.arrivals)  # type: ignore[misc]
            assert each.arrivals == [Arrival(topic, "", Publication(0, b"!"))]
        excerpt = await brokers[0].read(topic, 0)
        assert (excerpt.position.offset, excerpt.publications) == (0, [])

    async def test_a_topic_that_was_forgotten_begins_a_new_epoch(self, open_broker: Any) -> None:
        broker, topic = open_broker(Recorder()), new_name("topic")
        (old,) = await self.publish(broker, topic, b"old")

        await broker.forget(topic)
        excerpt = await broker.read(topic, 0)
        (new,) = await self.publish(broker, topic, b"new")

        assert excerpt.publications == []
        assert (excerpt.position.epoch, excerpt.position.offset) == (new.epoch, 0)
        assert (new.epoch != old.epoch, new.offset) == (True, 1)
        assert (await broker.read(topic, 0)).publications == [Publication(1, b"new")]

    async def test_a_topic_that_was_never_published_to_has_a_position_that_stays(
        self, open_broker: Any
    ) -> None:
        brokers, topic = [open_broker(Recorder()), open_broker(Recorder())], new_name("topic")

        first = (await brokers[0].read(topic, 0)).position
        second = (await brokers[1].positions([topic]))[0]
        (published,) = await self.publish(brokers[0], topic, b"body")

        assert first == second == Position(published.epoch, 0)
        assert published.offset == 1

    async def test_positions_come_in_the_order_of_their_topics(self, open_broker: Any) -> None:
        broker, topics = open_broker(Recorder()), [new_name("topic") for _ in range(30)]
        for count, topic in enumerate(topics):
            await self.publish(broker, topic, *[b"body"] * (count % 3))

        positions = await broker.positions(topics)

        assert [position.offset for position in positions] == [n % 3 for n in range(30)]
        assert positions == [(await broker.read(topic, 0)).position for topic in topics]
        assert await broker.positions([]) == []

    async def test_a_body_may_be_any_bytes(self, open_broker: Any) -> None:
        heard, topic = Recorder(), new_name("topic")
        broker = open_broker(heard)
        await broker.listen(topic)
        bodies = [b"", bytes(range(256)), b" \r\n\0 ", b"\xff" * 100_000, b"1:1 1"]

        await self.publish(broker, topic, *bodies)

        await self.until(lambda: len(heard.arrivals) == len(bodies))
        assert heard.bodies(topic) == bodies
        assert [each.body for each in (await broker.read(topic, 0)).publications] == bodies

    async def test_names_have_up_to_99_characters_of_every_legal_kind(
        self, open_broker: Any
    ) -> None:
        heard, broker = Recorder(), None
        broker = open_broker(heard)
        letters = itertools.cycle(f"{string.ascii_letters}{string.digits}._-")
        start = new_name("")
        names = [start + "".join(itertools.islice(letters, n - len(start))) for n in (40, 98, 99)]

        for name in names:
            await broker.listen(name)
            await self.publish(broker, name, name.encode())

        await self.until(lambda: len(heard.arrivals) == len(names))
        for name in names:
            assert heard.bodies(name) == [name.encode()]

    async def test_a_signal_reaches_every_process_that_listens(self, open_broker: Any) -> None:
        heard = [Recorder(), Recorder()]
        brokers = [open_broker(each) for each in heard]
        for broker in brokers:
            await broker.listen(new_name("topic"))

        body = new_name().encode() + b"\0\xff"
        await brokers[1].signal(body)

        for each in heard:
            await self.until(lambda each=each: body in each.signals)  # type: ignore[misc]

"""What a listening connection makes of the answers of its server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import hiredis
import pytest
import redis.exceptions

from channels_redis._hearing import confirmed
from channels_redis._lifeline import close_all
from channels_redis._subscriber import Kinds, Subscriber
from channels_redis._wire import Wire
from channels_redis.exceptions import RedisRefusedError
from tests.slow import SLOW


class FakeWire:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written: list[list[bytes]] = []

    def write(self, command: bytes) -> None:
        """Note a command."""
        reader = hiredis.Reader()
        reader.feed(command)
        self.written.append(cast("list[bytes]", reader.gets()))

    def close(self) -> None:
        """End nothing."""


async def never() -> asyncio.StreamWriter:
    raise AssertionError("nothing connects here")


def ignore(topic: bytes, payload: bytes) -> None:
    """Take a message and do nothing."""


@pytest.fixture
async def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
async def subscriber(wire: FakeWire) -> Any:
    subscriber = Subscriber(
        never,
        name="0",
        logger=logging.getLogger(__name__),
        restored=lambda: None,
        broke=lambda: None,
    )
    subscriber._wire = cast("Wire", wire)
    yield subscriber
    subscriber.close()


async def test_a_topic_that_was_given_up_in_between_is_confirmed_by_its_last_confirmation(
    subscriber: Subscriber, wire: FakeWire
) -> None:
    first = subscriber.subscribe(Kinds.TOPIC, "topic", ignore)
    subscriber.unsubscribe(Kinds.TOPIC, "topic")
    second = subscriber.subscribe(Kinds.TOPIC, "topic", ignore)
    assert [words[0] for words in wire.written] == [b"SUBSCRIBE", b"UNSUBSCRIBE", b"SUBSCRIBE"]

    subscriber._replied([b"subscribe", b"topic", 1])
    subscriber._replied([b"unsubscribe", b"topic", 0])
    assert not second.done()
    subscriber._replied([b"subscribe", b"topic", 1])

    assert first.cancelled()
    assert second.done()
    assert not subscriber._asked


async def test_a_message_goes_to_who_asked_for_its_topic_or_pattern(subscriber: Subscriber) -> None:
    taken: list[tuple[str, bytes, bytes]] = []
    for kind in (Kinds.TOPIC, Kinds.PATTERN, Kinds.SHARDED):
        subscriber.subscribe(kind, "t*", lambda *what, kind=kind: taken.append((kind, *what)))

    subscriber._replied([b"pmessage", b"t*", b"topic", b"1"])
    subscriber._replied([b"message", b"t*", b"2"])
    subscriber._replied([b"smessage", b"t*", b"3"])
    subscriber._replied([b"message", b"other", b"4"])

    assert taken == [("P", b"topic", b"1"), ("", b"t*", b"2"), ("S", b"t*", b"3")]


async def test_what_was_on_its_way_when_its_topic_was_given_up_is_for_nobody(
    subscriber: Subscriber,
) -> None:
    taken: list[bytes] = []
    subscriber.subscribe(Kinds.TOPIC, "topic", lambda topic, payload: taken.append(payload))
    subscriber._replied([b"message", b"topic", b"before"])
    subscriber.unsubscribe(Kinds.TOPIC, "topic")
    subscriber._replied([b"message", b"topic", b"after"])
    subscriber.subscribe(Kinds.TOPIC, "topic", lambda topic, payload: taken.append(payload))
    subscriber._replied([b"message", b"topic", b"again"])

    assert taken == [b"before", b"again"]


async def test_a_wrong_password_is_said_to_who_waits_and_the_topic_stays_wanted() -> None:
    attempts = 0

    async def refuse() -> asyncio.StreamWriter:
        nonlocal attempts
        attempts += 1
        raise redis.exceptions.AuthenticationError("invalid username-password pair")

    subscriber = Subscriber(
        refuse,
        name="0",
        logger=logging.getLogger(__name__),
        restored=lambda: None,
        broke=lambda: None,
    )
    try:
        for _ in range(2):
            with pytest.raises(RedisRefusedError, match="0 refuses this process: invalid username"):
                await confirmed(subscriber.subscribe(Kinds.TOPIC, "room", ignore), 5 * SLOW)
    finally:
        await close_all([subscriber])

    assert subscriber.topics == ["room"]
    assert attempts > 1

"""Publishing from anywhere."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction
from django.template import Context, Engine

from channels.exceptions import InvalidChannelLayerError, UnknownTopicError
from channels.layers import channel_layers
from channels.publish import aforget, apublish, forget, publish
from channels.topics import Presence, aposition, position
from tests.unit.channels.topics.conftest import (  # noqa: F401 - fixtures
    fresh_layer,
    join,
    only_these_topics,
    prices,
    room,
)

TEMPLATES = Engine(libraries={"topics": "channels.templatetags.topics"})

pytestmark = pytest.mark.usefixtures("fresh_layer", "room", "prices")


def test_sync_code_needs_no_event_loop() -> None:
    first, second = publish("room.7", 1), publish("room.7", 2)

    assert first is not None
    assert second == (first.epoch, 2)
    assert position("room.7") == str(second)
    assert publish("prices.ACME", 5) is None
    assert position("prices.ACME") == ""


async def test_async_code_awaits_and_is_told_so() -> None:
    found = await apublish("room.7", 1)

    assert await aposition("room.7") == str(found)
    with pytest.raises(SynchronousOnlyOperation, match=r"event loop; await apublish\(\) instead"):
        publish("room.7", 1)


async def test_what_a_thread_publishes_reaches_a_client_of_the_event_loop(join: Any) -> None:  # noqa: F811
    client = await join()
    await client.subscribe("room.7")

    await asyncio.to_thread(publish, "room.7", "from a thread")

    assert (await client.receive())["data"] == "from a thread"


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_it_waits_for_the_commit(self) -> None:
        before = position("room.7")
        with transaction.atomic():
            assert publish("room.7", 1) is None
            assert position("room.7") == before
        assert position("room.7").endswith(":1")

    def test_what_is_rolled_back_is_not_published(self) -> None:
        with transaction.atomic():
            publish("room.7", 1)
            transaction.set_rollback(True)

        assert position("room.7").endswith(":0")

    def test_it_does_not_wait_when_told_so(self) -> None:
        with transaction.atomic():
            found = publish("room.7", 1, after_commit=False)

            assert position("room.7") == str(found)


async def test_data_is_encoded_as_django_does(join: Any) -> None:  # noqa: F811
    client = await join()
    await client.subscribe("room.7")

    await apublish(
        "room.7",
        {
            "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
            "price": decimal.Decimal("1.50"),
            "id": uuid.UUID(int=1),
            "text": "ü\n\u2028",
        },
    )

    assert (await client.receive())["data"] == {
        "at": "2026-01-02T00:00:00Z",
        "price": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "text": "ü\n\u2028",
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"topic": "lobby", "data": 1}, UnknownTopicError, "no topic 'lobby'; known patterns: "),
        ({"topic": "room.7", "data": {1j}}, TypeError, "is not JSON serializable"),
        ({"topic": "room.7", "data": float("nan")}, ValueError, "not JSON compliant"),
        (
            {"topic": "room.7", "data": 1, "exclude": "a\nb"},
            ValueError,
            "exclude must be a string of at most 100 characters without line feeds, not 'a\\nb'",
        ),
        (
            {"topic": "room.7", "data": 1, "exclude": None},
            ValueError,
            "exclude must be a string of at most 100 characters without line feeds, not None",
        ),
        ({"topic": "room.7", "data": 1, "key": 7}, ValueError, "without line feeds, not 7"),
        ({"topic": "room.7", "data": 1, "key": "x" * 101}, ValueError, "key must be a string of"),
    ],
)
def test_what_cannot_be_published_is_refused_and_nothing_is(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        publish(**arguments)

    assert message in str(raised.value)
    assert position("room.7").endswith(":0")


async def test_what_is_forgotten_is_gone() -> None:
    await apublish("room.7", 1)
    before = await aposition("room.7")

    await aforget("room.7")

    after = await aposition("room.7")
    assert after.endswith(":0")
    assert after.partition(":")[0] != before.partition(":")[0]


def test_a_topic_is_forgotten_from_sync_code() -> None:
    publish("room.7", 1)

    forget("room.7")

    assert position("room.7").endswith(":0")


def test_a_template_has_the_position() -> None:
    found = publish("room.7", 1)

    page = TEMPLATES.from_string(
        '{% load topics %}{% topic_position "room.7" as at %}<p data-at="{{ at }}">'
    )

    assert page.render(Context()) == f'<p data-at="{found}">'


async def test_a_template_of_an_async_view_has_the_position() -> None:
    found = await apublish("room.7", 1)

    page = TEMPLATES.from_string('{% load topics %}{% topic_position "room.7" %}')

    assert page.render(Context()) == str(found)


def test_a_layer_that_cannot_keep_topics_says_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        pass

    monkeypatch.setitem(channel_layers.backends, "default", Other())

    with pytest.raises(InvalidChannelLayerError) as error:
        publish("room.7", 1)

    assert str(error.value) == (
        "topics need a channel layer that keeps them, but Other cannot keep them; expected "
        "InMemoryChannelLayer, or one of channels_redis, as 'default' in CHANNEL_LAYERS"
    )


async def test_presence_is_asked_on_the_server(join: Any) -> None:  # noqa: F811
    from channels.topics import Topic

    class Lounge(Topic, pattern="lounge"):
        presence = True

        def authorize(self) -> bool:
            return True

        def member(self) -> str:
            return "ann"

        def shown(self) -> Any:
            return {"name": "Ann"}

    client = await join()
    await client.subscribe("lounge")

    assert await Presence("lounge").alist() == {"ann": {"name": "Ann"}}
    assert await Presence("lounge").acount() == 1
    assert await asyncio.to_thread(Presence("lounge").list) == {"ann": {"name": "Ann"}}
    assert await asyncio.to_thread(Presence("lounge").count) == 1

"""The outbox, while a real Redis ends and comes back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from channels.outbox.models import Entry
from channels.publish import publish
from channels.topics import Reliable, Topic
from channels.topics.body import Body
from channels.topics.site import run
from tests.servers import engines
from tests.servers.engines import Server

TOPIC = "deliveries.1"


class Deliveries(Topic, pattern="deliveries.<int:pk>"):
    """Of this test."""

    delivery = Reliable()
    pk: int


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    engine = engines.single(tmp_path / "0", keeps_data=True)
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": engine.hosts}}
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        yield engine.servers[0]
        run(lambda each: each.layer.close_pools())
    engine.stop()


def published() -> list[str]:
    excerpt = run(lambda engine: engine.broker.read(TOPIC, 0))
    return [Body.unpack(each.body).text for each in excerpt.publications]


@pytest.mark.django_db(transaction=True)
def test_what_is_published_while_redis_is_away_comes_in_order_when_it_is_back(
    server: Server,
) -> None:
    publish(TOPIC, 1, outbox=True)
    server.kill()
    with transaction.atomic():
        publish(TOPIC, 2, outbox=True)
        publish(TOPIC, 3, outbox=True)
    with pytest.raises(CommandError, match="some have to wait"):
        call_command("relay_outbox", "--once", stdout=io.StringIO())
    assert Entry.objects.count() == 2
    server.start()

    publish(TOPIC, 4, outbox=True)

    assert published() == ["1", "2", "3", "4"]
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_publication_whose_answer_was_late_is_not_doubled(server: Server) -> None:
    publish(TOPIC, 1, outbox=True)
    server.pause()
    # It reaches Redis, which does it when it goes on.
    publish(TOPIC, 2, outbox=True)
    assert Entry.objects.count() == 1
    server.resume()

    call_command("relay_outbox", "--once", stdout=io.StringIO())

    assert published() == ["1", "2"]
    assert not Entry.objects.exists()

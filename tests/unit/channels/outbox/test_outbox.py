"""Publications within transactions, kept until the broker has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from django.test import modify_settings

from channels import telemetry
from channels.exceptions import UnknownTopicError
from channels.outbox import relaying
from channels.outbox.models import Entry
from channels.outbox.relaying import Relayed, relay, relay_topic
from channels.publish import publish
from tests.unit.channels.outbox.conftest import Broker

Published = Callable[[str], list[str]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def delayed() -> Iterator[list[str]]:
    """The topics that had to wait, as telemetry tells of them."""
    events: list[telemetry.Event] = []
    stop = telemetry.subscribe(events.append)
    topics: list[str] = []
    yield topics
    stop()
    topics.extend(e.topic for e in events if isinstance(e, telemetry.PublicationDelayed))


def waiting() -> int:
    return Entry.objects.count()


def test_it_is_published_after_the_commit_and_its_row_deleted(
    topic: str, published: Published
) -> None:
    with transaction.atomic():
        assert publish(topic, {"n": 1}, outbox=True) is None
        publish(topic, {"n": 2}, outbox=True)
        before, rows = published(topic), waiting()

    assert (before, rows) == ([], 2)
    assert published(topic) == ['{"n":1}', '{"n":2}']
    assert waiting() == 0


def test_outside_of_a_transaction_it_is_published_at_once(topic: str, published: Published) -> None:
    publish(topic, "now", outbox=True)

    assert (published(topic), waiting()) == (['"now"'], 0)


def test_what_is_rolled_back_is_never_published(topic: str, published: Published) -> None:
    with transaction.atomic():
        publish(topic, "lost", outbox=True)
        transaction.set_rollback(True)
    with transaction.atomic():
        publish(topic, "kept", outbox=True)
        with transaction.atomic():
            publish(topic, "also lost", outbox=True)
            transaction.set_rollback(True)

    assert (published(topic), waiting()) == (['"kept"'], 0)


def test_a_broker_that_is_out_is_no_error_of_the_caller(
    topic: str, published: Published, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    before = telemetry.totals["PublicationDelayed"]
    broker.go_out()

    with caplog.at_level(logging.WARNING, "django.channels.topics"), transaction.atomic():
        publish(topic, 1, outbox=True)

    assert (published(topic), waiting()) == ([], 1)
    assert telemetry.totals["PublicationDelayed"] == before + 1
    assert f"{topic} has to wait in the outbox: out" in caplog.text


def test_an_error_of_the_broker_s_own_is_none_of_the_caller_either(
    topic: str, broker: Broker
) -> None:
    broker.error = RuntimeError("out of memory")

    publish(topic, 1, outbox=True)

    assert waiting() == 1


def test_a_database_that_fails_after_the_commit_is_no_error_of_the_caller(
    topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("deadlock")

    monkeypatch.setattr(relaying, "relay_topic", fail)

    with transaction.atomic():
        publish(topic, 1, outbox=True)

    assert waiting() == 1
    assert "deadlock" in caplog.text


def test_what_waits_is_published_before_what_comes_later(
    topic: str, published: Published, broker: Broker
) -> None:
    broker.go_out()
    publish(topic, 1, outbox=True)
    publish(topic, 2, outbox=True)
    broker.come_back()

    publish(topic, 3, outbox=True)

    assert (published(topic), waiting()) == (["1", "2", "3"], 0)


def test_behind_a_refused_publication_the_rest_of_its_topic_waits(topic: str) -> None:
    entries = [Entry.objects.create(topic=topic, body=b"\n\n1") for _ in range(3)]
    asked: list[Entry] = []

    def send(entry: Entry) -> None:
        asked.append(entry)
        if entry == entries[1]:
            raise ConnectionError("refused")

    sent, _ = relay_topic(topic, using="default", send=send)

    assert (sent, asked) == (1, entries[:2])
    assert list(Entry.objects.order_by("pk")) == entries[1:]


def test_a_lost_answer_does_not_double(topic: str, published: Published, broker: Broker) -> None:
    broker.go_out(loses_answer=True)
    publish(topic, 1, outbox=True)
    assert (published(topic), waiting()) == (["1"], 1)
    broker.come_back()

    assert relay(using="default") == (1, None)

    assert (published(topic), waiting()) == (["1"], 0)


def test_of_many_in_one_transaction_one_waits_for_the_broker(
    topic: str, broker: Broker, published: Published, delayed: list[str]
) -> None:
    broker.go_out()

    with transaction.atomic():
        for number in range(20):
            publish(f"{topic}-{number}", number, outbox=True)

    assert (broker.calls, waiting()) == (1, 20)
    broker.come_back()
    assert relay(using="default") == (20, None)
    assert published(f"{topic}-19") == ["19"]


def test_more_than_fit_in_one_go_are_all_sent(
    topic: str, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "AT_ONCE", 3)

    with transaction.atomic():
        for number in range(10):
            publish(topic, number, outbox=True)

    assert (published(topic), waiting()) == ([str(number) for number in range(10)], 0)


def test_wrong_data_are_the_caller_s_error(topic: str) -> None:
    with pytest.raises(TypeError):
        publish(topic, object(), outbox=True)
    with pytest.raises(UnknownTopicError):
        publish("no.such", 1, outbox=True)
    with pytest.raises(ValueError, match="after the commit"):
        publish(topic, 1, outbox=True, after_commit=False)

    assert waiting() == 0


@modify_settings(INSTALLED_APPS={"remove": "channels.outbox"})
def test_without_the_app_the_error_says_what_to_install(topic: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'channels\.outbox' in INSTALLED_APPS"):
        publish(topic, 1, outbox=True)


def test_a_topic_without_a_class_waits_and_holds_up_no_other(
    topic: str, published: Published
) -> None:
    Entry.objects.create(topic="gone.1", body=b"\n\n1")
    Entry.objects.create(topic=topic, body=b"\n\n1")

    sent, error = relay(using="default")

    assert (sent, type(error)) == (1, UnknownTopicError)
    assert published(topic) == ["1"]
    assert [entry.topic for entry in Entry.objects.all()] == ["gone.1"]
    assert str(Entry.objects.get()).startswith("gone.1 #")


def test_after_some_failures_in_a_row_the_rest_is_left_for_later(topic: str) -> None:
    for number in range(10):
        Entry.objects.create(topic=f"{topic}-{number}", body=b"\n\n1")
    asked: list[str] = []

    def send(entry: Entry) -> None:
        asked.append(entry.topic)
        raise ConnectionError("out")

    sent, error = relay(using="default", send=send)

    assert (sent, str(error)) == (0, "out")
    assert len(asked) == relaying.ENOUGH


def test_a_relay_that_is_to_end_does_so_between_topics(topic: str) -> None:
    for number in range(3):
        Entry.objects.create(topic=f"{topic}-{number}", body=b"\n\n1")
    asked: list[Any] = []

    assert relay(using="default", send=asked.append, is_over=lambda: bool(asked)) == (1, None)


class TestWithLocks:
    """Where the database can skip locked rows; SQLite is made to look so."""

    @pytest.fixture(autouse=True)
    def _can_lock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", True)

    def test_what_was_acknowledged_before_an_error_is_deleted(self, topic: str) -> None:
        for _ in range(3):
            Entry.objects.create(topic=topic, body=b"\n\n1")
        asked: list[Entry] = []

        def send(entry: Entry) -> None:
            assert connection.in_atomic_block
            asked.append(entry)
            if len(asked) == 3:
                raise ConnectionError("out")

        sent, error = relay_topic(topic, using="default", send=send)

        assert (sent, str(error)) == (2, "out")
        assert list(Entry.objects.all()) == [asked[2]]

    def test_what_another_relay_has_locked_meanwhile_is_left_to_it(
        self, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entries = [Entry.objects.create(topic=topic, body=b"\n\n1") for _ in range(3)]
        lock = relaying._lock
        monkeypatch.setattr(
            relaying, "_lock", lambda rows: [pk for pk in lock(rows) if pk != entries[1].pk]
        )
        asked: list[Any] = []

        relaying._send_first(topic, "default", asked.append)

        assert asked == entries
        assert list(Entry.objects.all()) == [entries[1]]

    def test_a_topic_that_another_process_relays_is_left_to_it(
        self, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Entry.objects.create(topic=topic, body=b"\n\n1")
        skipping = Entry.objects.none()
        monkeypatch.setattr(
            type(skipping), "select_for_update", lambda self, **options: self.none()
        )

        assert relay_topic(topic, using="default") == Relayed(0, None)
        assert waiting() == 1

"""The command ``relay_outbox``."""

from __future__ import annotations

import io
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError

from channels.outbox import relaying
from channels.outbox.models import Entry
from channels.outbox.relaying import Relayed, relay_until
from tests.unit.channels.outbox.conftest import Broker

Published = Callable[[str], list[str]]


@pytest.mark.django_db(transaction=True)
def test_once_sends_what_waits(topic: str, published: Published) -> None:
    Entry.objects.create(topic=topic, body=b"\n\n1")
    output = io.StringIO()

    call_command("relay_outbox", "--once", stdout=output)

    assert (output.getvalue(), published(topic)) == ("1 sent\n", ["1"])


@pytest.mark.django_db(transaction=True)
def test_once_fails_if_something_has_to_wait(topic: str, broker: Broker) -> None:
    Entry.objects.create(topic=topic, body=b"\n\n1")
    broker.go_out()

    with pytest.raises(CommandError, match="some have to wait: out"):
        call_command("relay_outbox", "--once", stdout=io.StringIO())


def test_an_interval_is_above_nothing() -> None:
    with pytest.raises(CommandError, match="expected above 0"):
        call_command("relay_outbox", "--interval", "0")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_relays_until_it_is_signalled(
    topic: str, published: Published, number: signal.Signals
) -> None:
    Entry.objects.create(topic=topic, body=b"\n\n1")
    before = signal.getsignal(number)

    def end_it() -> None:
        while not published(topic):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    watching = threading.Thread(target=end_it)
    watching.start()
    call_command("relay_outbox", "--interval", "0.01")
    watching.join()

    assert not Entry.objects.exists()
    assert signal.getsignal(number) is before


class Ended:
    """Stands for a queue; nobody waits, and after as many looks as it is given it is over."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.waited: list[float] = []

    def empty(self) -> bool:
        return True

    def get(self, timeout: float) -> None:
        self.waited.append(timeout)
        if len(self.waited) < self.looks:
            raise queue.Empty


@pytest.mark.parametrize(
    "error",
    [
        Relayed(0, ConnectionError("out")),
        OperationalError("no database"),
        InterfaceError("connection already closed"),
    ],
    ids=["", "db", "db-connection"],
)
def test_while_nothing_can_be_sent_it_looks_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = [error] * 6 + [Relayed(1, ConnectionError("one shard")), Relayed(0, None)]
    monkeypatch.setattr(relaying, "close_old_connections", lambda: None)

    def relay(**options: Any) -> Relayed:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(relaying, "relay", relay)
    ended = Ended(8)

    relay_until(ended, using="default", interval=2.0)  # type: ignore[arg-type]

    assert ended.waited == [4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 2.0, 2.0]
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 7


def test_an_interval_may_be_longer_than_the_longest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "close_old_connections", lambda: None)
    monkeypatch.setattr(relaying, "relay", lambda **_: Relayed(0, ConnectionError("out")))
    ended = Ended(2)

    relay_until(ended, using="default", interval=60.0)  # type: ignore[arg-type]

    assert ended.waited == [60.0, 60.0]

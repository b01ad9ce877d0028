"""What happened is counted, and told to whoever asked."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from channels import telemetry
from channels.telemetry import HandlerCancelled, ListenerRestarted, MessageDropped, SendIgnored


@pytest.fixture(autouse=True)
def _fresh_totals() -> Iterator[None]:
    before = Counter(telemetry.totals)
    telemetry.totals.clear()
    yield
    telemetry.totals.clear()
    telemetry.totals.update(before)


def test_each_event_is_counted_by_its_name() -> None:
    telemetry.emit(SendIgnored("websocket.send"))
    telemetry.emit(SendIgnored("websocket.close"))
    telemetry.emit(HandlerCancelled("app.Chat", "a line"))
    telemetry.emit(ListenerRestarted("thumbs", "KeyError"))

    assert telemetry.totals == {"SendIgnored": 2, "HandlerCancelled": 1, "ListenerRestarted": 1}


def test_drops_are_counted_by_reason_and_by_how_many_they_were() -> None:
    telemetry.emit(MessageDropped("a", "full"))
    telemetry.emit(MessageDropped("b", "full"))
    telemetry.emit(MessageDropped("a", "expired", 40))

    assert telemetry.totals == {"MessageDropped.full": 2, "MessageDropped.expired": 40}


def test_a_subscriber_is_told_until_it_has_had_enough() -> None:
    told: list[telemetry.Event] = []
    stop = telemetry.subscribe(told.append)
    telemetry.emit(SendIgnored("websocket.send"))

    stop()
    telemetry.emit(SendIgnored("websocket.close"))

    assert told == [SendIgnored("websocket.send")]


def test_a_subscriber_may_end_its_subscription_while_it_is_told() -> None:
    told: list[str] = []

    def once(event: telemetry.Event) -> None:
        told.append("once")
        stop_once()

    stop_once = telemetry.subscribe(once)
    stop = telemetry.subscribe(lambda event: told.append("always"))

    telemetry.emit(SendIgnored("x"))
    telemetry.emit(SendIgnored("x"))
    stop()

    assert told == ["once", "always", "always"]


def test_an_event_is_counted_before_subscribers_hear_of_it() -> None:
    seen: list[int] = []
    stop = telemetry.subscribe(lambda event: seen.append(telemetry.totals["SendIgnored"]))

    telemetry.emit(SendIgnored("x"))
    stop()

    assert seen == [1]


def test_threads_that_count_at_the_same_time_lose_nothing() -> None:
    rounds, threads = 2_000, 4
    interval = sys.getswitchinterval()
    start = threading.Barrier(threads)

    def count() -> None:
        start.wait()
        for number in range(rounds):
            telemetry.emit(MessageDropped("a", f"reason {number}"))

    workers = [threading.Thread(target=count) for _ in range(threads)]
    sys.setswitchinterval(1e-6)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)

    assert sum(telemetry.totals.values()) == rounds * threads


def test_a_subscriber_that_fails_is_logged_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[telemetry.Event] = []

    def fail(event: telemetry.Event) -> None:
        raise LookupError("the subscriber's own error")

    ends = [telemetry.subscribe(fail), telemetry.subscribe(seen.append)]
    telemetry.emit(telemetry.SendIgnored("websocket.send"))
    for end in ends:
        end()

    assert seen == [telemetry.SendIgnored("websocket.send")]
    assert "the subscriber's own error" in caplog.text

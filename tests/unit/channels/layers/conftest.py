"""A clock that the test moves, and what telemetry was told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels import telemetry


class Clock:
    """Stands in for the module ``time`` where a layer reads it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock that stands still until ``clock.now`` is changed."""
    stopped = Clock()
    monkeypatch.setattr("channels.layers.hub.time", stopped)
    monkeypatch.setattr("channels.layers.inbox.time", stopped)
    return stopped


@pytest.fixture
def told() -> Iterator[list[telemetry.Event]]:
    """Return the list that grows by every event of telemetry."""
    events: list[telemetry.Event] = []
    stop = telemetry.subscribe(events.append)
    yield events
    stop()

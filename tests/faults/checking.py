"""Whether clients of reliable topics saw everything that was published. Pure.

For each client and topic there is a story: where it began, what it was given, and where it was told
that something cannot be had. The checker believes none of the client's own judgement: it looks at
the positions, and at the data behind them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from channels.history.position import Position


class Published(NamedTuple):
    """What ``publish`` returned for, in the order in which it did."""

    topic: str
    position: Position
    data: str


class Began(NamedTuple):
    """The client is subscribed, and knows everything up to ``position``."""

    position: Position


class Took(NamedTuple):
    """The client was given a publication."""

    position: Position
    data: str


class Gap(NamedTuple):
    """The client was told to go on from ``position``."""

    position: Position
    reason: str


Event = Began | Took | Gap
Story = list[Event]


class Fault(NamedTuple):
    """Something is wrong with what a client saw."""

    kind: str
    client: str
    topic: str
    detail: str


def check(published: Iterable[Published], stories: Mapping[tuple[str, str], Story]) -> list[Fault]:
    """Return all that is wrong.

    Args:
        published: What was published, in the order of each topic.
        stories: By client and topic; each went on until after the last publication.
    """
    by_topic: dict[str, list[Published]] = defaultdict(list)
    for each in published:
        by_topic[each.topic].append(each)
    return [
        fault
        for (client, topic), story in stories.items()
        for fault in _Reader(client, topic).read(story, by_topic[topic])
    ]


def gaps(stories: Mapping[tuple[str, str], Story]) -> list[Gap]:
    """Return every gap that a client was told of."""
    return [event for story in stories.values() for event in story if isinstance(event, Gap)]


class _Reader:
    """Reads one story."""

    def __init__(self, client: str, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._at: Position | None = None
        self._seen: dict[Position, str] = {}
        # Data since the last gap: behind one, what is old may come again.
        self._fresh: set[str] = set()
        self._steps: list[tuple[Position, Position]] = []
        self._faults: list[Fault] = []

    def read(self, story: Story, published: list[Published]) -> list[Fault]:
        for event in story:
            match event:
                case Began(position):
                    self._begin(position)
                case Took(position, data):
                    self._take(position, data)
                case Gap(position):
                    self._step(position)
        for each in published:
            self._compare(each, published[-1].position.epoch)
        return self._faults

    def _begin(self, position: Position) -> None:
        if self._at is not None:
            self._complain("begun again", f"at {position} after {self._at}")
        self._step(position)

    def _step(self, position: Position) -> None:
        start = Position(position.epoch, 0) if self._at is None else self._at
        self._steps.append((start, position))
        self._at = position
        self._fresh.clear()

    def _take(self, position: Position, data: str) -> None:
        at = self._at
        if at is None:
            self._complain("early", f"{position} before it was subscribed")
        elif position.epoch != at.epoch:
            self._complain("strange", f"{position} after {at}")
        elif position.offset <= at.offset:
            self._complain("again", f"{position} after {at}")
        elif position.offset > at.offset + 1:
            self._complain("hole", f"{position} after {at}")
        if data in self._fresh:
            self._complain("twice", f"{data!r}, now at {position}")
        self._fresh.add(data)
        self._seen[position] = data
        self._at = position

    def _compare(self, each: Published, last_epoch: str) -> None:
        seen = self._seen.get(each.position)
        if seen is None:
            if not self._is_excused(each.position, last_epoch):
                self._complain("lost", f"{each.data!r} at {each.position}")
        elif seen != each.data:
            self._complain("other", f"{seen!r} at {each.position} instead of {each.data!r}")

    def _is_excused(self, position: Position, last_epoch: str) -> bool:
        epoch, offset = position
        for start, end in self._steps:
            if start.epoch == end.epoch == epoch:
                if start.offset < offset <= end.offset:
                    return True
            elif (epoch == start.epoch and offset > start.offset) or (
                epoch == end.epoch and offset <= end.offset
            ):
                return True
        # An epoch that ended while the client was away lies within the step over it.
        known = {one.epoch for step in self._steps for one in step}
        return epoch not in known and epoch != last_epoch and len(self._steps) > 1

    def _complain(self, kind: str, detail: str) -> None:
        self._faults.append(Fault(kind, self._client, self._topic, detail))

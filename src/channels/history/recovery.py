"""Catching up from a position: what was read and what came meanwhile, in order and once. Pure."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from channels.history.position import Excerpt, Position, Publication, Retention

Live = tuple[str, Publication]
"""An epoch, and what was published in it."""


class GapReason(enum.StrEnum):
    """Why what lies between a position and the present cannot be had.

    Attributes:
        TRIMMED: The position is older than what is kept.
        EPOCH: It is of another history.
        FUTURE: It is ahead of the topic.
    """

    TRIMMED = "trimmed"
    EPOCH = "epoch"
    FUTURE = "future"


class Recovery(NamedTuple):
    """What to do next.

    Attributes:
        position: Where one stands afterwards.
        publications: What to take, in order; without a gap, all after the position one had.
        gap: Why it is not everything, or ``None``.
    """

    position: Position
    publications: list[Publication]
    gap: GapReason | None = None


def recover(known: Position, excerpt: Excerpt) -> Recovery:
    """Judge what was read after ``known``."""
    position, publications = excerpt
    if position.epoch != known.epoch:
        return Recovery(position, publications, GapReason.EPOCH)
    if position.offset < known.offset:
        return Recovery(position, [], GapReason.FUTURE)
    fresh = [each for each in publications if each.offset > known.offset]
    if len(fresh) < position.offset - known.offset:
        return Recovery(position, fresh, GapReason.TRIMMED)
    return Recovery(position, fresh)


def merge(known: Position, excerpt: Excerpt, live: Iterable[Live]) -> Recovery:
    """Join what was read after ``known`` with what arrived while it was being read.

    Each offset is taken once and in order. What arrived beyond a hole is left out: it is read next
    time.

    Args:
        known: The position one had.
        excerpt: What was read after its offset.
        live: What arrived, in any order, doubled or with holes.
    """
    caught_up = recover(known, excerpt)
    position = caught_up.position
    publications = list(caught_up.publications)
    later = {each.offset: each for epoch, each in live if epoch == position.epoch}
    offset = position.offset
    while (following := later.get(offset + 1)) is not None:
        publications.append(following)
        offset += 1
    return Recovery(Position(position.epoch, offset), publications, caught_up.gap)


class Log:
    """The latest publications of a topic, within bounds.

    Args:
        retention: The bounds.
        position: Where the topic stands.

    Attributes:
        position: Where it stands now.
        retention: The bounds from now on.
    """

    __slots__ = ("_bytes", "_entries", "position", "retention")

    def __init__(self, retention: Retention, position: Position) -> None:
        self.position: Position = position
        self.retention: Retention = retention
        self._entries: deque[tuple[float, Publication]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Count what is kept."""
        return len(self._entries)

    def append(self, publication: Publication, now: float) -> None:
        """Keep the next publication. O(1) amortised.

        Raises:
            ValueError: It is not the next.
        """
        if publication.offset != self.position.offset + 1:
            raise ValueError(
                f"expected offset {self.position.offset + 1}, got {publication.offset}"
            )
        self.position = Position(self.position.epoch, publication.offset)
        self._entries.append((now, publication))
        self._bytes += len(publication.body)
        self.trim(now)

    def trim(self, now: float) -> None:
        """Drop what is over the bounds."""
        entries, retention = self._entries, self.retention
        while entries and (
            len(entries) > retention.entries
            or (self._bytes > retention.max_bytes and len(entries) > 1)
            or entries[0][0] + retention.ttl <= now
        ):
            self._bytes -= len(entries.popleft()[1].body)

    def after(self, offset: int) -> Excerpt:
        """Return what is kept after ``offset``. O(what is returned)."""
        return Excerpt(self.position, self.latest(self.position.offset - offset))

    def latest(self, count: int) -> list[Publication]:
        """Return the latest ``count`` that are kept, in order. O(count)."""
        found: list[Publication] = []
        if count > 0:
            for _, publication in reversed(self._entries):
                found.append(publication)
                if len(found) == count:
                    break
        found.reverse()
        return found

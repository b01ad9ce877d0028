"""A feed hands on every publication once and in order, whatever is lost on the way to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from channels.history.position import Excerpt, Position, Publication, Retention
from channels.history.recovery import GapReason, Log
from channels.topics.feed import Feed

RETENTION = Retention(entries=10, max_bytes=10_000, ttl=1000.0)


def publication(offset: int) -> Publication:
    return Publication(offset, b"%d" % offset)


def started(offset: int = 0) -> Feed:
    feed = Feed(RETENTION)
    feed.begin(Excerpt(Position("e", offset), []), 0.0)
    return feed


def test_the_next_is_handed_on_and_a_double_is_not() -> None:
    feed = started()

    taken = [feed.take("e", publication(offset), 0.0) for offset in (1, 2, 2, 1, 3)]

    assert taken == [True, True, False, False, True]
    assert feed.position == ("e", 3)
    assert not feed.is_behind


def test_behind_a_hole_it_waits_for_what_is_missing() -> None:
    feed = started()
    assert not feed.take("e", publication(2), 0.0)
    assert feed.is_behind
    assert not feed.take("e", publication(3), 0.0)

    recovery = feed.catch_up(Excerpt(Position("e", 2), [publication(1), publication(2)]), 0.0)

    assert [each.offset for each in recovery.publications] == [1, 2, 3]
    assert feed.position == ("e", 3)
    assert not feed.is_behind


def test_another_epoch_is_a_gap_and_nothing_changes_before_it_begins_anew() -> None:
    feed = started(5)
    feed.take("f", publication(1), 0.0)

    recovery = feed.catch_up(Excerpt(Position("f", 1), []), 0.0)

    assert recovery.gap is GapReason.EPOCH
    assert feed.position == ("e", 5)
    feed.begin(Excerpt(Position("f", 1), [publication(1)]), 0.0)
    assert feed.position == ("f", 1)
    assert not feed.is_behind


def test_a_client_gets_what_came_after_its_position() -> None:
    feed = started()
    for offset in range(1, 16):
        feed.take("e", publication(offset), 0.0)

    since = [each.offset for each in feed.since(Position("e", 12)).publications]
    reasons = [feed.since(Position(*position)).gap for position in (("e", 3), ("x", 12), ("e", 16))]

    assert since == [13, 14, 15]
    assert reasons == [GapReason.TRIMMED, GapReason.EPOCH, GapReason.FUTURE]
    assert [each.offset for each in feed.latest(2, 0.0)] == [14, 15]


def test_it_must_begin_first() -> None:
    with pytest.raises(RuntimeError, match="begins before it catches up"):
        Feed(RETENTION).catch_up(Excerpt(Position("e", 0), []), 0.0)
    with pytest.raises(RuntimeError, match="has not begun"):
        Feed(RETENTION).latest(1, 0.0)


class Feeds(RuleBasedStateMachine):
    """A topic, the way to one process, and the feed there."""

    @initialize()
    def begin(self) -> None:
        self.epochs = 0
        self.forget()
        self.feed = Feed(RETENTION)
        self.on_the_way: list[tuple[str, Publication]] = []
        self.reading: Excerpt | None = None
        self.seen: list[Any] = []
        self.feed.begin(self.log.after(0), 0.0)
        self.seen_position = self.feed.position

    @rule()
    def publish(self) -> None:
        each = publication(self.log.position.offset + 1)
        self.log.append(each, 0.0)
        self.on_the_way.append((self.log.position.epoch, each))

    @rule()
    def forget(self) -> None:
        self.epochs += 1
        self.log = Log(RETENTION, Position(f"epoch{self.epochs}", 0))

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if self.on_the_way:
            del self.on_the_way[data.draw(st.integers(0, len(self.on_the_way) - 1))]

    @rule(doubled=st.booleans())
    def arrive(self, doubled: bool) -> None:
        if self.on_the_way:
            epoch, each = self.on_the_way[0] if doubled else self.on_the_way.pop(0)
            if self.feed.take(epoch, each, 0.0):
                self.hand_on([each])

    @rule()
    def read(self) -> None:
        position = self.feed.position
        assert position is not None
        self.feed.is_behind = True
        self.reading = self.log.after(position.offset)

    @rule()
    def answer(self) -> None:
        if self.reading is not None:
            recovery = self.feed.catch_up(self.reading, 0.0)
            self.reading = None
            if recovery.gap is None:
                self.hand_on(recovery.publications)
            else:
                self.feed.begin(self.log.after(0), 0.0)
                self.seen_position = self.feed.position

    def hand_on(self, publications: list[Publication]) -> None:
        for each in publications:
            assert self.seen_position is not None
            assert each.offset == self.seen_position.offset + 1
            self.seen_position = Position(self.seen_position.epoch, each.offset)

    @invariant()
    def clients_have_what_the_feed_has(self) -> None:
        assert self.feed.position == self.seen_position

    def teardown(self) -> None:
        # When nothing more is lost, two readings make it complete: one may find a gap.
        if hasattr(self, "feed"):
            for _ in range(2):
                self.read()
                self.answer()
            assert self.feed.position == self.log.position
            assert not self.feed.is_behind


TestFeeds = Feeds.TestCase
TestFeeds.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

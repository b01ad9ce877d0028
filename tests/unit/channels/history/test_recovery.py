"""Catching up: everything after a position, in order and once, or a gap that says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.history.position import Excerpt, Position, Publication, Retention
from channels.history.recovery import GapReason, Log, merge, recover


def publications(*offsets: int) -> list[Publication]:
    return [Publication(offset, b"%d" % offset) for offset in offsets]


def offsets(found: list[Publication]) -> list[int]:
    return [each.offset for each in found]


def test_what_was_read_is_everything_since_the_position() -> None:
    recovery = recover(Position("e", 2), Excerpt(Position("e", 4), publications(3, 4)))

    assert (recovery.position, offsets(recovery.publications)) == (("e", 4), [3, 4])
    assert recovery.gap is None


@pytest.mark.parametrize(
    ("known", "excerpt", "reason"),
    [
        (Position("e", 2), Excerpt(Position("e", 5), publications(4, 5)), GapReason.TRIMMED),
        (Position("old", 2), Excerpt(Position("e", 5), publications(3, 4, 5)), GapReason.EPOCH),
        (Position("e", 9), Excerpt(Position("e", 5), []), GapReason.FUTURE),
        (Position("e", 2), Excerpt(Position("e", 5), []), GapReason.TRIMMED),
    ],
)
def test_what_cannot_be_had_is_a_gap_with_its_reason(
    known: Position, excerpt: Excerpt, reason: GapReason
) -> None:
    recovery = recover(known, excerpt)

    assert recovery.gap is reason
    assert recovery.position == excerpt.position


def test_what_arrives_beyond_a_hole_is_left_for_the_next_time() -> None:
    live = [("e", each) for each in publications(4, 6)]

    recovery = merge(Position("e", 2), Excerpt(Position("e", 3), publications(3)), live)

    assert offsets(recovery.publications) == [3, 4]
    assert recovery.position == ("e", 4)


def test_what_arrived_in_another_epoch_is_not_merged() -> None:
    live = [("other", each) for each in publications(4)]

    recovery = merge(Position("e", 2), Excerpt(Position("e", 3), publications(3)), live)

    assert recovery.position == ("e", 3)


@given(
    known=st.integers(0, 20),
    head=st.integers(0, 20),
    kept=st.integers(0, 20),
    live=st.lists(st.tuples(st.sampled_from(["e", "f"]), st.integers(1, 25))),
)
def test_a_merge_is_complete_in_order_and_once_or_a_gap(
    known: int, head: int, kept: int, live: list[tuple[str, int]]
) -> None:
    everything = publications(*range(1, head + 1))
    excerpt = Excerpt(
        Position("e", head),
        [each for each in everything[max(0, head - kept) :] if each.offset > known],
    )
    arrived = [(epoch, publications(offset)[0]) for epoch, offset in live]

    recovery = merge(Position("e", known), excerpt, arrived)

    found = offsets(recovery.publications)
    if recovery.gap is None:
        assert found == list(range(known + 1, recovery.position.offset + 1))
        assert recovery.position.offset >= head
        beyond = {offset for epoch, offset in live if epoch == "e"}
        assert recovery.position.offset + 1 not in beyond
    else:
        assert known > head or head - max(known, head - kept) < head - known


class TestLog:
    def log(self, entries: int = 3, max_bytes: int = 100, ttl: float = 10.0) -> Log:
        return Log(Retention(entries, max_bytes, ttl), Position("e", 0))

    def test_it_keeps_the_latest(self) -> None:
        log = self.log(entries=2)
        for each in publications(1, 2, 3):
            log.append(each, 0.0)

        assert log.position == ("e", 3)
        assert offsets(log.after(0).publications) == offsets(log.latest(9)) == [2, 3]
        assert offsets(log.after(2).publications) == [3]
        assert log.after(3).publications == log.after(8).publications == log.latest(0) == []

    def test_the_latest_is_kept_whatever_its_size(self) -> None:
        log = self.log(max_bytes=10)
        log.append(Publication(1, b"small"), 0.0)
        log.append(Publication(2, b"x" * 50), 0.0)

        assert offsets(log.latest(9)) == [2]

    def test_what_is_too_old_is_dropped(self) -> None:
        log = self.log(ttl=10.0)
        log.append(*publications(1), 0.0)
        log.append(*publications(2), 5.0)

        log.trim(10.0)

        assert offsets(log.latest(9)) == [2]
        assert log.position == ("e", 2)

    def test_only_the_next_can_be_kept(self) -> None:
        log = self.log()

        with pytest.raises(ValueError, match="expected offset 1, got 3"):
            log.append(*publications(3), 0.0)

    @given(
        st.integers(1, 5),
        st.integers(1, 40),
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), max_size=30),
    )
    def test_its_bounds_hold(
        self, entries: int, max_bytes: int, sizes: list[tuple[int, int]]
    ) -> None:
        log = self.log(entries, max_bytes, ttl=10.0)
        wanted: list[tuple[int, int, float]] = []
        now = 0.0
        for offset, (size, pause) in enumerate(sizes, 1):
            now += pause
            log.append(Publication(offset, b"x" * size), now)

            wanted.append((offset, size, now))
            while wanted and (
                len(wanted) > entries
                or (len(wanted) > 1 and sum(each[1] for each in wanted) > max_bytes)
                or wanted[0][2] <= now - 10.0
            ):
                del wanted[0]
            assert offsets(log.latest(99)) == [each[0] for each in wanted]

"""Frames for a slow client, by policy, and against a model of what may never happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.outbox import NOTHING, Dropped, Outbox, SlowConsumer


def contents(outbox: Outbox) -> list[bytes]:
    return [outbox.pop() for _ in range(len(outbox))]


@pytest.mark.parametrize("policy", SlowConsumer)
def test_what_fits_comes_out_in_order(policy: SlowConsumer) -> None:
    outbox = Outbox(policy, 3, 100)

    dropped = [outbox.add(frame) for frame in (b"a", b"b", b"c")]

    assert dropped == [NOTHING] * 3
    assert contents(outbox) == [b"a", b"b", b"c"]


def test_drop_newest_keeps_what_waits() -> None:
    outbox = Outbox(SlowConsumer.DROP_NEWEST, 2, 100)

    dropped = [outbox.add(frame) for frame in (b"a", b"b", b"c")]

    assert dropped[-1] == Dropped("full", 1)
    assert contents(outbox) == [b"a", b"b"]


def test_drop_oldest_makes_room_in_frames_and_in_bytes() -> None:
    outbox = Outbox(SlowConsumer.DROP_OLDEST, 3, 10)
    for frame in (b"aaaa", b"bbbb", b"c"):
        outbox.add(frame)

    assert outbox.add(b"dd") == Dropped("oldest", 1)
    assert outbox.add(b"eeeeeeee") == Dropped("oldest", 2)
    assert contents(outbox) == [b"dd", b"eeeeeeee"]


def test_drop_oldest_keeps_all_when_a_frame_can_never_fit() -> None:
    outbox = Outbox(SlowConsumer.DROP_OLDEST, 3, 10)
    outbox.add(b"a")

    assert outbox.add(b"x" * 11) == Dropped("full", 1)
    assert contents(outbox) == [b"a"]


def test_keep_latest_replaces_the_frame_of_the_same_key_and_goes_to_the_end() -> None:
    outbox = Outbox(SlowConsumer.KEEP_LATEST, 2, 100)
    outbox.add(b"old", "price")
    outbox.add(b"other")

    assert outbox.add(b"new", "price") == Dropped("replaced", 1)
    assert contents(outbox) == [b"other", b"new"]


def test_keep_latest_drops_what_has_no_key_when_full() -> None:
    outbox = Outbox(SlowConsumer.KEEP_LATEST, 1, 100)
    outbox.add(b"old", 1)

    assert outbox.add(b"other") == Dropped("full", 1)
    assert outbox.add(b"new", 1) == Dropped("replaced", 1)
    assert contents(outbox) == [b"new"]


def test_keep_latest_keeps_the_older_frame_when_the_newer_one_does_not_fit() -> None:
    outbox = Outbox(SlowConsumer.KEEP_LATEST, 2, 10)
    outbox.add(b"old", 1)

    assert outbox.add(b"x" * 11, 1) == Dropped("full", 1)
    assert outbox.size == 3
    assert contents(outbox) == [b"old"]


def test_keep_latest_drops_the_first_frame_of_a_key_when_full() -> None:
    outbox = Outbox(SlowConsumer.KEEP_LATEST, 1, 100)
    outbox.add(b"a", 1)

    assert outbox.add(b"b", 2) == Dropped("full", 1)
    assert contents(outbox) == [b"a"]


def test_keep_latest_replaces_a_frame_by_one_that_needs_its_room() -> None:
    outbox = Outbox(SlowConsumer.KEEP_LATEST, 1, 10)
    outbox.add(b"x" * 8, 1)

    assert outbox.add(b"y" * 10, 1) == Dropped("replaced", 1)
    assert outbox.size == 10
    assert contents(outbox) == [b"y" * 10]


def test_a_key_means_nothing_to_other_policies() -> None:
    outbox = Outbox(SlowConsumer.DROP_NEWEST, 3, 100)
    outbox.add(b"a", "key")
    outbox.add(b"b", "key")

    assert contents(outbox) == [b"a", b"b"]


def test_disconnect_drops_all_and_says_so() -> None:
    outbox = Outbox(SlowConsumer.DISCONNECT, 2, 100)
    outbox.add(b"a")
    outbox.add(b"b")

    assert outbox.add(b"c") == Dropped("disconnected", 3)
    assert len(outbox) == 0


def test_clearing_counts_what_it_drops() -> None:
    outbox = Outbox(SlowConsumer.DROP_NEWEST, 2, 100)
    outbox.add(b"a")

    assert outbox.clear() == 1
    assert (len(outbox), outbox.size) == (0, 0)


@given(
    st.sampled_from(SlowConsumer),
    st.lists(
        st.tuples(st.booleans(), st.binary(max_size=6), st.one_of(st.none(), st.integers(0, 2)))
    ),
)
def test_every_frame_is_held_sent_or_counted_and_no_bound_is_passed(
    policy: SlowConsumer, steps: list[tuple[bool, bytes, int | None]]
) -> None:
    outbox = Outbox(policy, 3, 10)
    added = sent = dropped = 0
    for adds, frame, key in steps:
        if adds:
            added += 1
            dropped += outbox.add(frame, key).frames
        elif len(outbox):
            outbox.pop()
            sent += 1
        assert len(outbox) <= 3
        assert 0 <= outbox.size <= 10
        assert added == sent + dropped + len(outbox)
    assert sum(map(len, contents(outbox))) <= 10

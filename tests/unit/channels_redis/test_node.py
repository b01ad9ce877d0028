"""How a reader knows what comes again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from channels_redis import _node
from channels_redis._node import LatestNumbers


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 20)), max_size=60))
def test_a_number_is_new_when_it_is_above_all_earlier_ones_of_its_sender(
    stamps: list[tuple[str, int]],
) -> None:
    numbers = LatestNumbers()
    highest: dict[str, int] = {}

    for sender, number in stamps:
        is_new = numbers.is_new(f"{sender}:{number}".encode())
        assert is_new == (number > highest.get(sender, 0))
        highest[sender] = max(number, highest.get(sender, 0))


def test_a_stamp_that_is_not_ours_is_always_new() -> None:
    numbers = LatestNumbers()

    assert numbers.is_new(b"no stamp")
    assert numbers.is_new(b"no stamp")
    assert numbers.is_new(b"")


def test_the_sender_heard_of_least_recently_is_forgotten() -> None:
    numbers = LatestNumbers()
    for sender in range(_node.MOST_SENDERS + 1):
        numbers.is_new(b"%d:5" % sender)

    assert numbers.is_new(b"0:5")
    assert not numbers.is_new(b"%d:5" % _node.MOST_SENDERS)

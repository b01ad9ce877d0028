"""The bounded queue whose items expire, by example and against a model."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from channels._core.mailbox import Mailbox


def test_items_come_out_in_the_order_they_went_in() -> None:
    box: Mailbox[str] = Mailbox(3, 60)
    for item in "abc":
        box.put(item, 0)

    assert [box.take(1) for _ in range(4)] == ["a", "b", "c", None]


def test_an_item_over_capacity_is_refused_and_the_others_stay() -> None:
    box: Mailbox[str] = Mailbox(2, 60)

    accepted = [box.put(item, 0) for item in "abc"]

    assert accepted == [True, True, False]
    assert [box.take(0), box.take(0), box.take(0)] == ["a", "b", None]


def test_an_item_expires_at_its_time_and_is_counted() -> None:
    box: Mailbox[str] = Mailbox(2, 10)
    box.put("a", 0)
    box.put("b", 5)

    assert box.count_live(9.9) == 2
    assert box.take(10) == "b"
    assert box.expired == 1


def test_a_box_full_of_expired_items_is_not_full() -> None:
    box: Mailbox[str] = Mailbox(1, 10)
    box.put("old", 0)

    assert box.put("new", 10)
    assert box.take(10) == "new"


def test_a_falsy_item_is_an_item() -> None:
    box: Mailbox[str] = Mailbox(1, 10)
    box.put("", 0)

    assert box.take(0) == ""


def test_counting_the_living_changes_nothing() -> None:
    box: Mailbox[str] = Mailbox(1, 10)
    box.put("a", 0)

    assert box.count_live(10) == 0
    assert (len(box), box.expired) == (1, 0)


def test_the_next_deadline_is_that_of_the_oldest_item() -> None:
    box: Mailbox[str] = Mailbox(2, 10)
    assert box.next_deadline() is None

    box.put("a", 0)
    box.put("b", 5)
    assert box.next_deadline() == 10
    box.take(0)

    assert box.next_deadline() == 15


def test_clearing_says_how_many_there_were_and_expires_nothing() -> None:
    box: Mailbox[str] = Mailbox(2, 10)
    box.put("a", 0)
    box.put("b", 0)

    assert box.clear() == 2
    assert (len(box), box.clear(), box.expired) == (0, 0, 0)


class MailboxIsABoundedExpiringQueue(RuleBasedStateMachine):
    """Holds a mailbox against a plain list of ``(deadline, item)``."""

    CAPACITY = 3
    EXPIRY = 10

    def __init__(self) -> None:
        super().__init__()
        self.box: Mailbox[int] = Mailbox(self.CAPACITY, self.EXPIRY)
        self.model: list[tuple[int, int]] = []
        self.now = 0
        self.puts = 0
        self.accepted = self.taken = self.cleared = 0

    def living(self) -> list[int]:
        return [item for deadline, item in self.model if deadline > self.now]

    @rule(seconds=st.integers(0, 2 * EXPIRY))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def put(self) -> None:
        fits = len(self.living()) < self.CAPACITY
        self.puts += 1

        assert self.box.put(self.puts, self.now) is fits
        if fits:
            self.accepted += 1
            self.model.append((self.now + self.EXPIRY, self.puts))

    @rule()
    def take(self) -> None:
        living = self.living()

        taken = self.box.take(self.now)

        assert taken == (living[0] if living else None)
        if taken is not None:
            self.taken += 1
            self.model = [entry for entry in self.model if entry[1] != taken]

    @rule()
    def drop_expired(self) -> None:
        before = self.box.expired

        dropped = self.box.drop_expired(self.now)

        assert self.box.expired == before + dropped
        assert len(self.box) == len(self.living())

    @precondition(lambda self: not self.model)
    @rule()
    def take_from_nothing(self) -> None:
        assert self.box.take(self.now) is None

    @rule()
    def clear(self) -> None:
        self.cleared += self.box.clear()
        self.model.clear()

    @invariant()
    def no_more_than_capacity_is_held(self) -> None:
        assert len(self.box) <= self.CAPACITY

    @invariant()
    def the_living_are_counted(self) -> None:
        assert self.box.count_live(self.now) == len(self.living())

    @invariant()
    def every_item_is_held_taken_cleared_or_counted_as_expired(self) -> None:
        assert self.accepted == self.taken + self.cleared + self.box.expired + len(self.box)


TestMailboxIsABoundedExpiringQueue = MailboxIsABoundedExpiringQueue.TestCase

"""Who is in which group: by example, and against a model of plain pairs."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from channels._core.membership import Groups, Membership


def nobody(channel: str) -> bool:
    return False


def everybody(channel: str) -> bool:
    return True


def test_an_unknown_group_reads_as_empty_and_is_not_stored() -> None:
    groups = Groups()

    assert groups["nobody-here"] == {}
    assert groups == {}


def test_a_group_ends_with_its_last_member() -> None:
    membership = Membership(60)
    membership.add("room", "a", 0)
    membership.add("room", "b", 1)

    membership.discard("room", "a")
    assert membership.groups == {"room": {"b": 1}}
    membership.discard("room", "b")

    assert membership.groups == {}


def test_joining_again_refreshes_the_age() -> None:
    membership = Membership(60)
    membership.add("room", "a", 0)
    membership.add("room", "b", 1)

    membership.add("room", "a", 2)

    assert list(membership.groups["room"].items()) == [("b", 1), ("a", 2)]


def test_leaving_what_one_never_joined_does_nothing() -> None:
    membership = Membership(60)
    membership.add("room", "a", 0)

    membership.discard("room", "b")
    membership.discard("hall", "a")
    membership.leave_all("b")

    assert membership.groups == {"room": {"a": 0}}


def test_leaving_all_touches_only_the_channels_own_groups() -> None:
    membership = Membership(60)
    for group in ("room", "hall"):
        membership.add(group, "a", 0)
        membership.add(group, "b", 0)
    membership.add("yard", "b", 0)

    membership.leave_all("a")

    assert membership.groups == {"room": {"b": 0}, "hall": {"b": 0}, "yard": {"b": 0}}


def test_a_membership_ends_at_its_expiry_unless_its_channel_lives() -> None:
    membership = Membership(60)
    for channel in ("old", "live"):
        membership.add("room", channel, 0)
    membership.add("room", "young", 1)

    membership.expire("room", 60, lambda channel: channel == "live")

    assert membership.groups == {"room": {"young": 1, "live": 60}}


def test_expiring_looks_no_further_than_the_first_that_is_young() -> None:
    membership = Membership(60)
    for second, channel in enumerate("abc"):
        membership.add("room", channel, second)
    asked: list[str] = []

    def is_live(channel: str) -> bool:
        asked.append(channel)
        return False

    membership.expire("room", 60, is_live)

    assert asked == ["a"]


@pytest.mark.parametrize("expiry", [0, -1])
def test_live_members_stay_even_where_memberships_expire_at_once(expiry: int) -> None:
    membership = Membership(expiry)
    membership.add("room", "a", 5)

    membership.expire("room", 5, everybody)

    assert membership.groups == {"room": {"a": 5}}


def test_what_replaces_the_memberships_expires_oldest_first_and_leaves_as_they_do() -> None:
    told: list[str] = []
    membership = Membership(60, told.append)
    for group in ("old", "room"):
        membership.add(group, "a", 0)
    before = membership.groups

    membership.replace({"room": {"c": 20, "b": 10}, "hall": {"b": 30}})
    membership.expire("room", 70, nobody)
    membership.leave_all("b")

    assert membership.groups == {"room": {"c": 20}}
    assert before == {"old": {"a": 0}, "room": {"a": 0}}
    assert told == ["old", "hall"]


def test_clearing_forgets_both_ways() -> None:
    membership = Membership(60)
    membership.add("room", "a", 0)

    membership.clear()
    membership.leave_all("a")
    membership.add("room", "b", 0)

    assert membership.groups == {"room": {"b": 0}}


GROUPS = st.sampled_from(["room", "hall", "yard"])
CHANNELS = st.sampled_from(["a", "b", "c", "d"])


class MembershipIsASetOfPairs(RuleBasedStateMachine):
    """Holds a membership against a plain dict of ``(group, channel)`` to the time of joining."""

    EXPIRY = 10

    def __init__(self) -> None:
        super().__init__()
        self.membership = Membership(self.EXPIRY)
        self.model: dict[tuple[str, str], int] = {}
        self.now = 0

    @rule(seconds=st.integers(0, 2 * EXPIRY))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(group=GROUPS, channel=CHANNELS)
    def add(self, group: str, channel: str) -> None:
        self.membership.add(group, channel, self.now)
        self.model.pop((group, channel), None)
        self.model[group, channel] = self.now

    @rule(group=GROUPS, channel=CHANNELS)
    def discard(self, group: str, channel: str) -> None:
        self.membership.discard(group, channel)
        self.model.pop((group, channel), None)

    @rule(channel=CHANNELS)
    def leave_all(self, channel: str) -> None:
        self.membership.leave_all(channel)
        self.model = {pair: since for pair, since in self.model.items() if pair[1] != channel}

    @rule(group=GROUPS, live=st.sets(CHANNELS))
    def expire(self, group: str, live: set[str]) -> None:
        self.membership.expire(group, self.now, live.__contains__)
        for (name, channel), since in tuple(self.model.items()):
            if name == group and since + self.EXPIRY <= self.now:
                del self.model[name, channel]
                if channel in live:
                    self.model[name, channel] = self.now

    @rule()
    def clear(self) -> None:
        self.membership.clear()
        self.model.clear()

    @invariant()
    def groups_are_the_pairs_oldest_first_and_none_is_empty(self) -> None:
        expected: dict[str, list[tuple[str, int]]] = {}
        for (group, channel), since in self.model.items():
            expected.setdefault(group, []).append((channel, since))

        assert {
            group: list(members.items()) for group, members in self.membership.groups.items()
        } == expected

    @invariant()
    def both_ways_agree(self) -> None:
        forth = {(g, c) for g, members in self.membership.groups.items() for c in members}
        back = {(g, c) for c, groups in self.membership._groups_of.items() for g in groups}

        assert forth == back == set(self.model)
        assert all(self.membership._groups_of.values())


TestMembershipIsASetOfPairs = MembershipIsASetOfPairs.TestCase


def test_each_group_that_has_lost_its_last_member_is_told_of() -> None:
    emptied: list[str] = []
    membership = Membership(10, emptied.append)
    for group, channel in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "3")]:
        membership.add(group, channel, 0)

    membership.discard("a", "1")
    assert emptied == []
    membership.leave_all("1")
    assert emptied == ["b"]
    membership.discard("a", "2")
    membership.discard("a", "2")
    assert emptied == ["b", "a"]
    membership.clear()
    assert emptied == ["b", "a", "c"]

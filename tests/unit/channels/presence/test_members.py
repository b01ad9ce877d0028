"""Members of a topic: tabs are merged, leases end, and every change is counted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from channels.presence.members import Members
from channels.presence.state import Change, Present, apply


def test_the_tabs_of_one_person_are_one_member() -> None:
    members = Members()

    changes = [
        members.enter(("here", "tab1"), "ann", "{}"),
        members.enter(("there", "tab2"), "ann", "{}"),
        members.leave(("here", "tab1")),
        members.leave(("there", "tab2")),
    ]

    assert changes == [Change(1, {"ann": "{}"}, []), None, None, Change(2, {}, ["ann"])]


def test_a_process_whose_lease_ends_loses_its_members_in_one_change() -> None:
    members = Members(7)
    members.enter(("dead", "1"), "ann", "{}")
    members.enter(("dead", "2"), "bob", "{}")
    members.enter(("alive", "1"), "bob", "{}")
    members.renew("dead", 10.0)
    members.renew("alive", 20.0)

    assert members.expire(9.9) is None
    assert members.expire(10.0) == Change(10, {}, ["ann"])
    assert members.expire(11.0) is None
    assert members.present() == (10, {"bob": "{}"})


def test_a_change_that_is_missing_is_noticed_and_a_known_one_changes_nothing() -> None:
    present = Present(3, {"ann": "{}"})

    assert apply(present, Change(5, {}, ["ann"])) is None
    assert apply(present, Change(3, {}, ["ann"])) is present
    assert apply(present, Change(4, {"bob": "1"}, ["ann"])) == (4, {"bob": "1"})


NODES = st.sampled_from(["here", "there"])
TABS = st.sampled_from(["1", "2", "3"])
KEYS = st.sampled_from(["ann", "bob"])


class Presence(RuleBasedStateMachine):
    """What a mirror makes of the changes, beside the members themselves and a plain model."""

    @initialize()
    def begin(self) -> None:
        self.members = Members()
        self.mirror = Present(0, {})
        self.model: dict[tuple[str, str], str] = {}
        self.leases: dict[str, float] = {}
        self.now = 0.0

    def note(self, change: Change | None) -> None:
        if change is not None:
            after = apply(self.mirror, change)
            assert after is not None
            self.mirror = after

    @rule(node=NODES, tab=TABS, key=KEYS)
    def enter(self, node: str, tab: str, key: str) -> None:
        self.note(self.members.enter((node, tab), key, "{}"))
        self.model[node, tab] = key

    @rule(node=NODES, tab=TABS)
    def leave(self, node: str, tab: str) -> None:
        self.note(self.members.leave((node, tab)))
        self.model.pop((node, tab), None)

    @rule(node=NODES, lease=st.integers(1, 3))
    def renew(self, node: str, lease: int) -> None:
        self.members.renew(node, self.now + lease)
        self.leases[node] = self.now + lease

    @rule()
    def time_passes(self) -> None:
        self.now += 1.0
        self.note(self.members.expire(self.now))
        ended = {node for node, until in self.leases.items() if until <= self.now}
        self.leases = {node: until for node, until in self.leases.items() if node not in ended}
        self.model = {at: key for at, key in self.model.items() if at[0] not in ended}

    @rule()
    def clear(self) -> None:
        self.note(self.members.clear())
        self.model.clear()

    @invariant()
    def the_mirror_is_right(self) -> None:
        if hasattr(self, "members"):
            assert self.mirror == self.members.present()
            assert set(self.mirror.members) == set(self.model.values())


TestPresence = Presence.TestCase
TestPresence.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

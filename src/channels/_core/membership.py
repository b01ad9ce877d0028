"""Who is in which group, both ways, with expiry; the caller passes ``now``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping


class Groups(dict[str, dict[str, float]]):
    """Group name to its members and when each joined, oldest first.

    An unknown group reads as empty and is not stored, so that groups end when their last
    member leaves.
    """

    def __missing__(self, group: str) -> dict[str, float]:
        """Read an unknown group as one without members."""
        return {}


class Membership:
    """Which channels are in which group.

    Args:
        expiry: Seconds after its latest ``add`` at which a membership ends.
        emptied: Called with each group whose last member has left.
    """

    __slots__ = ("_emptied", "_groups_of", "expiry", "groups")

    def __init__(self, expiry: float, emptied: Callable[[str], None] = lambda group: None) -> None:
        self.expiry: float = expiry
        self._emptied = emptied
        self.groups: Groups = Groups()
        self._groups_of: dict[str, set[str]] = {}

    def add(self, group: str, channel: str, now: float) -> None:
        """Join, or refresh the age of a membership. O(1)."""
        members = self.groups.setdefault(group, {})
        members.pop(channel, None)
        members[channel] = now
        self._groups_of.setdefault(channel, set()).add(group)

    def discard(self, group: str, channel: str) -> None:
        """Leave; nothing happens if ``channel`` is not a member. O(1)."""
        members = self.groups[group]
        if members.pop(channel, None) is not None and not members:
            self.groups.pop(group, None)
            self._emptied(group)
        joined = self._groups_of.get(channel)
        if joined is not None:
            joined.discard(group)
            if not joined:
                del self._groups_of[channel]

    def leave_all(self, channel: str) -> None:
        """End every membership of ``channel``. O(its groups)."""
        for group in tuple(self._groups_of.get(channel, ())):
            self.discard(group, channel)

    def expire(self, group: str, now: float, is_live: Callable[[str], bool]) -> None:
        """End memberships older than ``expiry``; those of live channels start anew.

        O(1) when none is due, since the oldest comes first.
        """
        due = itertools.takewhile(
            lambda member: member[1] + self.expiry <= now, self.groups[group].items()
        )
        # Listed first: one that starts anew comes last, and with no expiry is due at once again.
        for channel, _ in list(due):
            if is_live(channel):
                self.add(group, channel, now)
            else:
                self.discard(group, channel)

    def replace(self, groups: Mapping[str, Mapping[str, float]]) -> None:
        """End every membership, and let those of ``groups`` begin. What was read before stays."""
        ended, self.groups, self._groups_of = self.groups, Groups(), {}
        for group, members in groups.items():
            for channel, joined in sorted(members.items(), key=lambda member: member[1]):
                self.add(group, channel, joined)
        for group in ended:
            if group not in self.groups:
                self._emptied(group)

    def clear(self) -> None:
        """End every membership."""
        groups = tuple(self.groups)
        self.groups.clear()
        self._groups_of.clear()
        for group in groups:
            self._emptied(group)

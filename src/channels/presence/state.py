"""What one process knows of who is in a topic, and what changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Present(NamedTuple):
    """Who is in a topic.

    Attributes:
        version: How often that has changed.
        members: By key, what the topic shows of each: JSON text.
    """

    version: int
    members: Mapping[str, str]


class Change(NamedTuple):
    """One change of presence: the one after ``version - 1``.

    Attributes:
        version: Its number.
        joined: New members by key, or members whose JSON text has changed.
        left: Keys of those that have gone.
    """

    version: int
    joined: Mapping[str, str]
    left: Sequence[str]


def apply(present: Present, change: Change) -> Present | None:
    """Return who is there after ``change``, or ``None`` if one before it is missing.

    A change that is known already changes nothing.
    """
    if change.version <= present.version:
        return present
    if change.version != present.version + 1:
        return None
    left = set(change.left)
    members = {key: shown for key, shown in present.members.items() if key not in left}
    members.update(change.joined)
    return Present(change.version, members)

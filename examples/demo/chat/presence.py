"""Who is here: counts each person's tabs in each room.

Lives in the memory of this process, like the in-memory channel layer; a site with several
processes keeps it in its database or broker.
"""

from __future__ import annotations

from collections import Counter, defaultdict


class Presence:
    """The people in each room, however many tabs each has open."""

    def __init__(self) -> None:
        self._tabs: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def enter(self, room: str, name: str) -> None:
        """Count one more tab of ``name`` in ``room``."""
        self._tabs[room][name] += 1

    def leave(self, room: str, name: str) -> None:
        """Count one tab fewer, and forget whom and what is at zero."""
        tabs = self._tabs[room]
        tabs[name] -= 1
        if not tabs[name]:
            del tabs[name]
        if not tabs:
            del self._tabs[room]

    def names(self, room: str) -> list[str]:
        """Return everyone in ``room``, once each, in order."""
        return sorted(self._tabs[room]) if room in self._tabs else []


presence = Presence()

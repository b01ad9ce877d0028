"""One topic in this process, while somebody here is subscribed, and a little longer."""

from __future__ import annotations

import asyncio
from typing import Final

from channels._core.broadcast import Broadcast
from channels.history.broker import Present
from channels.history.position import Position
from channels.topics import protocol
from channels.topics.feed import Feed
from channels.topics.topic import Topic

FIRST_PAUSE: Final = 2.0
LAST_PAUSE: Final = 64.0
"""Seconds between a publication and the first word of where the topic stands, and between two of
the later ones."""
RECENT: Final = 1.0
"""Seconds for which an epoch that was read is taken for the present one."""


class OpenTopic:
    """What this process knows of a topic.

    Args:
        name: Of the topic.
        cls: Its class.

    Attributes:
        name: Of the topic.
        cls: Its class.
        feed: Its publications, or ``None`` in a volatile topic.
        present: Who is there, or ``None`` without presence or before that is known.
        subscribers: Channels of the connections that have it.
        holders: How many are about to subscribe.
        loading: Reads its state, first and whenever something was missed.
        is_stale: Whether something may have been missed since the last reading began.
        has_stirred: Whether something came since the last look.
        read_at: When its history was last read, on the monotonic clock.
    """

    __slots__ = (
        "_pause",
        "_speaks_at",
        "cls",
        "feed",
        "has_stirred",
        "holders",
        "is_stale",
        "loading",
        "name",
        "present",
        "read_at",
        "subscribers",
    )

    def __init__(self, name: str, cls: type[Topic]) -> None:
        self.name: str = name
        self.cls: type[Topic] = cls
        retention = cls.delivery.retention
        self.feed: Feed | None = None if retention is None else Feed(retention)
        self.present: Present | None = None
        self.subscribers: set[str] = set()
        self.holders: int = 0
        self.is_stale: bool = False
        self.loading: asyncio.Task[None] | None = None
        self.has_stirred: bool = False
        self.read_at: float = float("-inf")
        self._pause = 0.0
        self._speaks_at = float("inf")

    @property
    def is_unused(self) -> bool:
        """Whether nobody here has it, or is about to."""
        return not self.subscribers and not self.holders

    @property
    def position(self) -> Position | None:
        """Where the topic stands; ``None`` if it is volatile."""
        return None if self.feed is None else self.feed.position

    def is_overtaken(self, known: Position, now: float) -> bool:
        """Return whether a client's position may be from after what is known here."""
        if self.position is None:
            return False
        epoch, offset = self.position
        if known.epoch != epoch:
            # Which of two is newer nobody can say; thousands may come with an old one at once.
            return self.read_at + RECENT <= now
        return known.offset > offset

    def announcement(self, now: float) -> str | None:
        """Return the frame that says where the topic stands, if it is time to.

        A client that lost the last frames cannot know, so it is told when nothing more comes, at
        growing intervals.
        """
        if self.has_stirred:
            self.has_stirred = False
            self._pause = FIRST_PAUSE
            self._speaks_at = now + FIRST_PAUSE
        if now < self._speaks_at:
            return None
        self._pause = min(2 * self._pause, LAST_PAUSE)
        self._speaks_at = now + self._pause
        return self.standing()

    def standing(self) -> str | None:
        """Return the frame that says where the topic stands; ``None`` if it stands nowhere."""
        frame: dict[str, object] = {"type": "position", "topic": self.name}
        if self.position is not None:
            frame["position"] = str(self.position)
        if self.present is not None:
            frame["presence"] = self.present.version
        return protocol.encode(frame) if len(frame) > 2 else None


def frame_of(text: str) -> Broadcast:
    """Return what every connection may share."""
    return Broadcast({"type": "websocket.send", "text": text})

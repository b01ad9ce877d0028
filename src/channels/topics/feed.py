"""One topic in this process: what it knows of the topic's history, and whether that is all. Pure.

Publications arrive in order, but some may be missing: then the feed is *behind* until it has been
given an excerpt of the history, and what arrives meanwhile waits.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from channels.history.position import Excerpt, Position, Publication, Retention
from channels.history.recovery import GapReason, Live, Log, Recovery, merge, recover

MOST_WAITING: Final = 1000
"""Publications that may wait for an excerpt; the oldest make room, and are read again."""


class Feed:
    """The publications of one reliable topic, without holes.

    Args:
        retention: How much to keep for clients that recover.

    Attributes:
        is_behind: Whether an excerpt is needed.
    """

    __slots__ = ("_log", "_retention", "_waiting", "is_behind")

    def __init__(self, retention: Retention) -> None:
        self.is_behind: bool = True
        self._retention = retention
        self._log: Log | None = None
        self._waiting: deque[Live] = deque(maxlen=MOST_WAITING)

    @property
    def position(self) -> Position | None:
        """Up to where everything is known; ``None`` before the first excerpt."""
        return None if self._log is None else self._log.position

    def take(self, epoch: str, publication: Publication, now: float) -> bool:
        """Take what has arrived; return whether it is the next, to be handed on. O(1)."""
        log = self._log
        if not self.is_behind and log is not None:
            known_epoch, offset = log.position
            if epoch == known_epoch:
                if publication.offset == offset + 1:
                    log.append(publication, now)
                    return True
                if publication.offset <= offset:
                    return False
            self.is_behind = True
        self._waiting.append((epoch, publication))
        return False

    def begin(self, excerpt: Excerpt, now: float) -> None:
        """Start from all that is kept, and what has arrived since it was read."""
        position, publications = excerpt
        self._log = Log(
            self._retention, Position(position.epoch, position.offset - len(publications))
        )
        for publication in publications:
            self._log.append(publication, now)
        self._settle(merge(position, Excerpt(position, []), self._waiting).publications, now)

    def catch_up(self, excerpt: Excerpt, now: float) -> Recovery:
        """Go on with what was read after ``position``; with a gap, nothing is changed.

        Returns:
            What to hand on; or why ``begin`` is needed.
        """
        log = self._log
        if log is None:
            raise RuntimeError("a feed begins before it catches up")
        caught_up = merge(log.position, excerpt, self._waiting)
        if caught_up.gap is None:
            self._settle(caught_up.publications, now)
        return caught_up

    def since(self, known: Position) -> Recovery:
        """Return what came after a client's position."""
        log = self._require_log()
        if known.epoch != log.position.epoch:
            return Recovery(log.position, [], GapReason.EPOCH)
        return recover(known, log.after(known.offset))

    def latest(self, count: int, now: float) -> list[Publication]:
        """Return the latest ``count`` that are kept."""
        log = self._require_log()
        log.trim(now)
        return log.latest(count)

    def _settle(self, publications: list[Publication], now: float) -> None:
        log = self._require_log()
        for publication in publications:
            log.append(publication, now)
        epoch, offset = log.position
        # What came last tells whether there is more: behind a hole, or in a newer epoch.
        self.is_behind = bool(self._waiting) and (
            self._waiting[-1][0] != epoch or self._waiting[-1][1].offset > offset
        )
        beyond = [each for each in self._waiting if each[0] == epoch and each[1].offset > offset]
        self._waiting.clear()
        self._waiting.extend(beyond)

    def _require_log(self) -> Log:
        if self._log is None:
            raise RuntimeError("the feed has not begun")
        return self._log

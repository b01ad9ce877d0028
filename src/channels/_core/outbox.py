"""Frames that wait for a client which does not read, and what happens when they are too many."""

from __future__ import annotations

import enum
import itertools
from typing import Any, Final, NamedTuple


class SlowConsumer(enum.StrEnum):
    """What becomes of broadcasts to a client that reads too slowly.

    Attributes:
        DROP_NEWEST: What does not fit is dropped.
        DROP_OLDEST: The oldest make room for what comes.
        KEEP_LATEST: A frame that fits replaces the waiting one with the same key; else as
            ``DROP_NEWEST``.
        DISCONNECT: The client is sent away, with a code that asks it to come back.
    """

    DROP_NEWEST = "drop_newest"
    DROP_OLDEST = "drop_oldest"
    KEEP_LATEST = "keep_latest"
    DISCONNECT = "disconnect"


class Dropped(NamedTuple):
    """How many frames were dropped, and why.

    ``reason`` is ``"full"``, ``"oldest"``, ``"replaced"`` or ``"disconnected"``; empty for none.
    """

    reason: str
    frames: int


NOTHING: Final = Dropped("", 0)


class Outbox:
    """First in, first out, at most ``max_frames`` of together ``max_bytes``.

    Args:
        policy: What happens to a frame that does not fit.
        max_frames: Most frames held at once.
        max_bytes: Most bytes in them together.

    Attributes:
        size: Bytes held.
    """

    __slots__ = ("_frames", "_max_bytes", "_max_frames", "_numbers", "_policy", "size")

    def __init__(self, policy: SlowConsumer, max_frames: int, max_bytes: int) -> None:
        self._policy = policy
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: dict[Any, bytes] = {}
        # Stand for the keys of frames that have none; no key of anybody's equals one of these.
        self._numbers = itertools.count()
        self.size: int = 0

    def __len__(self) -> int:
        """Count the frames held."""
        return len(self._frames)

    def add(self, frame: bytes, key: Any = None, policy: SlowConsumer | None = None) -> Dropped:
        """Keep ``frame`` as the policy says and return what was dropped for it. O(1) amortised.

        Args:
            frame: The bytes.
            key: What the frame is about, for ``KEEP_LATEST``; hashable.
            policy: Of this frame, instead of the outbox's.
        """
        policy = policy or self._policy
        if policy is SlowConsumer.KEEP_LATEST and key is not None:
            return self._add_latest(frame, ("key", key))
        dropped = NOTHING if self._fits(frame) else self._overflow(frame, policy)
        if dropped.reason in ("", "oldest"):
            self._keep(next(self._numbers), frame)
        return dropped

    def pop(self) -> bytes:
        """Remove and return the oldest frame.

        Raises:
            KeyError: There is none.
        """
        frame = self._frames.pop(next(iter(self._frames), None))
        self.size -= len(frame)
        return frame

    def clear(self) -> int:
        """Drop everything and return how many frames that were."""
        dropped = len(self._frames)
        self._frames.clear()
        self.size = 0
        return dropped

    def _fits(self, frame: bytes) -> bool:
        return len(self._frames) < self._max_frames and self.size + len(frame) <= self._max_bytes

    def _overflow(self, frame: bytes, policy: SlowConsumer) -> Dropped:
        if policy is SlowConsumer.DISCONNECT:
            return Dropped("disconnected", self.clear() + 1)
        if policy is not SlowConsumer.DROP_OLDEST or len(frame) > self._max_bytes:
            return Dropped("full", 1)
        dropped = 0
        while self._frames and not self._fits(frame):
            self.pop()
            dropped += 1
        return Dropped("oldest", dropped)

    def _add_latest(self, frame: bytes, key: Any) -> Dropped:
        old = self._frames.get(key)
        if old is None:
            if not self._fits(frame):
                return Dropped("full", 1)
            self._keep(key, frame)
            return NOTHING
        if self.size - len(old) + len(frame) > self._max_bytes:
            # The older one stays: it is nearer to the truth than none.
            return Dropped("full", 1)
        del self._frames[key]
        self.size -= len(old)
        self._keep(key, frame)
        return Dropped("replaced", 1)

    def _keep(self, key: Any, frame: bytes) -> None:
        self._frames[key] = frame
        self.size += len(frame)

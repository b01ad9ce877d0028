"""A bounded queue whose items expire; the caller passes ``now``."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """First in, first out, at most ``capacity`` live items.

    Args:
        capacity: Most items held at once; at least 1.
        expiry: Seconds after which an unread item is dropped.

    Attributes:
        expired: Items dropped unread so far.
    """

    __slots__ = ("_items", "capacity", "expired", "expiry")

    def __init__(self, capacity: int, expiry: float) -> None:
        self.capacity: int = capacity
        self.expiry: float = expiry
        self.expired: int = 0
        # An empty deque takes 600 bytes, and most mailboxes are empty.
        self._items: deque[tuple[float, T]] | None = None

    def __len__(self) -> int:
        """Count the items held, those that have expired since the last call included."""
        return 0 if self._items is None else len(self._items)

    def put(self, item: T, now: float) -> bool:
        """Store ``item``; return ``False`` if full. O(1) amortised."""
        if self._items is not None:
            self.drop_expired(now)
            if len(self) >= self.capacity:
                return False
        if self._items is None:
            self._items = deque()
        self._items.append((now + self.expiry, item))
        return True

    def take(self, now: float) -> T | None:
        """Remove and return the oldest live item, or ``None``."""
        items = self._items
        if items is not None and items[0][0] <= now:
            self.drop_expired(now)
            items = self._items
        if items is None:
            return None
        item = items.popleft()[1]
        if not items:
            self._items = None
        return item

    def drop_expired(self, now: float) -> int:
        """Drop what has expired and return how many that were."""
        items = self._items
        dropped = 0
        while items and items[0][0] <= now:
            items.popleft()
            dropped += 1
        if not items:
            self._items = None
        self.expired += dropped
        return dropped

    def next_deadline(self) -> float | None:
        """Return when the oldest item expires, or ``None`` when there is none."""
        return self._items[0][0] if self._items else None

    def count_live(self, now: float) -> int:
        """Count the items that have not expired, changing nothing. O(items)."""
        return sum(deadline > now for deadline, _ in tuple(self._items or ()))

    def clear(self) -> int:
        """Drop everything and return how many items that were."""
        dropped = len(self)
        self._items = None
        return dropped

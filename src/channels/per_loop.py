"""What there is one of for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, ref

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Returns the one object of the running event loop, made when it is first asked for.

    It goes with its loop, which it must not refer to but weakly.

    Args:
        make: Makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        # Mostly there is one loop, which is found without the dictionary.
        self._latest: tuple[Callable[[], object], T] | None = None

    def __call__(self) -> T:
        """Return that of the running event loop.

        Raises:
            RuntimeError: No event loop runs in this thread.
        """
        loop = asyncio.get_running_loop()
        # Looked at once, since other threads have other loops.
        latest = self._latest
        if latest is not None and latest[0]() is loop:
            return latest[1]
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        self._latest = ref(loop, self._forget), made
        return made

    def _forget(self, loop: object) -> None:
        if self._latest is not None and self._latest[0] is loop:
            self._latest = None

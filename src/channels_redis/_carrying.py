"""Work that one event loop has another do, without a task or a lock on either side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from channels_redis.exceptions import RedisUnavailableError

T = TypeVar("T")

LOOK: Final = 1.0
"""Seconds between two looks whether the other event loop still runs."""


class Carried(Generic[T]):
    """One piece of work, begun in another event loop, whose outcome comes back.

    Args:
        work: Called there; what it returns is awaited there.
        there: The other event loop, in its thread.

    Raises:
        RedisUnavailableError: ``there`` has ended.
    """

    __slots__ = ("_answer", "_here", "_is_given_up", "_outcome", "_there", "_timer", "_work")

    def __init__(self, work: Callable[[], Awaitable[T]], there: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._there = there
        self._here = asyncio.get_running_loop()
        self._answer: asyncio.Future[T] = self._here.create_future()
        self._outcome: asyncio.Future[T] | None = None
        self._is_given_up = False
        try:
            there.call_soon_threadsafe(self._begin)
        except RuntimeError as error:
            raise _ended() from error
        self._timer = self._here.call_later(LOOK, self._look)

    async def wait(self) -> T:
        """Return the result, or raise what the work raised; cancelling cancels the work.

        Raises:
            RedisUnavailableError: The other event loop cancelled it, or has stopped.
        """
        try:
            return await self._answer
        except asyncio.CancelledError:
            self._give_up()
            raise
        finally:
            self._timer.cancel()

    def _look(self) -> None:
        """Wait no longer for an event loop that has stopped."""
        if self._answer.done():
            return
        if self._there.is_running():
            self._timer = self._here.call_later(LOOK, self._look)
        else:
            self._answer.set_exception(_ended())
            self._give_up()

    def _begin(self) -> None:
        if self._is_given_up:
            return
        try:
            self._outcome = asyncio.ensure_future(self._work())
        except Exception as error:
            self._outcome = self._there.create_future()
            self._outcome.set_exception(error)
        self._outcome.add_done_callback(self._send_back)

    def _send_back(self, outcome: asyncio.Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # whoever waited has ended
            self._here.call_soon_threadsafe(self._deliver, outcome)

    def _deliver(self, outcome: asyncio.Future[T]) -> None:
        error = (
            RedisUnavailableError("the event loop of the Redis layer ended before Redis answered")
            if outcome.cancelled()
            else outcome.exception()
        )
        if self._answer.done():
            return
        if error is None:
            self._answer.set_result(outcome.result())
        else:
            self._answer.set_exception(error)

    def _give_up(self) -> None:
        self._is_given_up = True
        with contextlib.suppress(RuntimeError):  # it has ended
            self._there.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._outcome is not None:
            self._outcome.cancel()


def _ended() -> RedisUnavailableError:
    return RedisUnavailableError("the event loop of the Redis layer has ended")

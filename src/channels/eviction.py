"""The end of a handler that goes on although its client has left."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels import telemetry
from channels.diagnosis import where_it_waits
from channels.utils import name_that_thing

logger: logging.Logger = logging.getLogger("django.channels.consumer")


class Eviction:
    """Cancels the handlers of one connection, each ``grace`` seconds after it should have ended.

    A handler may swallow the cancellation: then it is cancelled again, as often.

    Args:
        consumer: Whose handlers they are, for the log.
        task: What runs them.
        grace: Seconds that each has.
        call: The name of the one call that runs, if it is no handler of a consumer.
    """

    __slots__ = ("_call", "_consumer", "_evictions", "_grace", "_task", "_timer")

    def __init__(
        self,
        consumer: object,
        task: asyncio.Task[Any],
        *,
        grace: float,
        call: str = "",
    ) -> None:
        self._consumer = consumer
        self._task = task
        self._grace = grace
        self._call = call
        self._timer: asyncio.TimerHandle | None = None
        # Cancellations of ours that nobody has taken back.
        self._evictions = 0

    def start(self) -> None:
        """Give the handler its time, unless that runs already."""
        if self._timer is None:
            self._timer = self._task.get_loop().call_later(self._grace, self._evict)

    def stop(self) -> None:
        """Let the handler be: it has ended. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take_back(self) -> bool:
        """Undo our cancellations; return whether there were some and no others."""
        evictions, self._evictions = self._evictions, 0
        for _ in range(evictions):
            self._task.uncancel()
        return evictions > 0 and not self._task.cancelling()

    def _evict(self) -> None:
        is_sync = getattr(self._consumer, "_sync", False)
        where = where_it_waits(self._task, getattr(self._consumer, "_thread_id", None))
        name = self._call or name_that_thing(self._consumer)
        self._evictions += 1
        self._task.cancel()
        self._timer = None
        self.start()
        logger.error(
            "%s still runs%s %g s after its client has left; it waits in %s and is %s.",
            name,
            "" if self._call else " a handler",
            self._grace,
            where,
            "left to its thread" if is_sync else "cancelled",
        )
        telemetry.emit(telemetry.HandlerCancelled(name, where))

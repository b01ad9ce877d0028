"""A connection to one shard that mends itself.

It connects again at growing intervals for as long as it is wanted, asking each time where the
shard's server is now, so that it follows a fail-over and a slot that moved.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import redis.exceptions

from channels import telemetry
from channels_redis._wire import Reply, Wire, pack

Open = Callable[[], Awaitable[asyncio.StreamWriter]]
Command = tuple[Any, ...]

FIRST_DELAY: Final = 0.02
LONGEST_DELAY: Final = 1.0
"""Seconds before the second and before every late attempt to connect."""
STEADY: Final = 0.2
"""Seconds after which a connection that breaks is made again at once; a younger one may be refused
by a server that is not ready, which must not be asked in a tight loop."""
LONGEST_UNSTEADY: Final = 0.25
"""Most seconds before such an attempt."""
OPENING: Final = 5.0
"""Seconds in which one attempt to connect must succeed."""

REFUSALS: Final = frozenset({"NOAUTH", "WRONGPASS"})
"""First words of refusals of a connection without the right password."""


class Lifeline:
    """Keeps a wire to one shard, on the running event loop.

    Subclasses say what they do with replies and with a new wire.

    Args:
        open_connection: Connects to the shard's present server.
        name: For the log.
        logger: Where losses and returns are said.
        greeting: Commands for each new connection, before any other.
        patience: Seconds without a sign of life after which the connection counts as broken.

    Attributes:
        is_closed: Whether it was closed for good.
    """

    def __init__(
        self,
        open_connection: Open,
        *,
        name: str,
        logger: logging.Logger,
        greeting: tuple[Command, ...] = (),
        patience: float = 10.0,
    ) -> None:
        self.name = name
        self.is_closed: bool = False
        self._open_connection = open_connection
        self._logger = logger
        self._greeting = greeting
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._heard_at: float = self._loop.time()
        self._away_since: float | None = self._heard_at
        self._has_connected = False
        self._opened_at = 0.0
        self._unsteady = 0.0
        self._why: Exception | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the connection is there, as far as is known."""
        return self._wire is not None

    @property
    def address(self) -> str | None:
        """Where the server is, or ``None`` while there is no connection."""
        return None if self._wire is None else self._wire.address

    @property
    def away_for(self) -> float:
        """Seconds since the connection broke, or 0 while it is there."""
        return 0.0 if self._away_since is None else self._loop.time() - self._away_since

    def connect(self) -> None:
        """Connect, unless there is a connection or one is being made."""
        if self._wire is None and self._opening is None and not self.is_closed:
            self._opening = self._loop.create_task(self._connect())

    def break_off(self, error: Exception) -> None:
        """Give the present connection up and make a new one."""
        if self._wire is not None:
            self._wire.fail(error)

    def close(self) -> None:
        """Close the connection for good."""
        self.is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _greeted(self, answers: list[Reply]) -> None:
        """Take the answers to the greeting; what this raises makes the attempt a failure."""

    def _opened(self, wire: Wire) -> None:
        """Begin to use a new connection."""
        raise NotImplementedError

    def _broke(self) -> None:
        """Take note that the connection broke."""
        raise NotImplementedError

    def _not_opened(self, error: Exception) -> None:
        """Take note that an attempt to connect failed."""

    def _replied(self, reply: Reply) -> None:
        """Take a reply."""
        raise NotImplementedError

    def _lost(self, error: Exception) -> None:
        self._wire = None
        self._away_since = self._loop.time()
        self._why = error
        self._logger.warning("Lost Redis shard %s: %s; connecting again.", self.name, error)
        telemetry.emit(telemetry.BrokerConnectionLost(self.name, str(error)))
        if self._away_since - self._opened_at > STEADY:
            self._unsteady = 0.0
        else:
            self._unsteady = min(max(FIRST_DELAY, 2 * self._unsteady), LONGEST_UNSTEADY)
        self._broke()
        self.connect()

    async def _connect(self) -> None:
        await asyncio.sleep(self._unsteady)
        delay = 0.0
        while True:
            try:
                async with asyncio.timeout(OPENING):
                    wire = await self._greet(await self._open_connection())
                break
            # Whatever a server that is just dying, or a pool of somebody's, makes of it: an attempt
            # that ended in silence would be the last one.
            except Exception as error:
                level = logging.DEBUG if delay else logging.WARNING
                # Not its repr: that of redis-py says nothing of where and why.
                what = f"{type(error).__name__}: {error}"
                self._logger.log(level, "Cannot connect to Redis shard %s: %s", self.name, what)
                self._why = error
                self._not_opened(error)
            delay = min(max(FIRST_DELAY, 2 * delay), LONGEST_DELAY)
            await asyncio.sleep(delay * (0.5 + random.random() / 2))  # noqa: S311 - no secret
        self._opening = None
        if self.is_closed:
            # redis-py may take a cancellation for a fault, and try again.
            wire.close()
            return
        self._wire = wire
        self._heard_at = self._opened_at = now = self._loop.time()
        if self._has_connected and self._away_since is not None:
            away = now - self._away_since
            self._logger.warning("Redis shard %s is back after %.2f s.", self.name, away)
            telemetry.emit(telemetry.BrokerConnectionRestored(self.name, away))
        self._has_connected = True
        self._away_since = self._why = None
        try:
            self._opened(wire)
        # A connection that was begun by halves would give answers to the wrong callers.
        except Exception as error:
            self.break_off(error)

    async def _greet(self, writer: asyncio.StreamWriter) -> Wire:
        """Send the greeting and wait for its answers; nothing else may come before it."""
        answers: asyncio.Queue[Reply | Exception] = asyncio.Queue()
        wire = Wire(writer, answers.put_nowait, answers.put_nowait)
        try:
            for command in self._greeting:
                wire.write(pack(*command))
            self._greeted([_require_success(await answers.get()) for _ in self._greeting])
            # A loss that came with the last answer will not be told again.
            while not answers.empty():
                _require_success(answers.get_nowait())
        except BaseException:
            wire.close()
            raise
        wire.hand_over(self._replied, self._lost)
        return wire


async def close_all(lines: Iterable[Lifeline]) -> None:
    """Close connections for good, and those that are just being made."""
    openings = []
    for line in lines:
        if line._opening is not None:
            openings.append(line._opening)
        line.close()
    if openings:
        await asyncio.wait(openings)
    # The event loop closes a socket in its next turn.
    await asyncio.sleep(0)


def is_refusal(error: Exception) -> bool:
    """Return whether a server lets this process in no sooner than its settings change."""
    is_of_redis = isinstance(error, redis.exceptions.AuthenticationError)
    return is_of_redis or str(error).partition(" ")[0] in REFUSALS


def _require_success(answer: Reply | Exception) -> Reply:
    if isinstance(answer, Exception):
        raise answer
    return answer

"""Runs coroutines on behalf of a task that is parked, without waking it.

Waking a task costs more than most handlers: a turn of the event loop, and every coroutine between
the server and the handler. So the coroutine takes its first steps in whoever has work for it, and
each further one when what it waits for is done. Only a cancellation needs the task: then it wakes
and takes the coroutine over. While a coroutine takes a step, the context variables and
``asyncio.current_task()`` are the task's.

A coroutine ends with an exception, which costs as much as a few calls; so a driver, which awaits
one coroutine after the other, takes it and gives a value.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, Protocol

Driver = Generator[Any, Any, Any]

_swap_current_task = getattr(asyncio.tasks, "_swap_current_task", None)

IS_POSSIBLE: Final = _swap_current_task is not None
"""Whether this Python can: from 3.12 on, where tasks themselves may start eagerly."""

FRAME: Final = 0
MESSAGE: Final = 1
"""Levels: a message's handler may begin within a frame's, and nothing within a message's."""

_DONE: Final = object()


@types.coroutine
def _drive() -> Driver:  # from Python 3.12 on
    outcome = None
    while True:
        coroutine = yield outcome
        yield from coroutine
        outcome = _DONE


def _new_driver() -> Driver:
    driver = _drive()
    driver.send(None)
    return driver


class _Here(threading.local):
    """The driver of this thread for each level; ``None`` within a step on it."""

    def __init__(self) -> None:
        self.drivers: list[Any] = [_new_driver(), _new_driver()]


_here: Final = _Here()


def may_begin() -> bool:
    """Return whether a message's handler may begin here: not within that of another message."""
    return _here.drivers[MESSAGE] is not None


def may_begin_frame() -> bool:
    """Return whether a frame's handler may begin here: not within that of anything."""
    drivers = _here.drivers
    return drivers[FRAME] is not None and drivers[MESSAGE] is not None


def is_stepping() -> bool:
    """Return whether this is within a step of a handler, and so of a task that is parked."""
    task = asyncio.current_task()
    return task is not None and not getattr(task.get_coro(), "cr_running", True)


def context_of(task: asyncio.Task[Any]) -> contextvars.Context:  # from Python 3.12 on
    """Return the context that ``task`` runs in; only where ``IS_POSSIBLE``."""
    context: contextvars.Context = task.get_context()  # type: ignore[attr-defined] # from 3.12 on
    return context


class Owner(Protocol):
    """Whose task is parked.

    Attributes:
        task: The task.
        loop: Its event loop.
        context: What it runs in.
        parked: What it waits for while it is parked.
    """

    task: asyncio.Task[Any]
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context
    parked: asyncio.Future[None] | None

    def begun_ended(self, begun: Begun) -> None:
        """Take note that a coroutine that had to wait is done; called in the event loop."""
        ...


class Waiting(Protocol):
    """A handler that has begun and waits, in the event loop or in a thread.

    Attributes:
        driver: Awaits it, in the event loop.
        error: What it has raised.
    """

    error: BaseException | None

    @property
    def driver(self) -> Driver | None:
        """See above."""
        ...

    def finish(self, thrown: BaseException) -> Awaitable[None]:
        """Run the rest in the task, cancelled; raise ``thrown`` where it does not end so."""
        ...


class Begun:  # from Python 3.12 on
    """A coroutine that has begun, and waits for something.

    Args:
        driver: Awaits it.
        owner: On whose behalf; it is told of the end, unless its task has taken over.

    Attributes:
        driver: Awaits it.
        error: What it has raised.
    """

    __slots__ = ("_is_taken_over", "_owner", "_waits_for", "driver", "error")

    def __init__(self, driver: Driver, owner: Owner) -> None:
        self.driver: Driver = driver
        self.error: BaseException | None = None
        self._owner = owner
        self._waits_for: Any = None
        self._is_taken_over = False

    def wait_for(self, awaited: Any) -> None:
        """Take the next step when ``awaited``, which the coroutine has yielded, is done."""
        self._waits_for = awaited
        # As ``asyncio.Task`` does: a future asks in this way to be waited for.
        if awaited is None:
            self._owner.loop.call_soon(self._step)
        elif getattr(awaited, "_asyncio_future_blocking", False):
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._step)
        else:
            error = RuntimeError(f"a handler awaits {awaited!r}, expected a future of asyncio")
            self._owner.loop.call_soon(self._step, error)

    @types.coroutine
    def finish(self, thrown: BaseException) -> Generator[Any, Any, Any]:
        """Run the rest in the task; cancel what it waits for, or raise ``thrown`` there."""
        self._is_taken_over = True
        # Under this name, ``diagnosis`` finds where the coroutine waits.
        driver, awaited = self.driver, self._waits_for
        if asyncio.isfuture(awaited) and awaited.cancel():
            awaited._asyncio_future_blocking = True
        else:
            awaited = driver.throw(thrown)
        while awaited is not _DONE:
            try:
                answer = yield awaited
            except BaseException as error:
                awaited = driver.throw(error)
            else:
                awaited = driver.send(answer)

    def _step(self, done: object = None) -> None:
        owner, drivers = self._owner, _here.drivers
        # A task that has been cancelled in this turn of the loop is about to take over.
        if self._is_taken_over or (owner.parked is not None and owner.parked.cancelled()):
            return
        place, drivers[FRAME] = drivers[FRAME], None
        before = _swap_current_task(owner.loop, owner.task)  # type: ignore[misc]
        try:
            # Not the context of the callback: who is told of the end is out of it.
            if isinstance(done, BaseException):
                awaited = owner.context.run(self.driver.throw, done)
            else:
                awaited = owner.context.run(self.driver.send, None)
        except BaseException as error:
            self.error, awaited = error, _DONE
        finally:
            _swap_current_task(owner.loop, before)  # type: ignore[misc]
            drivers[FRAME] = place
        if awaited is _DONE:
            owner.begun_ended(self)
        else:
            self.wait_for(awaited)


def begin(  # from Python 3.12 on
    coroutine: Coroutine[Any, Any, Any], owner: Owner, level: int
) -> Begun | None:
    """Run ``coroutine`` until it waits, and return what runs the rest; ``None`` if it is done.

    Args:
        coroutine: Has not begun yet.
        owner: On whose behalf; its event loop runs.
        level: What it handles, ``FRAME`` or ``MESSAGE``; that may begin here.

    Raises:
        BaseException: What it raised.
    """
    drivers = _here.drivers
    driver, drivers[level] = drivers[level], None
    before = _swap_current_task(owner.loop, owner.task)  # type: ignore[misc]
    try:
        awaited = owner.context.run(driver.send, coroutine)
    except BaseException:
        drivers[level] = _new_driver()
        raise
    finally:
        _swap_current_task(owner.loop, before)  # type: ignore[misc]
    if awaited is _DONE:
        drivers[level] = driver
        return None
    drivers[level] = _new_driver()
    begun = Begun(driver, owner)
    begun.wait_for(awaited)
    return begun

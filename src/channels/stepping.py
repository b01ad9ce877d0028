"""Begins a coroutine at once on behalf of a task that is parked.

Waking a task costs more than most handlers: a turn of the event loop, and every coroutine between
the server and the handler. So the coroutine takes its first steps in whoever has work for it, and
only if it has to wait does the task wake and take it over. While it runs, the context variables and
``asyncio.current_task()`` are the task's.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import types
from collections.abc import Coroutine, Generator
from typing import Any, Final

_swap_current_task = getattr(asyncio.tasks, "_swap_current_task", None)

IS_POSSIBLE: Final = _swap_current_task is not None
"""Whether this Python can: from 3.12 on, where tasks themselves may start eagerly."""


class _Depth(threading.local):
    """How many coroutines this thread has begun within each other."""

    steps = 0


_depth: Final = _Depth()


def is_stepping() -> bool:
    """Return whether this thread is within ``begin``."""
    return _depth.steps > 0


def context_of(task: asyncio.Task[Any]) -> contextvars.Context:  # from Python 3.12 on
    """Return the context that ``task`` runs in; only where ``IS_POSSIBLE``."""
    context: contextvars.Context = task.get_context()  # type: ignore[attr-defined] # from 3.12 on
    return context


def begin(  # from Python 3.12 on
    coroutine: Coroutine[Any, Any, Any], task: asyncio.Task[Any], context: contextvars.Context
) -> Any:
    """Run ``coroutine`` until it waits, and return for what: to be handed to ``finish``.

    Raises:
        StopIteration: It is done.
        BaseException: What it raised.
    """
    loop = task.get_loop()
    before = _swap_current_task(loop, task)  # type: ignore[misc] # only where IS_POSSIBLE
    _depth.steps += 1
    try:
        return context.run(coroutine.send, None)
    finally:
        _depth.steps -= 1
        _swap_current_task(loop, before)  # type: ignore[misc]


@types.coroutine
def finish(  # from Python 3.12 on
    handler: Coroutine[Any, Any, Any], waits_for: Any, thrown: BaseException | None = None
) -> Generator[Any, Any, Any]:
    """Run the rest of a coroutine that was begun, in the task it was begun for.

    Args:
        handler: The coroutine.
        waits_for: What ``begin`` returned.
        thrown: Raise this where it waits.
    """
    while True:
        if thrown is None:
            try:
                yield waits_for
            except BaseException as error:
                thrown = error
            else:
                return (yield from handler)
        try:
            waits_for = handler.throw(thrown)
        except StopIteration as stop:
            return stop.value
        thrown = None

"""The event loop of code that has none: one thread of this package, started when it is needed.

It lives as long as the process. A child process has none of the threads of its parent, and starts
its own.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction

from channels.lanes import set_parent_executor

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]], *, instead: str) -> T:
    """Do ``work`` on the event loop and return its result, from sync code in any thread.

    Costs a task, and a thread hop each way.

    Args:
        work: Called there; what it returns is awaited there.
        instead: What a caller that has an event loop should do, for the error.

    Raises:
        SynchronousOnlyOperation: The caller runs in an event loop, which this would block.
        Exception: What it raised.
    """
    if asyncio._get_running_loop() is not None:
        raise SynchronousOnlyOperation(f"this would block the event loop; {instead} instead")
    return run_blocking(work)


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work`` as ``run`` does, also where another event loop has to wait for it."""

    async def there() -> tuple[T, None] | tuple[None, BaseException]:
        # Sync code below it would else wait for the caller's thread, which waits for it.
        set_parent_executor(None)
        context = ThreadSensitiveContext()
        SyncToAsync.thread_sensitive_context.set(context)
        try:
            return await work(), None
        except (SystemExit, KeyboardInterrupt) as error:
            # Raised here, it would end the thread that everybody uses.
            return None, error
        finally:
            executor = SyncToAsync.context_to_thread_executor.pop(context, None)
            if executor is not None:
                executor.shutdown(wait=False)

    result, ending = asyncio.run_coroutine_threadsafe(there(), loop()).result()
    if ending is not None:
        raise ending
    return cast("T", result)


def run_after_commit(
    work: Callable[[], Awaitable[T]], *, using: str | None, instead: str
) -> T | None:
    """Do ``work`` as ``run`` does, or after the commit of a transaction.

    Args:
        work: See ``run``.
        using: The database whose transaction counts; ``None`` waits for none.
        instead: See ``run``.

    Returns:
        Its result; ``None`` before a commit.

    Raises:
        SynchronousOnlyOperation: The caller runs in an event loop, which this would block.
        Exception: What it raised. After a commit it is raised where the transaction ends.
    """
    do = functools.partial(run, work, instead=instead)
    if using is not None and transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(do, using=using)
        return None
    return do()


def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop, which runs in its thread."""
    return _thread.loop()


def owns(other: asyncio.AbstractEventLoop) -> bool:
    """Return whether ``other`` is that event loop; starts nothing."""
    return other is _thread.running


class _Thread:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self.running is None:
                self.running = self._start()
            return self.running

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        try:
            threading.Thread(target=loop.run_forever, name="channels", daemon=True).start()
        except BaseException:
            loop.close()
            raise
        return loop


_thread = _Thread()


def _after_fork() -> None:
    global _thread
    _thread = _Thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

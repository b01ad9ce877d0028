"""Database access from async code, and closing connections that are too old.

Only threads that have run a query are cleaned up: each new connection gets an execute wrapper
that marks the lane of its thread, so an event whose handler used no database costs no thread hop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections
from django.db.backends.signals import connection_created

from channels.lanes import SHARED, Lane, current_lane

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import Context

    from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
R = TypeVar("R")

logger: logging.Logger = logging.getLogger("django.channels.db")

RECHECK: Final = 1.0
"""Seconds after which a connection that was left open is looked at again."""


class DatabaseSyncToAsync(SyncToAsync[P, R]):
    """``SyncToAsync`` that closes old database connections before and after the function.

    Usable as a wrapper, as a decorator, and as a decorator with options.

    Args:
        func: The sync function.
        thread_sensitive: Run in the thread of other thread-sensitive code, else in a pool.
        executor: The pool to use if not thread-sensitive.
        context: Context to run in; by default a copy of the caller's.

    Raises:
        TypeError: ``func`` is a coroutine function, or an executor was given together with
            ``thread_sensitive``.
    """

    if not TYPE_CHECKING:

        def __new__(cls, func=None, *args, **kwargs):
            """Make a decorator where only options are given."""
            if func is None:
                return lambda function: cls(function, *args, **kwargs)
            return super().__new__(cls)

    def __init__(
        self,
        func: Callable[P, R],
        thread_sensitive: bool = True,
        executor: ThreadPoolExecutor | None = None,
        context: Context | None = None,
    ) -> None:
        # The oldest asgiref that is supported takes no context.
        options = {} if context is None else {"context": context}
        super().__init__(func, thread_sensitive, executor, **options)

    def thread_handler(self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
        """Run the function in its thread, between two clean-ups.

        A lane whose thread has opened no connection needs none.
        """
        _clean_up_if_used()
        try:
            return super().thread_handler(loop, *args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            _clean_up_if_used()


if TYPE_CHECKING:

    @overload
    def database_sync_to_async(
        func: Callable[P, R],
        thread_sensitive: bool = True,
        executor: ThreadPoolExecutor | None = None,
        context: Context | None = None,
    ) -> DatabaseSyncToAsync[P, R]: ...
    @overload
    def database_sync_to_async(
        func: None = None,
        thread_sensitive: bool = True,
        executor: ThreadPoolExecutor | None = None,
        context: Context | None = None,
    ) -> Callable[[Callable[P, R]], DatabaseSyncToAsync[P, R]]: ...
    def database_sync_to_async(*args: Any, **kwargs: Any) -> Any:
        """Wrap a function, or return the decorator; see ``DatabaseSyncToAsync``."""

else:
    database_sync_to_async = DatabaseSyncToAsync


def close_old_connections(**kwargs: Any) -> None:
    """Close the connections of this thread that are too old or broken.

    Unlike Django's function it leaves one alone that is inside ``atomic``: closing it would end
    a transaction of the code around this call, such as that of a test case.

    Args:
        **kwargs: Ignored, so that it can receive signals.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


_OURS: Final = close_old_connections


async def aclose_old_connections() -> None:
    """Close the connections of the sync thread that are too old or broken.

    Long-lived async code calls it before a burst of queries. Costs one hop to the thread.
    """
    await sync_to_async(_clean_up)()


def submit_clean_up(lane: Lane) -> bool:
    """Clean up in the thread of ``lane`` before its next call, without waiting for it.

    Returns:
        Whether that was possible; ``SHARED`` has no thread of its own to ask.
    """
    if lane.executor is None:
        return False
    lane.database_used = False
    lane.cleaned_at = time.monotonic()
    lane.executor.submit(_clean_up_and_log)
    return True


def needs_clean_up(lane: Lane) -> bool:
    """Return whether the thread of ``lane`` may hold a connection that should be closed."""
    return lane.database_used or (
        lane.database_open and time.monotonic() - lane.cleaned_at > RECHECK
    )


def _clean_up_if_used() -> None:
    """Clean up, unless the thread is a lane's and has opened no connection."""
    lane = current_lane()
    if (
        lane is SHARED
        or lane.database_used
        or lane.database_open
        # Whoever has replaced it is to be called in any case.
        or close_old_connections is not _OURS
    ):
        _clean_up()


def _clean_up() -> None:
    # The name is looked up at each call: test tooling replaces it.
    close_old_connections()
    lane = current_lane()
    lane.database_used = False
    lane.database_open = any(
        connection.connection is not None for connection in connections.all(initialized_only=True)
    )
    lane.cleaned_at = time.monotonic()


def _clean_up_and_log() -> None:
    try:
        _clean_up()
    except Exception:
        # Nobody waits for the outcome.
        logger.exception("A database connection could not be closed.")


def _watch(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if _mark_used not in connection.execute_wrappers:
        connection.execute_wrappers.append(_mark_used)
    current_lane().database_used = True


def _mark_used(execute: Callable[..., Any], sql: Any, params: Any, *rest: Any) -> Any:
    current_lane().database_used = True
    return execute(sql, params, *rest)


connection_created.connect(_watch)

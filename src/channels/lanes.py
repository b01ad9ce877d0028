"""A bounded pool of single-thread lanes, on which the sync code of connections runs.

A connection keeps the lane it was given, so its sync code always meets the same thread and the
same database connections, while connections on other lanes run at the same time. A lane also
knows whether its thread has used a database connection since that was last cleaned up.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context, Token, copy_context
from typing import Final

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext

from channels.conf import channels_settings

MOST_JOBS: Final = 32
"""Jobs of a lane between two looks at what else its thread has to do."""


class _LaneContext(ThreadSensitiveContext):
    """The thread-sensitive context that stands for a lane."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.lane = lane


class Lane:
    """A thread for sync code.

    Attributes:
        connections: How many connections are on this lane now.
        leaving: How many have ended whose sync code may still run or wait in the thread.
        has_run: Whether the thread has been started.
        executor: Runs one call after the other in the lane's thread; ``None`` for ``SHARED``.
        database_used: Whether a query has run in the thread since the last clean-up.
        database_open: Whether the last clean-up left a connection open.
        cleaned_at: When the last clean-up was, on the monotonic clock.
    """

    __slots__ = (
        "_is_busy",
        "_jobs",
        "_lock",
        "cleaned_at",
        "connections",
        "context",
        "database_open",
        "database_used",
        "executor",
        "has_run",
        "leaving",
    )

    def __init__(self) -> None:
        self.connections: int = 0
        self.leaving: int = 0
        self.executor: ThreadPoolExecutor | None = None
        self.has_run: bool = False
        self.database_used: bool = False
        self.database_open: bool = False
        self.cleaned_at: float = 0.0
        self.context: ThreadSensitiveContext = _LaneContext(self)
        self._jobs: deque[Callable[[], None]] = deque()
        self._is_busy = False
        self._lock = threading.Lock()

    def post(self, job: Callable[[], None]) -> None:
        """Have ``job``, which must not raise, run in the lane's thread; jobs keep their order.

        One item of the executor does all that have gathered, up to ``MOST_JOBS``.

        Raises:
            RuntimeError: The interpreter ends.
        """
        with self._lock:
            self._jobs.append(job)
            is_first, self._is_busy = not self._is_busy, True
        if is_first:
            self._submit()

    def _work(self) -> None:
        for _ in range(MOST_JOBS):
            with self._lock:
                if not self._jobs:
                    self._is_busy = False
                    return
                job = self._jobs.popleft()
            job()
        # Others that use the thread have their turn.
        self._submit()

    def _submit(self) -> None:
        if self.executor is not None:
            self.executor.submit(self._work)


SHARED: Lane = Lane()
"""Stands for every thread that is no lane's: the parent's, or the process-wide one."""

EMPTY: Final = Context()
_NOWHERE: Final = object()

_here = threading.local()
_lanes: list[Lane] = []
_lock = threading.Lock()
# Threads do not survive a fork.
os.register_at_fork(after_in_child=_lanes.clear)


def current_lane() -> Lane:
    """Return the lane of the calling thread."""
    lane: Lane = getattr(_here, "lane", SHARED)
    return lane


class enter_lane:  # noqa: N801 - used like a function
    """Send the thread-sensitive code of this context to a lane until the block ends.

    A block inside another keeps its lane. Nothing changes where a sync caller waits above
    (``async_to_sync``, Django's test client) or someone else's thread-sensitive context is set:
    such code expects its own thread.

    A class, since a generator would take three times the memory in each connection.
    """

    __slots__ = ("_lane", "_token")

    def __init__(self) -> None:
        self._token: Token[ThreadSensitiveContext] | None = None

    def __enter__(self) -> Lane:
        context = SyncToAsync.thread_sensitive_context.get(None)
        if context is not None or _has_parent_thread():
            return context.lane if isinstance(context, _LaneContext) else SHARED
        self._lane = _assign()
        self._token = SyncToAsync.thread_sensitive_context.set(self._lane.context)
        return self._lane

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _release(self._lane)
            SyncToAsync.thread_sensitive_context.reset(self._token)


def parent_executor() -> Executor | None:
    """Return what runs the sync code of this context in the thread of a waiting sync caller."""
    executor: Executor | None = getattr(AsyncToSync.executors, "current", None)
    return executor


def set_parent_executor(executor: Executor | None) -> None:
    """Put back what ``parent_executor`` returned.

    A sync call that is cancelled while its thread waits for the event loop leaves that thread's
    executor in the context of its caller, where the next sync call would find it ended.
    """
    AsyncToSync.executors.current = executor


def _has_parent_thread() -> bool:
    if asyncio.get_running_loop() in AsyncToSync.loop_thread_executors:
        return True
    # The connections of a server begin in like contexts, and asgiref takes long to look into one:
    # the latest without a sync caller is kept, with what it holds.
    context = copy_context()
    if _are_alike(context, getattr(_here, "without_parent", EMPTY)):
        return False
    if parent_executor() is not None:
        return True
    _here.without_parent = context
    return False


def _are_alike(one: Context, other: Context) -> bool:
    # By identity: what a value's own comparison does, or costs, is anybody's guess.
    if len(one) != len(other):
        return False
    for var, value in one.items():  # noqa: SIM110 - all() would make a generator each time
        if other.get(var, _NOWHERE) is not value:
            return False
    return True


def _assign() -> Lane:
    with _lock:
        lane = min(_lanes, key=_load, default=None)
        if lane is None or (any(_load(lane)) and len(_lanes) < channels_settings().sync_threads):
            lane = _new_lane(len(_lanes))
            _lanes.append(lane)
        lane.connections += 1
        return lane


def _load(lane: Lane) -> tuple[int, int]:
    # A handler that was left behind holds up everyone on its lane, so such a lane comes last.
    return lane.leaving, lane.connections


def _release(lane: Lane) -> None:
    with _lock:
        lane.connections -= 1
        if lane.executor is not None and lane.has_run:
            lane.leaving += 1
            lane.executor.submit(_left, lane)


def _left(lane: Lane) -> None:
    with _lock:
        lane.leaving -= 1


def _new_lane(number: int) -> Lane:
    lane = Lane()
    lane.executor = ThreadPoolExecutor(1, f"channels-lane-{number}", _start, (lane,))
    SyncToAsync.context_to_thread_executor[lane.context] = lane.executor
    return lane


def _start(lane: Lane) -> None:
    _here.lane = lane
    lane.has_run = True

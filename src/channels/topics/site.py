"""The topics of this process: on the running event loop, or from code that has none."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from django.core.exceptions import SynchronousOnlyOperation

from channels.layers import get_channel_layer
from channels.topics.engine import Engine
from channels.topics.revocation import check_users
from channels.topics.upkeep import keep_up

T = TypeVar("T")

USER_CHECK_INTERVAL = 60.0
"""Seconds within which a user who was deactivated behind Django's back loses the topics."""


def here() -> Engine:
    """Return the topics of the running event loop.

    Raises:
        InvalidChannelLayerError: The default channel layer cannot keep topics.
    """
    loop = asyncio.get_running_loop()
    layer = get_channel_layer()
    found = _engines.get(loop)
    if found is None or found.layer is not layer or found.broker.is_closed:
        for ended in [one for one in tuple(_engines) if one.is_closed()]:
            _engines.pop(ended, None)
        found = _engines[loop] = Engine(layer, _keep_up)
    return found


def open_engine() -> Engine | None:
    """Return the topics of the running event loop, if anything here has used them."""
    return _engines.get(asyncio.get_running_loop())


def run(work: Callable[[Engine], Awaitable[T]]) -> T:
    """Do ``work`` from sync code and return its result.

    It is done in a thread of this package that has an event loop and lives as long as the process;
    the caller's thread needs none.

    Raises:
        SynchronousOnlyOperation: The caller runs in an event loop, which this would block.
        Exception: What it raised.
    """
    if asyncio._get_running_loop() is not None:
        raise SynchronousOnlyOperation(
            "this would block the event loop; await the method whose name begins with 'a' instead"
        )
    return run_blocking(work)


def run_blocking(work: Callable[[Engine], Awaitable[T]]) -> T:
    """Do ``work`` as ``run`` does, also where an event loop has to wait for it."""

    async def there() -> T:
        return await work(here())

    return asyncio.run_coroutine_threadsafe(there(), _thread.loop()).result()


async def _keep_up(engine: Engine) -> None:
    await keep_up(engine, (USER_CHECK_INTERVAL, check_users))


class _Thread:
    """The event loop of callers that have none, started when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="channels.topics", daemon=True
                ).start()
            return self._loop


_engines: dict[asyncio.AbstractEventLoop, Engine] = {}
_thread = _Thread()


def _after_fork() -> None:
    global _thread  # the parent's thread does not run here
    _thread = _Thread()
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

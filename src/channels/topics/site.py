"""The topics of this process: on the running event loop, or from code that has none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from channels import background
from channels.layers import get_channel_layer
from channels.topics.engine import Engine
from channels.topics.revocation import check_users
from channels.topics.upkeep import keep_up

T = TypeVar("T")

INSTEAD: Final = "await the method whose name begins with 'a'"
"""What code on an event loop is told to do."""

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


def run(work: Callable[[Engine], Awaitable[T]], *, instead: str = INSTEAD) -> T:
    """Do ``work`` from sync code and return its result; the caller's thread needs no event loop.

    Args:
        work: Called on the loop of the topics; what it returns is awaited there.
        instead: What a caller that has an event loop should do, for the error.

    Raises:
        SynchronousOnlyOperation: The caller runs in an event loop, which this would block.
        Exception: What it raised.
    """
    return background.run(lambda: work(here()), instead=instead)


def run_blocking(work: Callable[[Engine], Awaitable[T]]) -> T:
    """Do ``work`` as ``run`` does, also where an event loop has to wait for it."""
    return background.run_blocking(lambda: work(here()))


async def _keep_up(engine: Engine) -> None:
    await keep_up(engine, (USER_CHECK_INTERVAL, check_users))


_engines: dict[asyncio.AbstractEventLoop, Engine] = {}

if hasattr(os, "register_at_fork"):
    # The event loops of the parent do not run there.
    os.register_at_fork(after_in_child=_engines.clear)

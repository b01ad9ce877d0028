"""Small helpers that Channels has always exported."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn


def name_that_thing(thing: object) -> str:
    """Return the dotted name of a function, method or class, or of an instance's class."""
    if inspect.ismethod(thing):
        return f"{name_that_thing(thing.__self__)}.{thing.__name__}"
    if hasattr(thing, "__name__") and hasattr(thing, "__module__"):
        return f"{thing.__module__}.{thing.__name__}"
    return name_that_thing(type(thing))


async def await_many_dispatch(
    consumer_callables: Iterable[Callable[[], Awaitable[Any]]],
    dispatch: Callable[[Any], Awaitable[Any]],
) -> NoReturn:
    """Dispatch what several sources yield, one event at a time, until one of them raises.

    Each source has one read under way. Sources that are ready together are handled in list order,
    one event each per round; the next read of a source starts after its event was handled.

    Args:
        consumer_callables: Each returns an awaitable that gives the next event of its source.
        dispatch: Handles one event; it runs in the caller's own task.

    Raises:
        BaseException: Whatever a read or ``dispatch`` raised first. All reads are cancelled by
            then, and have ended.
    """
    sources = list(consumer_callables)
    reads: list[asyncio.Future[Any]] = []
    try:
        for source in sources:
            # One by one: if this raises, those before it are cancelled too.
            reads.append(asyncio.ensure_future(source()))  # noqa: PERF401
        while True:
            await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            for index, read in enumerate(reads):
                if read.done():
                    await dispatch(read.result())
                    reads[index] = asyncio.ensure_future(sources[index]())
    finally:
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

"""Contract 02, concurrency: ``channels.utils.await_many_dispatch``."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch
from support import aoutcome

note: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="unset")


class _Source:
    """A queue to read from, which writes down when it is read."""

    def __init__(self, name: str, log: list[str], *items: Any) -> None:
        self.name, self.log = name, log
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.cancelled = 0
        for item in items:
            self.queue.put_nowait(item)

    def read(self) -> Any:
        self.log.append(f"read {self.name}")
        return self._wait()

    async def _wait(self) -> Any:
        try:
            return await self.queue.get()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.cancelled += 1
            raise


async def ready_sources_take_turns() -> object:
    """Contract 02, concurrency 3 [run]: list order, one event each per round, none starves."""
    seen: list[str] = []
    client = _Source("client", [], "c1", "c2", "c3")
    layer = _Source("layer", [], "l1", "l2", "l3")

    async def dispatch(event: str) -> None:
        seen.append(event)
        if len(seen) == 6:
            raise StopConsumer

    ended = await aoutcome(await_many_dispatch([client.read, layer.read], dispatch))
    return [seen, ended]


async def the_next_read_starts_before_the_next_event() -> object:
    """Contract 02, concurrency 1 and 4: one read a source, renewed before the following event."""
    log: list[str] = []
    client = _Source("client", log, "c1", "c2")
    layer = _Source("layer", log, "l1")

    async def dispatch(event: str) -> None:
        log.append(f"handle {event}")
        if event == "c2":
            raise StopConsumer

    await aoutcome(await_many_dispatch([client.read, layer.read], dispatch))
    return {
        "reads before the first event": sorted(log[: log.index("handle c1")]),
        "between c1 and l1": log[log.index("handle c1") + 1 : log.index("handle l1")],
    }


async def events_never_overlap() -> object:
    """Contract 02, concurrency 2: strictly one at a time, also from several sources."""
    running, most, count = 0, 0, 0

    async def dispatch(event: str) -> None:
        nonlocal running, most, count
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        count += 1
        if count == 6:
            raise StopConsumer

    sources = [_Source(name, [], 1, 2, 3) for name in "ab"]
    await aoutcome(await_many_dispatch([each.read for each in sources], dispatch))
    return [most, count]


async def sources_may_return_futures() -> object:
    """Contract 02, concurrency 1: each callable returns any awaitable, coroutine or future."""
    loop = asyncio.get_running_loop()
    made: list[asyncio.Future[str]] = []

    def read() -> asyncio.Future[str]:
        future = loop.create_future()
        made.append(future)
        if len(made) <= 2:
            loop.call_soon(future.set_result, f"event {len(made)}")
        return future

    seen: list[str] = []

    async def dispatch(event: str) -> None:
        seen.append(event)
        if len(seen) == 2:
            raise StopConsumer

    ended = await aoutcome(await_many_dispatch([read], dispatch))
    return [seen, ended]


async def an_error_of_dispatch_propagates() -> object:
    """Contract 02, concurrency 5: the exception of ``dispatch`` propagates as the same object."""
    error = KeyError("mine")

    async def dispatch(event: str) -> None:
        raise error

    source = _Source("a", [], 1)
    return await aoutcome(await_many_dispatch([source.read], dispatch)) is error


async def an_error_of_a_read_propagates() -> object:
    """Contract 02, concurrency 5: the exception of a read propagates as the same object."""
    error = KeyError("the source's")

    async def failing() -> str:
        raise error

    async def dispatch(event: str) -> None:
        raise AssertionError

    quiet = _Source("quiet", [])
    ended = await aoutcome(await_many_dispatch([quiet.read, failing], dispatch))
    return [ended is error, quiet.cancelled]


async def pending_reads_are_cancelled_and_awaited() -> object:
    """Contract 02, concurrency 5: on exit all pending reads are cancelled and awaited."""
    sources = [_Source("a", [], 1), _Source("b", []), _Source("c", [])]

    async def dispatch(event: int) -> None:
        raise StopConsumer

    before = asyncio.all_tasks()
    await aoutcome(await_many_dispatch([each.read for each in sources], dispatch))
    return {
        "cancelled": [each.cancelled for each in sources[1:]],
        "tasks left": len(asyncio.all_tasks() - before),
    }


async def cancellation_cancels_the_reads() -> object:
    """Contract 02, concurrency 5: cancelled from outside, it cancels and awaits its reads."""
    sources = [_Source("a", []), _Source("b", [])]

    async def dispatch(event: int) -> None:
        raise AssertionError

    task = asyncio.ensure_future(await_many_dispatch([each.read for each in sources], dispatch))
    await asyncio.sleep(0.01)
    task.cancel()
    ended = await aoutcome(task)
    return [ended, [each.cancelled for each in sources]]


async def dispatch_runs_in_the_callers_task() -> object:
    """Contract 02, concurrency 6: dispatch in the caller's own task, reads in child tasks."""
    tasks: dict[str, Any] = {}
    seen: list[str] = []

    async def read() -> str:
        tasks["read"] = asyncio.current_task()
        note.set("set by the read")
        return "event"

    async def dispatch(event: str) -> None:
        tasks["dispatch"] = asyncio.current_task()
        seen.append(note.get())
        note.set("set by dispatch")
        if len(seen) == 2:
            raise StopConsumer

    await aoutcome(await_many_dispatch([read], dispatch))
    here = asyncio.current_task()
    return [tasks["dispatch"] is here, tasks["read"] is here, seen, note.get()]


async def when_the_first_read_fails_the_others_are_cancelled() -> object:
    """Contract 02, quirks [run]: the first source's own read fails; is any task left?"""

    async def failing() -> str:
        raise KeyError

    async def dispatch(event: str) -> None:
        raise AssertionError

    before = asyncio.all_tasks()
    quiet = _Source("quiet", [])
    ended = await aoutcome(await_many_dispatch([failing, quiet.read], dispatch))
    await asyncio.sleep(0.01)
    left = asyncio.all_tasks() - before
    for task in left:
        task.cancel()
    return {"ended": ended, "tasks left": len(left)}


async def a_failed_read_and_a_stopping_handler() -> object:
    """Contract 02, quirks [run]: a read has failed when the handler raises StopConsumer."""
    ready = asyncio.Event()

    async def first() -> str:
        if ready.is_set():
            raise KeyError("the read's")
        return "event"

    async def dispatch(event: str) -> None:
        ready.set()
        await asyncio.sleep(0.01)
        raise StopConsumer

    async def second() -> str:
        await ready.wait()
        raise KeyError("the read's")

    return await aoutcome(await_many_dispatch([first, second], dispatch))

"""The two small helpers of old: a name for anything, and dispatching from several sources."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch, name_that_thing


class Thing:
    """Something with methods of each kind."""

    def method(self) -> None: ...

    @classmethod
    def of_class(cls) -> None: ...

    @staticmethod
    def of_none() -> None: ...


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Thing, f"{__name__}.Thing"),
        (Thing(), f"{__name__}.Thing"),
        (Thing().method, f"{__name__}.Thing.method"),
        (Thing.of_class, f"{__name__}.Thing.of_class"),
        (Thing().of_class, f"{__name__}.Thing.of_class"),
        (Thing.of_none, f"{__name__}.of_none"),
        (Thing.method, f"{__name__}.method"),
        (name_that_thing, "channels.utils.name_that_thing"),
        (functools.partial(print), "functools.partial"),
        (int, "builtins.int"),
        (5, "builtins.int"),
        ("text", "builtins.str"),
        (None, "builtins.NoneType"),
    ],
    # The name alone: a repr holds an address, and each worker would collect other ids.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_has_a_name(thing: object, name: str) -> None:
    assert name_that_thing(thing) == name


class Source:
    """Gives the events put into it, and remembers how it was read."""

    def __init__(self, *events: Any) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        for event in events:
            self.queue.put_nowait(event)
        self.reading = self.most_reading = self.started = self.cancelled = 0
        self.task: asyncio.Task[Any] | None = None

    async def __call__(self) -> Any:
        self.started += 1
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        self.task = asyncio.current_task()
        try:
            event = await self.queue.get()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a layer that tidies up takes a moment
            self.cancelled += 1
            raise
        finally:
            self.reading -= 1
        if isinstance(event, BaseException):
            raise event
        return event


def stopping_after(number: int, seen: list[Any]) -> Callable[[Any], Awaitable[None]]:
    """Return a dispatch that notes each event and stops at the given number of them."""

    async def dispatch(event: Any) -> None:
        seen.append(event)
        if len(seen) == number:
            raise StopConsumer

    return dispatch


async def test_sources_that_are_ready_together_take_turns_the_first_first() -> None:
    client, layer = Source("c1", "c2", "c3"), Source("l1", "l2", "l3")
    seen: list[str] = []

    with pytest.raises(StopConsumer):
        await await_many_dispatch([client, layer], stopping_after(6, seen))

    assert seen == ["c1", "l1", "c2", "l2", "c3", "l3"]


async def test_each_source_has_one_read_under_way() -> None:
    client, layer = Source(1, 2, 3, 4), Source()
    seen: list[int] = []

    with pytest.raises(StopConsumer):
        await await_many_dispatch([client, layer], stopping_after(4, seen))

    assert (client.most_reading, layer.most_reading) == (1, 1)
    assert layer.started == 1


async def test_events_are_dispatched_strictly_one_at_a_time() -> None:
    running = most_running = handled = 0

    async def dispatch(event: str) -> None:
        nonlocal running, most_running, handled
        running += 1
        most_running = max(most_running, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        handled += 1
        if handled == 4:
            raise StopConsumer

    with pytest.raises(StopConsumer):
        await await_many_dispatch([Source("a", "b"), Source("c", "d")], dispatch)

    assert most_running == 1


async def test_a_slow_handler_delays_everything() -> None:
    client, layer = Source("slow"), Source("waits")
    release = asyncio.Event()
    seen: list[str] = []

    async def dispatch(event: str) -> None:
        seen.append(event)
        if event == "waits":
            raise StopConsumer
        await release.wait()

    loop = asyncio.create_task(await_many_dispatch([client, layer], dispatch))
    for _ in range(10):
        await asyncio.sleep(0)
    assert seen == ["slow"]
    release.set()

    with pytest.raises(StopConsumer):
        await loop
    assert seen == ["slow", "waits"]


async def test_the_next_read_of_a_source_starts_before_the_following_event_is_handled() -> None:
    client, layer = Source("c1"), Source("l1")
    reads_at: dict[str, int] = {}

    async def dispatch(event: str) -> None:
        await asyncio.sleep(0)
        reads_at[event] = client.started
        if event == "l1":
            raise StopConsumer

    with pytest.raises(StopConsumer):
        await await_many_dispatch([client, layer], dispatch)

    assert reads_at == {"c1": 1, "l1": 2}


async def test_at_most_one_event_of_each_source_is_fetched_and_never_handled() -> None:
    client, layer = Source(*range(5)), Source(*range(5))
    seen: list[int] = []

    with pytest.raises(StopConsumer):
        await await_many_dispatch([client, layer], stopping_after(3, seen))

    fetched = 10 - client.queue.qsize() - layer.queue.qsize()
    assert len(seen) == 3
    assert fetched <= 3 + 2


class Awaited:
    """An awaitable that is neither a coroutine nor a future."""

    def __await__(self) -> Generator[Any, None, str]:
        yield
        return "event"


def ready_future() -> asyncio.Future[str]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result("event")
    return future


@pytest.mark.parametrize(
    "source", [Source("event"), Awaited, ready_future], ids=["coroutine", "object", "future"]
)
async def test_a_source_may_return_any_awaitable(source: Callable[[], Awaitable[Any]]) -> None:
    seen: list[str] = []

    with pytest.raises(StopConsumer):
        await await_many_dispatch([source], stopping_after(1, seen))

    assert seen == ["event"]


async def test_when_a_handler_raises_every_read_is_cancelled_and_has_ended() -> None:
    client, layer = Source("fail"), Source()

    async def dispatch(event: str) -> None:
        raise LookupError("the handler's own error")

    with pytest.raises(LookupError, match="the handler's own error"):
        await await_many_dispatch([client, layer], dispatch)

    assert (layer.cancelled, layer.reading, client.reading) == (1, 0, 0)


@pytest.mark.parametrize("broken", [0, 1])
async def test_when_a_read_fails_every_other_read_is_cancelled_and_has_ended(broken: int) -> None:
    sources = [Source(), Source()]
    sources[broken].queue.put_nowait(ConnectionError("the broker is gone"))

    with pytest.raises(ConnectionError, match="the broker is gone"):
        await await_many_dispatch(sources, stopping_after(1, []))

    assert sources[1 - broken].cancelled == 1
    assert [source.reading for source in sources] == [0, 0]


async def test_a_read_that_fails_meanwhile_does_not_hide_what_the_handler_raised() -> None:
    client, layer = Source("stop"), Source(ConnectionError("the broker is gone"))

    with pytest.raises(StopConsumer):
        await await_many_dispatch([client, layer], stopping_after(1, []))


async def test_cancelling_it_cancels_the_reads_and_waits_for_them() -> None:
    client, layer = Source(), Source()
    loop = asyncio.create_task(await_many_dispatch([client, layer], stopping_after(1, [])))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop

    assert (client.cancelled, layer.cancelled) == (1, 1)
    assert (client.reading, layer.reading) == (0, 0)


@pytest.mark.parametrize("when", ["at the start", "later"])
async def test_a_source_that_cannot_even_be_asked_leaves_no_read_behind(when: str) -> None:
    layer = Source()
    events = [] if when == "at the start" else ["one"]

    def broken() -> Awaitable[str]:
        if not events:
            raise LookupError("no such channel")
        future = asyncio.get_running_loop().create_future()
        future.set_result(events.pop())
        return future

    with pytest.raises(LookupError, match="no such channel"):
        await await_many_dispatch([layer, broken], stopping_after(5, []))
    await asyncio.sleep(0)

    assert layer.reading == 0
    assert len(asyncio.all_tasks()) == 1


async def test_handlers_run_in_the_callers_task_and_reads_in_tasks_of_their_own() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
    source = Source("blue", "show")
    seen: list[Any] = []

    async def dispatch(event: str) -> None:
        seen.extend((asyncio.current_task(), colour.get()))
        if event == "show":
            raise StopConsumer
        colour.set(event)

    with pytest.raises(StopConsumer):
        await await_many_dispatch([source], dispatch)

    here = asyncio.current_task()
    assert seen == [here, "none", here, "blue"]
    assert source.task is not here

"""What another event loop does for us: its result, its error, its end, and our giving up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from channels_redis._carrying import Carried
from channels_redis._homes import Homes
from channels_redis.exceptions import RedisUnavailableError
from tests.slow import SLOW


@pytest.fixture
def elsewhere() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_a_result_comes_back_from_a_coroutine_and_from_a_future(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def known() -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("known")
        return future

    assert await Carried(where, elsewhere).wait() is elsewhere
    assert await Carried(known, elsewhere).wait() == "known"


async def test_an_error_comes_back_whether_raised_at_once_or_later(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    def at_once() -> asyncio.Future[None]:
        raise LookupError("at once")

    async def later() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    with pytest.raises(LookupError, match="at once"):
        await Carried(at_once, elsewhere).wait()
    with pytest.raises(LookupError, match="later"):
        await Carried(later, elsewhere).wait()


async def test_whoever_is_cancelled_cancels_the_work(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    waiting = asyncio.create_task(Carried(wait, elsewhere).wait())
    await asyncio.to_thread(begun.wait, 5 * SLOW)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert await asyncio.to_thread(cancelled.wait, 5 * SLOW)


async def test_work_that_is_given_up_before_it_has_begun_does_not_begin(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    gate, begun = threading.Event(), []

    async def begin() -> None:
        begun.append(1)

    elsewhere.call_soon_threadsafe(gate.wait)
    waiting = asyncio.create_task(Carried(begin, elsewhere).wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.set()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), elsewhere))

    assert begun == []


async def test_a_loop_that_cancels_the_work_or_has_ended_is_an_error_of_the_layer(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RedisUnavailableError, match="ended before Redis answered"):
        await Carried(cancelled, elsewhere).wait()
    closed = asyncio.new_event_loop()
    closed.close()
    with pytest.raises(RedisUnavailableError, match="has ended"):
        await Carried(cancelled, closed).wait()


async def test_a_loop_that_stops_while_it_works_is_an_error_of_the_layer(
    elsewhere: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = []

    async def stop() -> None:
        elsewhere.stop()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    monkeypatch.setattr("channels_redis._carrying.LOOK", 0.01)
    async with asyncio.timeout(5 * SLOW):
        with pytest.raises(RedisUnavailableError, match="has ended"):
            await Carried(stop, elsewhere).wait()
    assert cancelled == []
    # Should it go on nevertheless, nobody waits for the work.
    await asyncio.to_thread(elsewhere.run_until_complete, asyncio.sleep(0.01))
    assert cancelled == [1]


class Nothing:
    """Lives on an event loop and has no connections."""

    async def close(self) -> None:
        pass


async def test_an_event_loop_that_has_closed_its_connections_makes_no_new_ones(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    homes = Homes(Nothing, orphaned=lambda: None, forked=lambda: None)
    has_settled, is_called = threading.Event(), threading.Event()

    async def end() -> None:
        home = homes.settle()
        has_settled.set()
        is_called.wait()
        await home.move_out()

    async def work(there: Nothing) -> Nothing:
        return there

    ended = asyncio.run_coroutine_threadsafe(end(), elsewhere)
    has_settled.wait()
    answer = homes.run(work)
    is_called.set()

    with pytest.raises(RedisUnavailableError, match="about to end"):
        await answer
    await asyncio.wrap_future(ended)
    assert isinstance(await homes.run(work), Nothing)

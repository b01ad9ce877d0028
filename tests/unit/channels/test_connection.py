"""One connection: the order of its events, how far it reads ahead, and slow handlers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import override_settings

from channels import telemetry
from channels.diagnosis import where_it_waits
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import channel_layers, get_channel_layer
from channels.sources import Pump

SOCKET = {"type": "websocket"}
CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1001}
GRACE = 0.05


def frame(text: str) -> dict[str, str]:
    return {"type": "websocket.receive", "text": text}


@pytest.fixture(autouse=True)
def _fresh_layer() -> None:
    channel_layers.backends.clear()


@pytest.fixture
def seen() -> list[str]:
    return []


class Feed:
    """A server's ``receive`` that counts how often it was asked."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = list(events)
        self.reads = 0

    async def __call__(self) -> dict[str, Any]:
        self.reads += 1
        if self.events:
            return self.events.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def swallow(event: dict[str, Any]) -> None:
    """A server's ``send`` that always works."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition has no event to wait for
            await asyncio.sleep(0.001)


async def test_reading_ahead_of_a_slow_handler_is_bounded() -> None:
    class Slow(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await asyncio.sleep(3600)

    feed = Feed(CONNECT, *(frame(str(n)) for n in range(1000)))
    app = asyncio.create_task(Slow.as_asgi()(dict(SOCKET), feed, swallow))
    await until(lambda: feed.reads >= 3)
    await asyncio.sleep(0.02)

    # The connect, the frame that is handled and one frame ahead.
    assert feed.reads == 3
    app.cancel()
    await asyncio.wait([app])


async def test_client_and_layer_take_turns_the_client_first(seen: list[str]) -> None:
    class Both(AsyncWebsocketConsumer):
        groups = ("room",)

        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            seen.append(f"client {text_data}")
            if text_data == "1":
                for n in range(3):
                    await self.channel_layer.group_send("room", {"type": "news", "n": n})

        async def news(self, event: dict[str, Any]) -> None:
            seen.append(f"layer {event['n']}")
            await asyncio.sleep(0)

    feed = Feed(CONNECT, frame("1"), frame("2"), frame("3"), DISCONNECT)
    await Both.as_asgi()(dict(SOCKET), feed, swallow)

    assert seen == ["client 1", "layer 0", "client 2", "layer 1", "client 3", "layer 2"]


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_handler_that_outlives_its_client_is_named_and_cancelled(
    seen: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            try:
                await asyncio.sleep(3600)  # it waits here
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def disconnect(self, code: int) -> None:
            seen.append(f"disconnect {code}")

    before = telemetry.totals["HandlerCancelled"]
    feed = Feed(CONNECT, frame("x"), DISCONNECT)
    async with asyncio.timeout(5):
        await Stuck.as_asgi()(dict(SOCKET), feed, swallow)

    line = Stuck.receive.__code__.co_firstlineno + 4
    assert seen == ["cancelled", "disconnect 1001"]
    assert "Stuck still runs a handler" in caplog.text
    assert f"{__file__}:{line}" in caplog.text
    assert telemetry.totals["HandlerCancelled"] == before + 1


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_disconnect_behind_an_unread_frame_is_found(seen: list[str]) -> None:
    class Stuck(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            seen.append(f"start {text_data}")
            await asyncio.sleep(3600)

        async def disconnect(self, code: int) -> None:
            seen.append("disconnect")

    feed = Feed(CONNECT, frame("1"), frame("2"), DISCONNECT)
    async with asyncio.timeout(5):
        await Stuck.as_asgi()(dict(SOCKET), feed, swallow)

    assert seen == ["start 1", "start 2", "disconnect"]


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_stuck_disconnect_ends_the_consumer_too() -> None:
    class Stuck(AsyncWebsocketConsumer):
        groups = ("room",)

        async def disconnect(self, code: int) -> None:
            await asyncio.sleep(3600)

    feed = Feed(CONNECT, DISCONNECT)
    async with asyncio.timeout(5):
        await Stuck.as_asgi()(dict(SOCKET), feed, swallow)

    assert get_channel_layer().groups == {}


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_handler_that_swallows_its_cancellation_is_told_again(seen: list[str]) -> None:
    class Stubborn(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            for _ in range(2):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    seen.append("swallowed")

        async def disconnect(self, code: int) -> None:
            seen.append("disconnect")
            await asyncio.sleep(0)

    feed = Feed(CONNECT, frame("x"), DISCONNECT)
    async with asyncio.timeout(5):
        await Stubborn.as_asgi()(dict(SOCKET), feed, swallow)

    assert seen == ["swallowed", "swallowed", "disconnect"]


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_slow_handler_keeps_its_time_while_the_client_stays(seen: list[str]) -> None:
    class Slow(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await asyncio.sleep(GRACE * 4)
            seen.append("done")

    client = ApplicationCommunicator(Slow.as_asgi(), dict(SOCKET))
    await client.send_input(CONNECT)
    await client.receive_output()
    await client.send_input(frame("x"))
    await until(lambda: seen == ["done"])

    await client.send_input(DISCONNECT)
    await client.wait()


@override_settings(CHANNELS={"DISCONNECT_GRACE": 3600})
async def test_the_servers_cancellation_wins_over_the_grace_period() -> None:
    class Stuck(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await asyncio.sleep(3600)

    feed = Feed(CONNECT, frame("x"), DISCONNECT)
    app = asyncio.create_task(Stuck.as_asgi()(dict(SOCKET), feed, swallow))
    await until(lambda: feed.reads >= 3)

    app.cancel()
    await asyncio.wait([app])

    assert app.cancelled()


@override_settings(CHANNELS={"DISCONNECT_GRACE": GRACE})
async def test_a_sync_handler_that_outlives_its_client_is_named_and_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "django.channels.consumer")
    release, finished = threading.Event(), threading.Event()
    answers: list[bool] = []

    class Stuck(WebsocketConsumer):
        groups = ("room",)

        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            release.wait()  # it waits here
            answers.append(self.send("too late"))
            finished.set()

    feed = Feed(CONNECT, frame("x"), DISCONNECT)
    async with asyncio.timeout(5):
        await Stuck.as_asgi()(dict(SOCKET), feed, swallow)
    ended_while_stuck = not finished.is_set()
    release.set()
    await asyncio.to_thread(finished.wait, 5)

    line = Stuck.receive.__code__.co_firstlineno + 1
    assert ended_while_stuck
    assert get_channel_layer().groups == {}
    assert f"{__file__}:{line}" in caplog.text
    assert answers == [False]


class Brief(WebsocketConsumer):
    """Handles a frame for as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.release = threading.Event(), threading.Event()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.begun.set()
        self.release.wait(5)


class AsyncBrief(AsyncWebsocketConsumer):
    """Does so too, and takes a turn of the event loop for its end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.release = threading.Event(), threading.Event()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.begun.set()
        await until(self.release.is_set)

    async def disconnect(self, code: int) -> None:
        await asyncio.sleep(0)


@override_settings(CHANNELS={"DISCONNECT_GRACE": 10})
@pytest.mark.parametrize("kind", [Brief, AsyncBrief])
async def test_no_handler_is_named_once_the_connection_has_ended(
    kind: type[Brief | AsyncBrief],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    clock = loop.time
    consumer, events = kind(), asyncio.Queue[dict[str, Any]]()
    events.put_nowait(CONNECT)
    app = asyncio.create_task(consumer(dict(SOCKET), events.get, swallow))
    # From Python 3.12 on, what arrives when its task is parked is handled without that.
    await asyncio.sleep(GRACE / 2)
    events.put_nowait(frame("x"))
    await until(consumer.begun.is_set)
    events.put_nowait(DISCONNECT)
    await until(events.empty)
    consumer.release.set()
    await app
    monkeypatch.setattr(loop, "time", lambda: clock() + 11)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert caplog.text == ""


async def test_a_handler_that_goes_on_while_the_task_is_parked_is_found_by_the_task() -> None:
    class Waits(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            begun.set()
            await asyncio.sleep(3600)  # it waits here

    begun, events = asyncio.Event(), asyncio.Queue[dict[str, Any]]()
    events.put_nowait(CONNECT)
    app = asyncio.create_task(Waits()(dict(SOCKET), events.get, swallow))
    # From Python 3.12 on, what arrives when its task is parked is handled without that.
    await asyncio.sleep(GRACE / 2)
    events.put_nowait(frame("x"))
    await begun.wait()
    await asyncio.sleep(0)
    where = where_it_waits(app)
    app.cancel()
    await asyncio.wait([app])

    line = Waits.receive.__code__.co_firstlineno + 4
    assert f"Waits.receive at {__file__}:{line}" in where


class Overdue(WebsocketConsumer):
    """Has a handler whose end arrives in the very turn of the event loop that cancels it.

    Args:
        outcome: What its ``receive`` does in the end.
        seen: Codes that its client has left with.
    """

    def __init__(self, outcome: Callable[[], object], seen: list[Any]) -> None:
        super().__init__()
        self.outcome = outcome
        self.seen = seen
        self.begun, self.release = threading.Event(), threading.Event()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.begun.set()
        self.release.wait(5)
        self.outcome()

    def disconnect(self, code: int) -> None:
        self.seen.append(code)

    def end(self) -> None:
        """Let ``receive`` end, and wait until its thread has told the event loop."""
        self.release.set()
        self.catch_up()

    def catch_up(self) -> None:
        """Wait until the thread has told the event loop of all that it has done."""
        said = threading.Event()
        self._lane.post(said.set)
        said.wait(5)


async def serve_overdue(consumer: Overdue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve a client that leaves, and jump to the end of its handler's grace period."""
    loop, accepted = asyncio.get_running_loop(), asyncio.Event()
    clock, grace = loop.time, 10.0
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive() -> dict[str, Any]:
        event = await events.get()
        if event is DISCONNECT:
            # In the turn in which the period ends, right before it is looked at.
            loop.call_later(grace, consumer.end)
            loop.call_soon(monkeypatch.setattr, loop, "time", lambda: clock() + 2 * grace)
        return event

    async def send(event: dict[str, Any]) -> None:
        accepted.set()

    with override_settings(CHANNELS={"DISCONNECT_GRACE": grace}):
        app = asyncio.create_task(consumer(dict(SOCKET), receive, send))
        events.put_nowait(CONNECT)
        await accepted.wait()
        await asyncio.to_thread(consumer.catch_up)
        for _ in range(5):
            await asyncio.sleep(0)
        # The task is parked now: from Python 3.12 on, the handler begins without it.
        events.put_nowait(frame("x"))
        await asyncio.to_thread(consumer.begun.wait, 5)
        events.put_nowait(DISCONNECT)
        await app


async def test_a_sync_handler_that_ends_as_it_is_given_up_has_ended(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_overdue(Overdue(lambda: None, seen), monkeypatch)

    assert seen == [1001]


async def test_what_a_sync_handler_raises_as_it_is_given_up_is_raised(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IndexError):
        await serve_overdue(Overdue([].pop, seen), monkeypatch)

    assert seen == []


@override_settings(CHANNELS={"DISCONNECT_GRACE": 0.3})
async def test_sync_code_runs_after_a_sync_call_that_was_cancelled_on_its_way_back(
    seen: list[Any],
) -> None:
    go_on, ended = threading.Event(), threading.Event()

    async def nothing() -> None:
        pass

    @markcoroutinefunction
    def late() -> Any:
        # By now the thread has said that it takes sync calls while it waits for the loop.
        go_on.wait(5)
        return nothing()

    def call_back() -> None:
        async_to_sync(late)()
        ended.set()

    class Stuck(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await sync_to_async(call_back)()

        async def disconnect(self, code: int) -> None:
            go_on.set()
            await asyncio.to_thread(ended.wait, 5)
            await sync_to_async(seen.append)(code)

    await Stuck.as_asgi()(dict(SOCKET), Feed(CONNECT, frame("x"), DISCONNECT), swallow)

    assert seen == [1001]


async def test_sync_consumers_of_different_connections_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3)

    class Meeting(WebsocketConsumer):
        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            barrier.wait(5)
            self.send("met")

    clients = [ApplicationCommunicator(Meeting.as_asgi(), dict(SOCKET)) for _ in range(3)]
    for client in clients:
        await client.send_input(CONNECT)
        await client.receive_output()
        await client.send_input(frame("x"))

    assert [(await client.receive_output(5))["text"] for client in clients] == ["met"] * 3
    for client in clients:
        await client.send_input(DISCONNECT)
        await client.wait()


async def test_an_exception_in_one_handler_leaves_unread_frames_with_the_server() -> None:
    class Failing(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            raise LookupError

    feed = Feed(CONNECT, *(frame(str(n)) for n in range(10)))
    with pytest.raises(LookupError):
        await Failing.as_asgi()(dict(SOCKET), feed, swallow)

    # The frame that failed and at most the one read ahead.
    assert len(feed.events) >= 8


async def test_unread_messages_of_a_consumer_that_ends_are_counted() -> None:
    class Leaving(AsyncWebsocketConsumer):
        groups = ("room",)

        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            for _ in range(3):
                await self.channel_layer.group_send("room", {"type": "news"})
            raise StopConsumer

    before = telemetry.totals["MessageDropped.closed"]
    await Leaving.as_asgi()(dict(SOCKET), Feed(CONNECT, frame("x")), swallow)

    assert telemetry.totals["MessageDropped.closed"] == before + 3


async def test_a_pump_raises_what_ended_its_source_after_the_last_event() -> None:
    class Ending(Feed):
        async def __call__(self) -> dict[str, Any]:
            if not self.events:
                raise EOFError("the source has ended")
            return await super().__call__()

    pump = Pump(Ending({"type": "last"}), lambda event: None)
    await asyncio.sleep(0)

    assert pump.take() == {"type": "last"}
    await asyncio.sleep(0.01)
    with pytest.raises(EOFError, match="the source has ended"):
        pump.take()
    await pump.stop()


class Answering(AsyncWebsocketConsumer):
    """Answers each frame, and notes whether anyone could hear it."""

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.seen = seen

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.seen.append(await self.send("answer"))

    async def disconnect(self, code: int) -> None:
        self.seen.append(code)


async def fail(event: dict[str, Any]) -> None:
    """A server's ``send`` that cannot send any frame."""
    if event["type"] == "websocket.send":
        raise RuntimeError("after sending 'websocket.close'")


async def test_a_send_that_fails_because_the_client_is_leaving_is_quiet(seen: list[Any]) -> None:
    feed = Feed(CONNECT, *(frame(str(n)) for n in range(3)), DISCONNECT)

    await Answering.as_asgi(seen=seen)(dict(SOCKET), feed, fail)

    assert seen == [False, False, False, 1001]


async def test_send_says_that_the_client_has_left_before_disconnect_is_handled(
    seen: list[Any],
) -> None:
    class Talkative(Answering):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            while await self.send("more"):  # noqa: ASYNC110 - it sends meanwhile
                await asyncio.sleep(0)
            self.seen.append("nobody is there")

    async with asyncio.timeout(5):
        feed = Feed(CONNECT, frame("talk"), DISCONNECT)
        await Talkative.as_asgi(seen=seen)(dict(SOCKET), feed, swallow)

    assert seen == ["nobody is there", 1001]


async def test_a_send_that_fails_while_the_client_stays_is_an_error(seen: list[Any]) -> None:
    feed = Feed(CONNECT, *(frame(str(n)) for n in range(1000)))

    with pytest.raises(RuntimeError, match="after sending"):
        await Answering.as_asgi(seen=seen)(dict(SOCKET), feed, fail)

    assert seen == []
    assert feed.reads < 20


@pytest.mark.parametrize("said_by_server", [[], [{"type": "websocket.disconnect", "code": 1006}]])
async def test_a_denied_client_is_gone_whether_or_not_the_server_says_so(
    seen: list[Any], said_by_server: list[dict[str, Any]]
) -> None:
    class Denying(Answering):
        groups = ("door",)

        async def connect(self) -> None:
            await self.deny_with_response(401)

    scope = SOCKET | {"extensions": {"websocket.http.response": {}}}
    await Denying.as_asgi(seen=seen)(scope, Feed(CONNECT, *said_by_server), swallow)

    assert seen == [1006]
    assert get_channel_layer().groups == {}


async def test_nothing_is_left_of_a_connection_that_has_ended() -> None:
    before = asyncio.all_tasks()
    started = time.monotonic()

    await AsyncWebsocketConsumer.as_asgi()(dict(SOCKET), Feed(CONNECT, DISCONNECT), swallow)

    assert asyncio.all_tasks() == before
    assert time.monotonic() - started < 5

"""The worker: one consumer per channel, listeners that come back, and no message lost between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from channels import telemetry, worker
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from channels.typing import App, Message, Receive, Scope, Send
from channels.worker import Worker


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def dropped() -> Any:
    seen: list[telemetry.Event] = []
    end = telemetry.subscribe(seen.append)
    yield seen
    end()


@pytest.fixture(autouse=True)
def _quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FIRST_DELAY", 0.001)


def recorder(events: list[str]) -> App:
    """An application that notes its messages, and fails or ends on those that say so."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        events.append(f"start {scope['channel']}")
        while True:
            message = await receive()
            events.append(message["type"])
            if message["type"] == "fail":
                raise RuntimeError("the consumer's own fault")
            if message["type"] == "end":
                return

    return application


@contextlib.asynccontextmanager
async def running(running_worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(running_worker.arun())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition has no event to wait for
            await asyncio.sleep(0.001)


async def send_all(layer: InMemoryChannelLayer, channel: str, *types: str) -> None:
    for event_type in types:
        await layer.send(channel, {"type": event_type})


def test_worker_without_a_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="A worker needs a channel layer, not None"):
        Worker(recorder([]), ["jobs"], None)


async def test_scope_is_the_channel_and_nothing_else(layer: InMemoryChannelLayer) -> None:
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await receive()

    async with running(Worker(application, ["jobs"], layer)):
        await send_all(layer, "jobs", "go")
        await until(lambda: bool(scopes))

    assert scopes == [{"type": "channel", "channel": "jobs"}]


async def test_consecutive_messages_reach_the_same_consumer_in_order(
    layer: InMemoryChannelLayer,
) -> None:
    numbers: list[int] = []

    class Adder(AsyncConsumer):
        total = 0

        async def add(self, message: Message) -> None:
            self.total += message["number"]
            numbers.append(self.total)

    application = ProtocolTypeRouter({"channel": ChannelNameRouter({"jobs": Adder.as_asgi()})})
    async with running(Worker(application, ["jobs"], layer)):
        for number in (1, 10, 100):
            await layer.send("jobs", {"type": "add", "number": number})
        await until(lambda: len(numbers) == 3)

    assert numbers == [1, 11, 111]


async def test_each_channel_has_its_own_instance(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    async with running(Worker(recorder(events), ["one", "two"], layer)):
        await send_all(layer, "one", "a", "b")
        await send_all(layer, "two", "c")
        await until(lambda: len(events) == 5)

    assert sorted(events) == ["a", "b", "c", "start one", "start two"]


async def test_stopped_consumer_is_replaced_for_the_next_message(
    layer: InMemoryChannelLayer,
) -> None:
    instances: list[AsyncConsumer] = []

    class Once(AsyncConsumer):
        async def go(self, message: Message) -> None:
            instances.append(self)
            raise StopConsumer

    async with running(Worker(Once.as_asgi(), ["jobs"], layer)):
        await send_all(layer, "jobs", "go")
        await until(lambda: len(instances) == 1)
        await send_all(layer, "jobs", "go")
        await until(lambda: len(instances) == 2)

    assert instances[0] is not instances[1]


async def test_failed_consumer_is_logged_and_the_worker_goes_on(
    layer: InMemoryChannelLayer, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Worker(recorder(events), ["jobs"], layer)):
        await send_all(layer, "jobs", "fail")
        await until(lambda: len(events) == 2)
        await send_all(layer, "jobs", "after")
        await until(lambda: len(events) == 4)

    assert events == ["start jobs", "fail", "start jobs", "after"]
    [record] = caplog.records
    assert record.name == "django.channels.worker"
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "The consumer of channel 'jobs' failed: RuntimeError(\"the consumer's own fault\")"
    )
    assert record.exc_info is not None


async def test_messages_behind_one_that_fails_reach_the_next_instance_in_order(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    await send_all(layer, "jobs", "fail", "one", "fail", "two", "three")

    async with running(Worker(recorder(events), ["jobs"], layer)):
        await until(lambda: events[-1:] == ["three"])

    assert [event for event in events if event != "start jobs"] == [
        "fail",
        "one",
        "fail",
        "two",
        "three",
    ]


async def test_messages_behind_a_failing_handler_are_all_handled(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    class Fragile(AsyncConsumer):
        async def fail(self, message: Message) -> None:
            await asyncio.sleep(0.01)
            events.append("fail")
            raise RuntimeError("the handler's own fault")

        async def go(self, message: Message) -> None:
            events.append(message["name"])

    await send_all(layer, "jobs", "fail")
    for name in ("one", "two", "three"):
        await layer.send("jobs", {"type": "go", "name": name})
    async with running(Worker(Fragile.as_asgi(), ["jobs"], layer)):
        await until(lambda: events[-1:] == ["three"])

    assert events == ["fail", "one", "two", "three"]


async def test_message_for_an_instance_that_has_just_ended_reaches_a_new_one(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    subject = Worker(recorder(events), [], layer)
    scope = {"type": "channel", "channel": "jobs"}
    queue = subject.get_or_create_application_instance("jobs", scope)
    queue.put_nowait({"type": "end"})
    await until(lambda: "end" in events)

    queue = subject.get_or_create_application_instance("jobs", scope)
    queue.put_nowait({"type": "after"})
    await until(lambda: "after" in events)
    subject.delete_application_instance("jobs")

    assert events == ["start jobs", "end", "start jobs", "after"]


async def test_application_that_fails_by_cancellation_of_its_own_is_replaced(
    layer: InMemoryChannelLayer, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        events.append((await receive())["type"])
        raise asyncio.CancelledError

    await send_all(layer, "jobs", "one", "two")
    async with running(Worker(application, ["jobs"], layer)):
        await until(lambda: events == ["one", "two"])

    assert "failed: CancelledError()" in caplog.text


async def test_application_that_takes_no_message_loses_one_each_time_and_says_so(
    layer: InMemoryChannelLayer, dropped: list[telemetry.Event], caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no such channel")

    await send_all(layer, "jobs", "one", "two")
    async with running(Worker(application, ["jobs"], layer)):
        await until(lambda: len(dropped) == 2)

    assert dropped == [telemetry.MessageDropped("jobs", "closed")] * 2
    assert (
        "The application took no message of channel 'jobs'; dropped one of type 'one'."
        in caplog.messages
    )


async def test_slow_consumer_leaves_its_messages_in_the_layer(layer: InMemoryChannelLayer) -> None:
    begun = asyncio.Event()

    class Slow(AsyncConsumer):
        async def go(self, message: Message) -> None:
            begun.set()
            await asyncio.Event().wait()

    await send_all(layer, "jobs", *["go"] * 20)
    async with running(Worker(Slow.as_asgi(), ["jobs"], layer)):
        await begun.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        left = layer.channels["jobs"].qsize()

    assert left >= 17


@pytest.mark.parametrize("message", [{}, {"type": ""}, {"type": None}])
async def test_listener_raises_for_a_message_without_a_type(
    layer: InMemoryChannelLayer, message: Message
) -> None:
    await layer.send("jobs", message)

    with pytest.raises(ValueError, match="without a type on channel 'jobs'; expected a dict with"):
        await Worker(recorder([]), ["jobs"], layer).listener("jobs")


async def test_running_worker_skips_a_message_without_a_type(
    layer: InMemoryChannelLayer,
    events: list[str],
    dropped: list[telemetry.Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await layer.send("jobs", {"text": "typeless"})
    await layer.send("jobs", {"type": "typed"})

    async with running(Worker(recorder(events), ["jobs"], layer)):
        await until(lambda: "typed" in events)

    [text] = caplog.messages
    assert text == (
        "Worker received a message without a type on channel 'jobs'; expected a dict with a "
        "'type', got the keys ['text']; skipped."
    )
    assert dropped == [telemetry.MessageDropped("jobs", "untyped")]


class FlakyLayer(InMemoryChannelLayer):
    """A layer whose ``receive`` fails a number of times."""

    failures = 0

    async def receive(self, channel: str) -> Message:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the broker is away")
        return await super().receive(channel)


async def test_failed_listener_is_logged_and_started_again(
    events: list[str], dropped: list[telemetry.Event], caplog: pytest.LogCaptureFixture
) -> None:
    layer = FlakyLayer()
    layer.failures = 2
    await send_all(layer, "jobs", "go")

    async with running(Worker(recorder(events), ["jobs"], layer)):
        await until(lambda: "go" in events)

    restart = telemetry.ListenerRestarted("jobs", "ConnectionError('the broker is away')")
    assert dropped == [restart, restart]
    assert "Listener of channel 'jobs' failed; again in 0.001 s." in caplog.messages
    assert "Listener of channel 'jobs' failed; again in 0.002 s." in caplog.messages


async def test_listener_that_failed_long_ago_restarts_without_delay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Reliable(Worker):
        failures = 0

        async def listener(self, channel: str) -> None:
            self.failures += 1
            if self.failures == 3:
                await asyncio.sleep(0.01)
            raise ConnectionError

    subject = Reliable(recorder([]), ["jobs"], FlakyLayer())
    async with running(subject):
        await until(lambda: subject.failures == 4)

    delays = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert delays[:3] == [0.001, 0.002, 0.001]


async def test_worker_ends_when_every_listener_has_returned(layer: InMemoryChannelLayer) -> None:
    heard: list[str] = []

    class Brief(Worker):
        async def listener(self, channel: str) -> None:
            heard.append(channel)

    await Brief(recorder([]), ["one", "two"], layer).arun()

    assert heard == ["one", "two"]


async def test_what_a_consumer_sends_to_its_client_is_dropped_with_one_warning(
    layer: InMemoryChannelLayer, dropped: list[telemetry.Event], caplog: pytest.LogCaptureFixture
) -> None:
    class Chatty(AsyncConsumer):
        async def go(self, message: Message) -> None:
            await self.send({"type": "websocket.send", "text": "hello"})

    await send_all(layer, "jobs", "go", "go")
    async with running(Worker(Chatty.as_asgi(), ["jobs"], layer)):
        await until(lambda: len(dropped) == 2)

    assert dropped == [telemetry.SendIgnored("websocket.send")] * 2
    [text] = caplog.messages
    assert text == (
        "The consumer of channel 'jobs' sent 'websocket.send' to its client, but a worker has "
        "none; dropped, and not reported again. Use self.channel_layer to reach other consumers."
    )


async def test_least_recently_used_instance_goes_when_there_are_too_many(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    subject = Worker(recorder(events), ["a", "b", "c"], layer, max_applications=1)

    async with running(subject):
        for channel in "abc":
            await send_all(layer, channel, "go")
            await until(lambda channel=channel: channel in subject.application_instances)  # type: ignore[misc]
        kept = set(subject.application_instances)

    assert kept == {"b", "c"}


async def test_message_that_a_removed_instance_had_not_taken_is_counted(
    layer: InMemoryChannelLayer, dropped: list[telemetry.Event], caplog: pytest.LogCaptureFixture
) -> None:
    subject = Worker(recorder([]), [], layer)
    scope = {"type": "channel", "channel": "jobs"}
    subject.get_or_create_application_instance("jobs", scope).put_nowait({"type": "go"})

    subject.delete_application_instance("jobs")

    assert dropped == [telemetry.MessageDropped("jobs", "closed", 1)]
    assert caplog.messages == ["Worker dropped 1 message(s) of channel 'jobs'."]


async def test_instance_that_is_cancelled_from_outside_leaves_no_trace(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    subject = Worker(recorder(events), [], layer)
    scope = {"type": "channel", "channel": "jobs"}
    subject.get_or_create_application_instance("jobs", scope)
    await until(lambda: bool(events))

    subject.application_instances["jobs"]["future"].cancel()
    await until(lambda: not subject.application_instances)

    assert events == ["start jobs"]


async def test_stopping_cancels_the_consumers_and_waits_for_them(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        events.append("start")
        try:
            await receive()
            await receive()
        finally:
            await asyncio.sleep(0.01)
            events.append("cleaned up")

    await send_all(layer, "jobs", "go")
    async with running(Worker(application, ["jobs"], layer)):
        await until(lambda: bool(events))

    assert events == ["start", "cleaned up"]


async def test_consumer_that_ignores_its_cancellation_is_not_waited_for_for_ever(
    layer: InMemoryChannelLayer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNELS = {"DISCONNECT_GRACE": 0.01}
    release = asyncio.Event()
    begun = asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await release.wait()

    await send_all(layer, "jobs", "go")
    async with running(Worker(application, ["jobs"], layer)):
        await begun.wait()
    release.set()

    assert "still runs 0.01 s after it was cancelled" in caplog.text


async def test_application_of_the_old_two_step_kind_is_adapted(
    layer: InMemoryChannelLayer, events: list[str]
) -> None:
    def application(scope: Scope) -> Callable[[Receive, Send], Any]:
        async def instance(receive: Receive, send: Send) -> None:
            events.append((await receive())["type"])

        return instance

    await send_all(layer, "jobs", "go")
    async with running(Worker(application, ["jobs"], layer)):  # type: ignore[arg-type]
        await until(lambda: events == ["go"])


@pytest.fixture
def _interrupts() -> None:
    """Let SIGINT do what it does in any process: ``asyncio.run`` takes it over only then."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.usefixtures("_interrupts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_worker_and_its_consumers(
    layer: InMemoryChannelLayer,
    events: list[str],
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
) -> None:
    caplog.set_level(logging.INFO, "django.channels.worker")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            os.kill(os.getpid(), number)
            await receive()
        finally:
            events.append("cleaned up")

    class Primed(Worker):
        async def handle(self) -> None:
            await send_all(layer, "jobs", "go")
            await super().handle()

    Primed(application, ["jobs"], layer).run()

    assert events == ["cleaned up"]
    assert caplog.messages == ["Worker has stopped."]


def test_worker_runs_in_a_thread_that_gets_no_signals(layer: InMemoryChannelLayer) -> None:
    class Brief(Worker):
        async def listener(self, channel: str) -> None:
            heard.append(channel)

    heard: list[str] = []
    thread = threading.Thread(target=Brief(recorder([]), ["jobs"], layer).run)
    thread.start()
    thread.join()

    assert heard == ["jobs"]

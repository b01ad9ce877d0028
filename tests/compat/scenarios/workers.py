"""Contract 12: the worker and its command."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import threading
from io import StringIO
from typing import Any

import asgiref.server
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels.management.commands.runworker import Command
from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from channels.worker import Worker
from support import Event, aoutcome, logged, outcome

PATIENCE = 3.0


class _Seen(list[Any]):
    """What consumers wrote down, with a way to wait for it."""

    async def reach(self, count: int) -> list[Any]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while len(self) < count:
                    await asyncio.sleep(0.005)
        return list(self)


@contextlib.asynccontextmanager
async def _working(application: Any, *channels: str, **options: Any) -> Any:
    layer = get_channel_layer()
    worker = Worker(application, list(channels), layer, **options)
    task = asyncio.ensure_future(worker.arun())
    await asyncio.sleep(0.01)
    try:
        yield layer, worker, task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)


def _router(**consumers: Any) -> Any:
    return ProtocolTypeRouter({"channel": ChannelNameRouter(consumers)})


def _noting(seen: _Seen) -> Any:
    class Noting(AsyncConsumer):
        async def note(self, event: Event) -> None:
            seen.append([event, self.scope])

    return Noting.as_asgi()


def constructor() -> object:
    """Contract 12, Worker: attributes, the base class; a layer of None is a ValueError."""
    layer = InMemoryChannelLayer()
    worker = Worker(application=1, channels=["a"], channel_layer=layer)  # type: ignore[arg-type]
    return [
        outcome(Worker, 1, ["a"], None),
        isinstance(worker, asgiref.server.StatelessServer),
        worker.application,
        worker.channels,
        worker.channel_layer is layer,
        worker.max_applications,
        len(worker.application_instances),
        Worker(1, ["a"], layer, 5).max_applications,  # type: ignore[arg-type]
        [inspect.iscoroutinefunction(each) for each in (Worker.handle, Worker.listener)],
    ]


async def messages_reach_consumers() -> object:
    """Contract 12, listener: scope exactly type and channel; each channel its own consumer."""
    seen = _Seen()
    application = _router(thumbs=_noting(seen), mails=_noting(seen))
    async with _working(application, "thumbs", "mails") as (layer, _, _task):
        await layer.send("thumbs", {"type": "note", "n": 1})
        await seen.reach(1)
        await layer.send("mails", {"type": "note", "n": 2})
        await layer.send("ignored", {"type": "note", "n": 3})
        return await seen.reach(2)


async def one_instance_for_each_channel() -> object:
    """Contract 12, Worker: consecutive messages reach the same instance, one after another."""
    seen = _Seen()

    class Counting(AsyncConsumer):
        count = 0

        async def note(self, event: Event) -> None:
            self.count += 1
            before = self.count
            await asyncio.sleep(0.01)
            seen.append([event["n"], before, self.count])

    async with _working(_router(a=Counting.as_asgi()), "a") as (layer, _, _task):
        for n in range(3):
            await layer.send("a", {"type": "note", "n": n})
        return await seen.reach(3)


async def the_consumer_has_its_own_channel() -> object:
    """Contract 12, Worker: with a default layer the consumer has a ``channel_name`` too."""
    seen = _Seen()

    class Replying(AsyncConsumer):
        async def note(self, event: Event) -> None:
            await self.channel_layer.send(self.channel_name, {"type": "direct"})

        async def direct(self, event: Event) -> None:
            seen.append(event)

    async with _working(_router(a=Replying.as_asgi()), "a") as (layer, _, _task):
        await layer.send("a", {"type": "note"})
        return await seen.reach(1)


async def an_instance_is_replaced_after_it_ends() -> object:
    """Contract 12, Worker: after StopConsumer or a failure the next message gets a new one."""
    seen: dict[str, Any] = {}
    for end in (StopConsumer, LookupError):
        channel_layers.backends = {}
        notes = _Seen()

        class Ending(AsyncConsumer):
            async def note(self, event: Event, notes: _Seen = notes) -> None:
                notes.append([event["n"], hasattr(self, "used")])
                self.used = True

            async def finish(self, event: Event, end: Any = end) -> None:
                raise end

        with logged("asgiref.server"):
            async with _working(_router(a=Ending.as_asgi()), "a") as (layer, _, task):
                await layer.send("a", {"type": "note", "n": 1})
                await layer.send("a", {"type": "finish"})
                await asyncio.sleep(0.25)
                await layer.send("a", {"type": "note", "n": 2})
                await notes.reach(2)
                seen[end.__name__] = [list(notes), task.done()]
    return seen


async def a_message_right_after_a_crash() -> object:
    """Contract 12, quirks [run]: a message between a crash and the reaping of the instance."""
    seen = _Seen()
    crashed = asyncio.Event()

    class Crashing(AsyncConsumer):
        async def crash(self, event: Event) -> None:
            crashed.set()
            raise LookupError

        async def note(self, event: Event) -> None:
            seen.append(event["n"])

    async with _working(_router(a=Crashing.as_asgi()), "a") as (layer, _, _task):
        # The reaper looks every 0.1 s: crash right after one of its rounds.
        await layer.send("a", {"type": "note", "n": 0})
        await seen.reach(1)
        await layer.send("a", {"type": "crash"})
        await crashed.wait()
        await asyncio.sleep(0.005)
        await layer.send("a", {"type": "note", "n": 1})
        await asyncio.sleep(0.25)
        await layer.send("a", {"type": "note", "n": 2})
        return {"1 was handled": 1 in await seen.reach(3), "2 was handled": 2 in seen}


async def failures_are_logged() -> object:
    """Contract 12, Worker: an app's failure is logged at ERROR and does not stop the worker."""
    seen = _Seen()

    class Failing(AsyncConsumer):
        async def note(self, event: Event) -> None:
            seen.append(event["n"])
            raise LookupError("the reason")

    lines: list[str]
    with logged("") as lines:
        async with _working(_router(a=Failing.as_asgi()), "a") as (layer, _, task):
            await layer.send("a", {"type": "note", "n": 1})
            await seen.reach(1)
            await asyncio.sleep(0.25)
            running = not task.done()
    return {"logged at ERROR": any(line.startswith("ERROR") for line in lines), "running": running}


async def a_message_without_a_type() -> object:
    """Contract 12, listener and quirks: a missing or falsy type: does the listener survive?"""
    seen = _Seen()
    ends = []
    for message in ({"n": 0}, {"type": ""}):
        seen.clear()
        channel_layers.backends = {}
        async with _working(_router(a=_noting(seen)), "a") as (layer, _, task):
            await layer.send("a", message)
            await asyncio.sleep(0.05)
            await layer.send("a", {"type": "note", "n": 1})
            async with asyncio.timeout(PATIENCE):
                while not (seen or task.done()):
                    await asyncio.sleep(0.005)
            ends.append([task.exception() if task.done() else "running", len(seen)])
    return ends


async def one_failed_listener_among_others() -> object:
    """Contract 12, quirks [run]: one listener has failed; are its channel and others served?"""
    seen = _Seen()
    async with _working(_router(a=_noting(seen), b=_noting(seen)), "a", "b") as (layer, _, task):
        await layer.send("a", {"n": 0})
        await asyncio.sleep(0.05)
        for name in ("a", "b"):
            await layer.send(name, {"type": "note"})
        await seen.reach(1)
        await asyncio.sleep(0.1)
        return [sorted(scope["channel"] for _, scope in seen), task.done()]


async def listener_of_a_message_without_a_type() -> object:
    """Contract 12, listener: called by itself, an untyped message is a ValueError."""
    layer = get_channel_layer()
    worker = Worker(_router(), ["a"], layer)
    await layer.send("a", {"n": 1})
    task = asyncio.ensure_future(worker.listener("a"))
    done, _ = await asyncio.wait([task], timeout=0.1)
    task.cancel()
    await asyncio.wait([task])
    return [bool(done), task.exception() if done else "still listening"]


async def sending_to_no_client() -> object:
    """Contract 12, quirks [run]: ``self.send(...)`` in a worker's consumer, which has no client."""
    seen = _Seen()

    class Sending(AsyncConsumer):
        async def note(self, event: Event) -> None:
            ended = await aoutcome(self.send({"type": "websocket.send", "text": "x"}))
            seen.append(ended if isinstance(ended, Exception) else "went on")

    async with _working(_router(a=Sending.as_asgi()), "a") as (layer, _, _task):
        await layer.send("a", {"type": "note"})
        return await seen.reach(1)


async def sync_consumers_work_too() -> object:
    """Contract 12, Worker: sync consumers get their messages as well."""
    seen = _Seen()

    class Noting(SyncConsumer):
        def note(self, event: Event) -> None:
            seen.append(event)

    async with _working(_router(a=Noting.as_asgi()), "a") as (layer, _, _task):
        await layer.send("a", {"type": "note", "n": 1})
        return await seen.reach(1)


async def legacy_applications_in_the_worker() -> object:
    """Contract 00, removed names: the worker still adapts double-callable applications."""
    seen = _Seen()

    def legacy(scope: Event) -> Any:
        async def run(receive: Any, send: Any) -> None:
            seen.append([scope, await receive()])

        return run

    async with _working(legacy, "a") as (layer, _, _task):
        await layer.send("a", {"type": "note", "n": 1})
        return await seen.reach(1)


async def listeners_can_be_overridden() -> object:
    """Contract 12, names: ``Worker.listener`` and ``handle`` are subclassed; handle runs each."""
    seen: list[Any] = []

    class Quiet(Worker):
        async def listener(self, channel: str) -> None:
            seen.append(channel)

    worker = Quiet(_router(), ["a", "b"], get_channel_layer())
    ended = await aoutcome(asyncio.wait_for(worker.handle(), PATIENCE))
    return [seen, ended]


async def errors_of_a_listener() -> object:
    """Contract 12, handle: errors are re-raised when the listeners have ended."""

    class Failing(Worker):
        async def listener(self, channel: str) -> None:
            raise LookupError

    worker = Failing(_router(), ["a"], get_channel_layer())
    task = asyncio.ensure_future(worker.handle())
    done, _ = await asyncio.wait([task], timeout=0.3)
    task.cancel()
    await asyncio.wait([task])
    return task.exception() if done else "still handling"


async def the_least_recently_used_is_cancelled() -> object:
    """Contract 12, Worker: beyond ``max_applications`` the least recently used is cancelled."""
    seen = _Seen()

    class Noting(AsyncConsumer):
        async def note(self, event: Event) -> None:
            seen.append([self.scope["channel"], hasattr(self, "used")])
            self.used = True

    names = ["a", "b", "c", "d", "e"]
    application = _router(**dict.fromkeys(names, Noting.as_asgi()))
    async with _working(application, *names, max_applications=2) as (layer, _, _task):
        for name in (*names, "e", "a"):
            await layer.send(name, {"type": "note"})
            await seen.reach(len(seen) + 1)
            await asyncio.sleep(0.01)
        return seen[-2:]


def run_returns_on_ctrl_c() -> object:
    """Contract 12, run: own event loop; Ctrl-C returns."""
    worker = Worker(_router(), ["a"], InMemoryChannelLayer())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return outcome(worker.run)


# --- The command


class _CapturedError(Exception):
    """Carries what the command gave to its worker."""


def _worker_class(**given: Any) -> Any:
    raise _CapturedError(given)


def _call(*args: str) -> Any:
    command = Command()
    command.worker_class = _worker_class  # type: ignore[assignment]
    with logged("django.channels.worker") as lines:
        ended = outcome(call_command, command, *args, stdout=StringIO(), stderr=StringIO())
    if not isinstance(ended, _CapturedError):
        return [isinstance(ended, CommandError), lines]
    given = ended.args[0]
    return [sorted(given), given["channels"], given["channel_layer"] is get_channel_layer(), lines]


async def _application(scope: Event, receive: Any, send: Any) -> None:
    """Stand in for the project's application."""


def runworker_command() -> object:
    """Contract 12, runworker: what it gives to ``worker_class``, and its errors."""
    with override_settings(ASGI_APPLICATION="scenarios.workers._application"):
        good = _call("thumbs", "mails")
        told = any("thumbs" in line and line.startswith("INFO") for line in good.pop())
        unknown = _call("--layer", "absent", "thumbs")[0]
        nothing = _call()[0]
        with override_settings(CHANNEL_LAYERS={}):
            unconfigured = _call("thumbs")[0]
    return [good, told, unknown, nothing, unconfigured]


def runworker_chooses_a_layer() -> object:
    """Contract 12, runworker: ``--layer`` names the alias."""
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    with override_settings(
        ASGI_APPLICATION="scenarios.workers._application",
        CHANNEL_LAYERS={"default": memory, "other": memory},
    ):
        return _call("--layer", "other", "thumbs")[:3]


def runworker_attributes() -> object:
    """Contract 12, runworker: ``worker_class``, ``leave_locale_alone``, ``verbosity``."""
    seen: list[Any] = []

    class Running:
        def __init__(self, **given: Any) -> None:
            pass

        def run(self) -> None:
            seen.append("ran")

    command = Command()
    command.worker_class = Running  # type: ignore[assignment]
    with override_settings(ASGI_APPLICATION="scenarios.workers._application"), logged(""):
        call_command(command, "a", verbosity=2, stdout=StringIO())
    return [
        Command.worker_class is Worker,
        Command.leave_locale_alone,
        command.verbosity,
        command.channel_layer is get_channel_layer(),
        seen,
    ]

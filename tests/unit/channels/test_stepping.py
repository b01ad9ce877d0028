"""A handler that begins within the fan-out is, to everybody who can tell, the consumer's own."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.stepping import IS_POSSIBLE
from tests.slow import SLOW

mood: contextvars.ContextVar[str] = contextvars.ContextVar("mood", default="none")


class Member(AsyncConsumer):
    """Notes what it is told, and everything that a handler can tell of its surroundings."""

    def __init__(self, notes: list[Any]) -> None:
        self.notes = notes

    async def start(self, message: dict[str, Any]) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        mood.set("own")
        self.task = asyncio.current_task()
        self.notes.append("started")

    async def say(self, message: dict[str, Any]) -> None:
        self.notes.append(message["n"])

    async def look(self, message: dict[str, Any]) -> None:
        self.notes.append((asyncio.current_task() is self.task, mood.get()))
        mood.set("changed")
        await asyncio.sleep(0)
        self.notes.append((asyncio.current_task() is self.task, mood.get()))

    async def wait(self, message: dict[str, Any]) -> None:
        self.notes.append("waits")
        try:
            await message["until"]()
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise
        except LookupError as error:
            self.notes.append(repr(error))
        self.notes.append("waited")

    async def hurry(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            self.notes.append("timed out")

    async def fail(self, message: dict[str, Any]) -> None:
        raise LookupError("deliberate")

    async def stop(self, message: dict[str, Any]) -> None:
        raise StopConsumer

    async def echo(self, message: dict[str, Any]) -> None:
        self.notes.append(("echo", message["n"]))
        if message["n"]:
            await self.channel_layer.group_send("room", {"type": "echo", "n": message["n"] - 1})
        self.notes.append(("echoed", message["n"]))


@pytest.fixture
def layer() -> Any:
    layer = InMemoryChannelLayer()
    before = channel_layers.set("default", layer)
    yield layer
    if before is not None:
        channel_layers.set("default", before)


@asynccontextmanager
async def member(notes: list[Any]) -> AsyncIterator[asyncio.Task[Any]]:
    events: asyncio.Queue[Any] = asyncio.Queue()
    events.put_nowait({"type": "start"})

    async def send(event: Any) -> None:
        notes.append(event)

    task = asyncio.create_task(Member.as_asgi(notes=notes)({"type": "own"}, events.get, send))
    await until(lambda: notes[:1] == ["started"])
    await settle()
    yield task
    task.cancel()
    await asyncio.wait([task])


async def until(is_so: Any) -> None:
    async with asyncio.timeout(5 * SLOW):
        while not is_so():  # noqa: ASYNC110 - the consumer does it
            await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_idle_consumer_has_handled_the_message_when_the_sender_goes_on(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes):
        await layer.group_send("room", {"type": "say", "n": 1})

        assert ("started" in notes, 1 in notes) == (True, IS_POSSIBLE)
        await until(lambda: 1 in notes)


async def test_task_and_context_are_the_consumers_own(layer: Any) -> None:
    notes: list[Any] = []
    sender = asyncio.current_task()
    async with member(notes):
        mood.set("the sender's")
        await layer.group_send("room", {"type": "look"})
        assert asyncio.current_task() is sender
        await until(lambda: len(notes) == 3)
        await layer.group_send("room", {"type": "look"})
        await until(lambda: len(notes) == 5)

    assert notes[1:] == [(True, "own"), *[(True, "changed")] * 3]
    assert mood.get() == "the sender's"


async def test_what_is_sent_while_a_handler_waits_comes_after_it_and_in_order(layer: Any) -> None:
    notes: list[Any] = []
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    async with member(notes):
        await layer.group_send("room", {"type": "wait", "until": wait})
        for n in range(3):
            await layer.group_send("room", {"type": "say", "n": n})
        await settle()
        assert notes == ["started", "waits"]

        gate.set()
        await until(lambda: 2 in notes)

    assert notes == ["started", "waits", "waited", 0, 1, 2]


async def test_an_error_ends_its_consumer_alone_and_not_its_sender(layer: Any) -> None:
    one: list[Any] = []
    two: list[Any] = []
    async with member(one) as first, member(two) as second:
        await layer.send(next(iter(layer.channels)), {"type": "fail"})
        await asyncio.wait([first], timeout=5 * SLOW)

        assert isinstance(first.exception(), LookupError)
        await layer.group_send("room", {"type": "say", "n": 1})
        await until(lambda: 1 in two)
        assert not second.done()
        assert len(layer.groups["room"]) == 1


async def test_a_message_without_a_type_is_an_error_and_not_skipped(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes) as task:
        await layer.group_send("room", {})
        await asyncio.wait([task], timeout=5 * SLOW)

        with pytest.raises(ValueError, match="Incoming message has no 'type' attribute"):
            task.result()


async def test_a_handler_may_stop_its_consumer(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes) as task:
        await layer.group_send("room", {"type": "stop"})
        await asyncio.wait([task], timeout=5 * SLOW)

        assert task.exception() is None
        assert layer.channels == {}


async def test_a_handler_that_waits_can_be_cancelled(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": asyncio.Event().wait})
        task.cancel()
        await asyncio.wait([task], timeout=5 * SLOW)

        assert task.cancelled()
    # Where it cannot begin at once, it has not begun.
    assert notes == (["started", "waits", "cancelled"] if IS_POSSIBLE else ["started"])


async def test_a_time_out_in_a_handler_is_its_own(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes) as task:
        await layer.group_send("room", {"type": "hurry"})
        await until(lambda: "timed out" in notes)
        await layer.group_send("room", {"type": "say", "n": 1})
        await until(lambda: 1 in notes)

        assert not task.done()
        assert task.cancelling() == 0


async def test_what_a_handler_waits_for_may_fail(layer: Any) -> None:
    notes: list[Any] = []
    failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await failing

    async with member(notes):
        await layer.group_send("room", {"type": "wait", "until": wait})
        failing.set_exception(LookupError("deliberate"))
        await until(lambda: "waited" in notes)

    assert notes == ["started", "waits", "LookupError('deliberate')", "waited"]


async def test_a_chain_of_messages_is_no_chain_of_calls(layer: Any) -> None:
    notes: list[Any] = []
    async with member(notes):
        await layer.group_send("room", {"type": "echo", "n": 3000})
        await until(lambda: ("echoed", 0) in notes)

    # Each handler is done before the message that it sent to itself is handled.
    expected = [(word, n) for n in range(3000, -1, -1) for word in ("echo", "echoed")]
    assert notes == ["started", *expected]


async def test_what_a_handler_sends_to_its_group_comes_behind_what_it_handles(layer: Any) -> None:
    notes: list[list[Any]] = [[], [], []]
    async with member(notes[0]), member(notes[1]), member(notes[2]):
        await layer.group_send("room", {"type": "echo", "n": 1})
        await layer.group_send("room", {"type": "say", "n": "last"})
        await until(
            lambda: all("last" in each for each in notes) and notes[2].count(("echo", 0)) == 3
        )

    for seen in notes:
        heard = [note for note in seen[1:] if note[0] == "echo" or note == "last"]
        # Each of the three has answered the first message; nobody hears an answer before it.
        assert heard.count(("echo", 1)) == 1
        assert heard.count(("echo", 0)) == 3
        assert heard[0] == ("echo", 1)


async def test_what_a_cancelled_handler_awaits_is_cancelled_too(layer: Any) -> None:
    notes: list[Any] = []
    child = asyncio.create_task(asyncio.sleep(60))

    async def wait() -> None:
        await child

    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": wait})
        await settle()
        task.cancel()
        await asyncio.wait([task], timeout=5 * SLOW)

        assert (task.cancelled(), child.cancelled()) == (True, True)
    assert notes == ["started", "waits", "cancelled"]


async def test_a_handler_may_wait_again_once_it_has_been_cancelled(layer: Any) -> None:
    """For its clean-up, which nothing but another cancellation cuts short."""
    notes: list[Any] = []
    gate = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await gate.wait()
            notes.append("cleaned up")

    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": stubborn})
        await settle()
        task.cancel()
        await settle()
        assert not task.done()
        gate.set()
        await asyncio.wait([task], timeout=5 * SLOW)

        assert task.cancelled()
    assert notes == ["started", "waits", "cleaned up", "cancelled"]


async def test_a_handler_that_waits_for_nothing_for_ever_is_cancelled_all_the_same(
    layer: Any,
) -> None:
    notes: list[Any] = []

    async def wait() -> None:
        while True:  # noqa: ASYNC110 - it is what is tested
            await asyncio.sleep(0)

    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": wait})
        await settle()
        task.cancel()
        await asyncio.wait([task], timeout=5 * SLOW)

        assert task.cancelled()
    assert notes == ["started", "waits", "cancelled"]


async def test_a_cancellation_reaches_a_handler_whose_future_has_just_been_done(layer: Any) -> None:
    notes: list[Any] = []
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await future

    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": wait})
        await settle()
        future.set_result(None)
        task.cancel()
        await asyncio.wait([task], timeout=5 * SLOW)

        assert task.cancelled()
    assert notes == ["started", "waits", "cancelled"]


async def test_a_task_group_in_a_handler_fails_as_anywhere(layer: Any) -> None:
    """It wakes the handler and cancels it in the same turn of the event loop."""
    notes: list[Any] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("deliberate")

    async def catch() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        except* LookupError:
            notes.append("caught")

    async with member(notes):
        await layer.group_send("room", {"type": "wait", "until": catch})
        await until(lambda: "waited" in notes)
        await layer.group_send("room", {"type": "say", "n": 1})
        await until(lambda: 1 in notes)

    assert notes == ["started", "waits", "caught", "waited", 1]


async def test_a_time_limit_that_passes_with_the_answer_ends_the_wait_and_nothing_else(
    layer: Any,
) -> None:
    notes: list[Any] = []
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        answer = loop.create_future()
        try:
            async with asyncio.timeout_at(loop.time() + 0.01) as limit:
                # Both are due in one turn of the event loop, the answer first.
                loop.call_at((limit.when() or 0) - 1e-9, answer.set_result, None)
                await answer
        except TimeoutError:
            notes.append("late")

    async with member(notes):
        await layer.group_send("room", {"type": "wait", "until": wait})
        await until(lambda: "waited" in notes)
        await layer.group_send("room", {"type": "say", "n": 1})
        await until(lambda: 1 in notes)

    assert notes == ["started", "waits", "late", "waited", 1]


async def test_what_only_another_library_could_await_is_an_error_in_the_handler(layer: Any) -> None:
    notes: list[Any] = []

    class Foreign:
        def __await__(self) -> Any:
            yield "a trap of its own"

    async def wait() -> None:
        await Foreign()

    async with member(notes) as task:
        await layer.group_send("room", {"type": "wait", "until": wait})
        await asyncio.wait([task], timeout=5 * SLOW)

        # From a parked task in our words, from a running one in asyncio's.
        with pytest.raises(RuntimeError, match="'a trap of its own'"):
            task.result()


async def test_a_message_to_itself_waits_for_the_end_of_the_handler(layer: Any) -> None:
    """The handler is woken from within its first step, and only then begins to wait."""
    notes: list[Any] = []

    async def wait() -> None:
        await layer.send(next(iter(layer.channels)), {"type": "say", "n": 1})
        await asyncio.sleep(0.01)

    async with member(notes):
        await layer.group_send("room", {"type": "wait", "until": wait})
        await until(lambda: 1 in notes)

    assert notes == ["started", "waits", "waited", 1]


async def test_a_frames_message_to_its_room_is_handled_within_its_own_handler(layer: Any) -> None:
    """But by whoever is idle: its own consumer has the frame to handle first."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    seen: list[Any] = []

    class Chat(AsyncWebsocketConsumer):
        groups = ("room",)

        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await self.channel_layer.group_send("room", {"type": "say", "n": 1})
            seen.append("sent")

        async def say(self, message: dict[str, Any]) -> None:
            seen.append("own")

    async def send(event: Any) -> None:
        pass

    async with member(seen):
        events.put_nowait({"type": "websocket.connect"})
        task = asyncio.create_task(Chat.as_asgi()({"type": "websocket"}, events.get, send))
        await settle()
        events.put_nowait({"type": "websocket.receive", "text": "go"})
        await until(lambda: "own" in seen and 1 in seen)
        task.cancel()
        await asyncio.wait([task])

    if IS_POSSIBLE:
        assert seen == ["started", 1, "sent", "own"]
    else:
        assert seen.index("sent") < seen.index("own")


async def test_a_frame_is_handled_as_it_comes_and_those_behind_it_in_order(layer: Any) -> None:
    """Through a server's ``receive``, as any server has it."""
    notes: list[Any] = []
    events: asyncio.Queue[Any] = asyncio.Queue()

    class Echo(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            notes.append((text_data, asyncio.current_task() is task))
            if text_data == "slow":
                await asyncio.sleep(0.01)
            await self.send(text_data)
            notes.append(f"done {text_data}")

    async def send(event: Any) -> None:
        notes.append(event.get("text", event["type"]))

    events.put_nowait({"type": "websocket.connect"})
    task = asyncio.create_task(Echo.as_asgi()({"type": "websocket"}, events.get, send))
    await until(lambda: notes == ["websocket.accept"])
    await settle()
    for text in ("one", "slow", "two", "three"):
        events.put_nowait({"type": "websocket.receive", "text": text})
    await until(lambda: "done three" in notes)
    events.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait_for(task, 5 * SLOW)

    texts = ("one", "slow", "two", "three")
    assert notes[1:] == [note for text in texts for note in ((text, True), text, f"done {text}")]

"""Messages of one group that are on their way at the same time go together, and none overtakes."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from channels import telemetry
from channels._core.broadcast import Joined
from channels.consumer import AsyncConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.layers.fan_out import LARGE, MOST_TOGETHER
from channels.layers.inbox import Inbox
from channels.stepping import IS_POSSIBLE
from tests.slow import SLOW

MEMBERS = LARGE + 1
MEMBER = f"member!{LARGE}"
"""The last of the crowd."""

Act = Callable[["Sender"], Awaitable[None]]


class Sender(AsyncConsumer):
    """Does what it is told to, within its handler."""

    async def start(self, message: dict[str, Any]) -> None:
        await self.channel_layer.group_add("senders", self.channel_name)

    async def act(self, message: dict[str, Any]) -> None:
        await acts[message["number"]](self)

    async def say(self, *numbers: Any, group: str = "crowd") -> None:
        for number in numbers:
            await self.channel_layer.group_send(group, {"type": "line", "n": number})


acts: list[Act] = []


class Crowd:
    """A large group whose members note what they get, and a consumer that sends to it."""

    def __init__(self) -> None:
        self.layer = InMemoryChannelLayer()
        self.heard: list[tuple[str, Any]] = []
        self.inboxes = [self.attach(f"member!{number}") for number in range(MEMBERS)]

    def attach(self, channel: str) -> Any:
        inbox = self.layer.attach(channel, lambda: None)

        def begin(message: dict[str, Any]) -> bool:
            # As a consumer does: a frame is none of a handler's.
            if "n" in message:
                self.heard.append((channel, message["n"]))
            return "n" in message

        inbox.begin = begin
        return inbox

    async def gather(self) -> None:
        for inbox in self.inboxes:
            await self.layer.group_add("crowd", inbox.channel)
        await self.layer.group_add("few", MEMBER)

    def of(self, channel: str) -> list[Any]:
        return [number for name, number in self.heard if name == channel]

    async def let(self, act: Act, *, hear: int) -> None:
        """Let the consumer act in its handler, until so many messages have been heard."""
        acts.append(act)
        await self.layer.group_send("senders", {"type": "act", "number": len(acts) - 1})
        async with asyncio.timeout(5 * SLOW):
            while len(self.heard) < hear:  # noqa: ASYNC110 - the event loop does it
                await asyncio.sleep(0)


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    crowd = Crowd()
    before = channel_layers.set("default", crowd.layer)
    await crowd.gather()
    events: asyncio.Queue[Any] = asyncio.Queue()
    events.put_nowait({"type": "start"})
    task = asyncio.create_task(Sender.as_asgi()({"type": "own"}, events.get, events.put))
    while "senders" not in crowd.layer.groups:  # noqa: ASYNC110 - the consumer does it
        await asyncio.sleep(0)
    await settle()
    yield crowd
    task.cancel()
    await asyncio.wait([task])
    if before is not None:
        channel_layers.set("default", before)


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each slice be as short as can be."""
    monkeypatch.setattr("channels.layers.fan_out.SLICE", -1.0)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_member_gets_all_that_waits_before_the_next_member_does(crowd: Crowd) -> None:
    await crowd.let(lambda sender: sender.say(0, 1, 2), hear=3 * MEMBERS)

    each = [(inbox.channel, number) for inbox in crowd.inboxes for number in range(3)]
    if IS_POSSIBLE:
        assert crowd.heard == each
    assert sorted(crowd.heard) == sorted(each)


@pytest.mark.usefixtures("slices")
async def test_what_several_senders_have_sent_goes_together_too(crowd: Crowd) -> None:
    async def say(number: int) -> None:
        await crowd.layer.group_send("crowd", {"type": "line", "n": number})

    await asyncio.gather(*(say(number) for number in range(4)))

    # The first was on its way when the others came, and so went alone.
    behind = [heard for heard in crowd.heard if heard[1] != 0]
    assert behind == [(inbox.channel, n) for inbox in crowd.inboxes for n in (1, 2, 3)]


async def test_the_handler_goes_on_meanwhile(crowd: Crowd) -> None:
    heard: list[int] = []

    async def act(sender: Sender) -> None:
        await sender.say(0)
        heard.append(len(crowd.heard))

    await crowd.let(act, hear=MEMBERS)

    assert heard == [0 if IS_POSSIBLE else MEMBERS]


async def test_only_so_many_may_wait_without_their_sender(crowd: Crowd) -> None:
    waiting: list[int] = []

    async def act(sender: Sender) -> None:
        for number in range(3 * MOST_TOGETHER):
            await sender.say(number)
            waiting.append(number + 1 - len(crowd.of(MEMBER)))

    await crowd.let(act, hear=3 * MOST_TOGETHER * MEMBERS)

    assert max(waiting) == (MOST_TOGETHER if IS_POSSIBLE else 0)
    assert crowd.of(MEMBER) == list(range(3 * MOST_TOGETHER))


async def send_directly(sender: Sender) -> None:
    await sender.channel_layer.send(MEMBER, {"type": "line", "n": "later"})


async def send_to_few(sender: Sender) -> None:
    await sender.say("later", group="few")


async def send_in_a_task(sender: Sender) -> None:
    await asyncio.create_task(send_directly(sender))


async def send_in_a_thread(sender: Sender) -> None:
    await sync_to_async(lambda: async_to_sync(send_directly)(sender))()


async def send_on_another_loop(sender: Sender) -> None:
    await sync_to_async(lambda: asyncio.run(send_directly(sender)))()


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize(
    "send_more",
    [send_directly, send_to_few, send_in_a_task, send_in_a_thread, send_on_another_loop],
)
async def test_nothing_that_the_handler_sends_later_overtakes(
    crowd: Crowd, send_more: Callable[[Sender], Awaitable[None]]
) -> None:
    async def act(sender: Sender) -> None:
        await sender.say("first")
        await send_more(sender)

    await crowd.let(act, hear=MEMBERS + 1)

    assert crowd.of(MEMBER) == ["first", "later"]


@pytest.mark.usefixtures("slices")
async def test_another_event_loop_waits_however_slow_the_first_is(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(
        loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: Any
    ) -> None:
        loop.call_later(0.02, callback, *args)

    monkeypatch.setattr("channels.layers.fan_out.call_after_others", slowly)

    async def act(sender: Sender) -> None:
        await sender.say("first")
        await send_on_another_loop(sender)

    await crowd.let(act, hear=MEMBERS + 1)

    assert crowd.of(MEMBER) == ["first", "later"]


@pytest.mark.usefixtures("slices")
async def test_who_is_taken_out_of_the_group_afterwards_has_the_message(crowd: Crowd) -> None:
    await crowd.layer.group_add("crowd", "unread!1")

    async def act(sender: Sender) -> None:
        await sender.say("last")
        await sender.channel_layer.group_discard("crowd", "unread!1")

    await crowd.let(act, hear=MEMBERS)
    async with asyncio.timeout(5 * SLOW):
        assert (await crowd.layer.receive("unread!1"))["n"] == "last"


@pytest.mark.usefixtures("slices")
async def test_a_flush_drops_what_was_sent_before_it(crowd: Crowd) -> None:
    flushed: list[int] = []

    async def act(sender: Sender) -> None:
        await sender.say("last")
        await sender.channel_layer.flush()
        flushed.append(len(crowd.heard))

    await crowd.let(act, hear=MEMBERS)
    await settle()

    assert flushed == [MEMBERS]


@pytest.mark.usefixtures("slices")
async def test_a_group_of_the_same_name_in_another_layer_is_another(crowd: Crowd) -> None:
    other = Crowd()
    await other.gather()

    async def act(sender: Sender) -> None:
        await sender.say("first")
        await other.layer.group_send("crowd", {"n": "elsewhere"})
        await send_directly(sender)

    await crowd.let(act, hear=MEMBERS + 1)

    assert crowd.of(MEMBER) == ["first", "later"]
    assert other.of(MEMBER) == ["elsewhere"]


async def test_an_eager_task_waits_since_its_handler_cannot_know(crowd: Crowd) -> None:
    heard: list[int] = []

    async def say(sender: Sender) -> None:
        await sender.say("first")
        heard.append(len(crowd.heard))

    async def act(sender: Sender) -> None:
        loop = asyncio.get_running_loop()
        if IS_POSSIBLE:
            await asyncio.eager_task_factory(loop, say(sender))  # type: ignore[attr-defined]
        else:
            await say(sender)

    await crowd.let(act, hear=MEMBERS)
    await settle()

    assert heard == [MEMBERS]


async def test_an_event_loop_that_blocks_itself_is_not_waited_for_for_ever(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("channels.layers.leaving.PATIENCE", 0.01)

    async def act(sender: Sender) -> None:
        await sender.say("first")
        # What nobody should do, and somebody does.
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(asyncio.run, send_directly(sender)))
        thread.start()
        thread.join()

    await crowd.let(act, hear=MEMBERS + 1)

    assert sorted(crowd.of(MEMBER)) == ["first", "later"]
    assert ("An event loop is blocked" in caplog.text) == IS_POSSIBLE


@pytest.mark.usefixtures("slices")
async def test_nothing_that_the_next_handler_sends_overtakes(crowd: Crowd) -> None:
    await crowd.let(lambda sender: sender.say("first"), hear=0)
    await crowd.let(send_to_few, hear=MEMBERS + 1)

    assert crowd.of(MEMBER) == ["first", "later"]


async def test_another_sender_does_not_wait(crowd: Crowd) -> None:
    await crowd.let(lambda sender: sender.say("first"), hear=0)
    await crowd.layer.send(MEMBER, {"type": "line", "n": "of another"})

    assert crowd.of(MEMBER)[:1] == ["of another"]


async def test_who_joins_between_two_messages_gets_the_second_alone(crowd: Crowd) -> None:
    crowd.attach("new!1")

    async def act(sender: Sender) -> None:
        await sender.say(1)
        await sender.channel_layer.group_add("crowd", "new!1")
        await sender.say(2)

    await crowd.let(act, hear=2 * MEMBERS + 1)

    assert crowd.of("new!1") == [2]
    assert crowd.of(MEMBER) == [1, 2]


class Fragile:
    """Can be copied so many times, and once more after that."""

    copies = 0

    def __deepcopy__(self, memo: object) -> Fragile:
        Fragile.copies += 1
        if Fragile.copies == 10:
            raise LookupError("deliberate")
        return self


async def test_one_that_fails_is_logged_and_keeps_no_other_from_its_way(
    crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(sender: Sender) -> None:
        await sender.say(1)
        try:
            await sender.channel_layer.group_send("crowd", {"n": 2, "fragile": Fragile()})
        except LookupError:
            assert not IS_POSSIBLE
        await sender.say(3)

    Fragile.copies = 0
    told: list[telemetry.Event] = []
    end = telemetry.subscribe(told.append)
    await crowd.let(act, hear=2 * MEMBERS + 8)
    end()
    await crowd.layer.group_send("crowd", {"n": 4})

    assert [crowd.of(name) for name in ("member!0", MEMBER)] == [[1, 2, 3, 4], [1, 3, 4]]
    assert sum(number == 2 for _, number in crowd.heard) == 8
    if IS_POSSIBLE:
        missed = MEMBERS - 8
        what = f"A message to group crowd did not reach {missed} of its members."
        assert what in caplog.text
        assert "deliberate" in caplog.text
        assert told == [telemetry.MessageDropped("crowd", "failed", missed)]


async def test_a_client_that_fails_ends_just_the_rest_of_what_goes_to_it(
    crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[str] = []

    def express(inbox: Inbox) -> Callable[[object], None]:
        def take(frame: object) -> None:
            if inbox.channel == "member!20":
                raise LookupError("deliberate")
            got.append(inbox.channel)

        return take

    for inbox in crowd.inboxes:
        inbox.express = express(inbox)
    told: list[telemetry.Event] = []
    end = telemetry.subscribe(told.append)

    async def act(sender: Sender) -> None:
        try:
            await sender.channel_layer.group_send("crowd", {"type": "websocket.send", "text": "x"})
        except LookupError:
            assert not IS_POSSIBLE

    await crowd.let(act, hear=0)
    await settle()
    end()

    assert got == [f"member!{number}" for number in range(20)]
    if IS_POSSIBLE:
        assert told == [telemetry.MessageDropped("crowd", "failed", MEMBERS - 20)]
        assert f"did not reach {MEMBERS - 20} of its members" in caplog.text


async def test_the_members_are_compared_once_for_each_message(crowd: Crowd) -> None:
    async def act(sender: Sender) -> None:
        await sender.say(1, 2, 3)
        for line in crowd.layer._hub._fan_outs._lines.values():
            assert len({id(fan._members) for fan in line}) == 1

    await crowd.let(act, hear=3 * MEMBERS)


async def test_frames_that_wait_are_one_write_for_each_client(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: the members all come in one slice.
    monkeypatch.setattr("channels.layers.fan_out.SLICE", 3600.0)
    written: list[Any] = []
    for inbox in crowd.inboxes:
        inbox.express = written.append

    async def act(sender: Sender) -> None:
        for text in ("one", "two"):
            frame = {"type": "websocket.send", "text": text}
            await sender.channel_layer.group_send("crowd", frame)

    await crowd.let(act, hear=0)
    await settle()

    if IS_POSSIBLE:
        assert len(written) == MEMBERS
        assert len({id(joined) for joined in written}) == 1
        assert isinstance(written[0], Joined)
        assert [part["text"] for part in written[0].parts] == ["one", "two"]
    else:
        assert len(written) == 2 * MEMBERS


async def test_large_frames_are_not_copied_to_be_one_write(crowd: Crowd) -> None:
    written: list[Any] = []
    crowd.inboxes[0].express = written.append

    async def act(sender: Sender) -> None:
        for letter in "ab":
            frame = {"type": "websocket.send", "text": letter * 10_000}
            await sender.channel_layer.group_send("crowd", frame)

    for inbox in crowd.inboxes[1:]:
        inbox.express = lambda frame: None
    await crowd.let(act, hear=0)
    await settle()

    assert [frame["text"][0] for frame in written] == ["a", "b"]


async def test_outside_a_handler_all_have_it_when_the_sender_goes_on(crowd: Crowd) -> None:
    # Its event loop may end right after.
    await crowd.layer.group_send("crowd", {"type": "line", "n": 1})

    assert len(crowd.heard) == MEMBERS


def test_a_sender_in_a_thread_of_its_own_leaves_nothing_behind() -> None:
    layer = InMemoryChannelLayer()

    async def send() -> None:
        for number in range(MEMBERS):
            await layer.group_add("crowd", f"unread!{number}")
        await layer.group_send("crowd", {"type": "line"})

    thread = threading.Thread(target=lambda: asyncio.run(send()))
    thread.start()
    thread.join()
    heard = [channel for channel, box in layer.channels.items() if box.qsize()]

    assert len(heard) == MEMBERS

"""Consumers: the instance's life, its handlers, its errors, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import override_settings

from channels.consumer import AsyncConsumer, SyncConsumer, get_handler_name
from channels.exceptions import IllegalEventError, NoHandlerError, StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels.testing import WebsocketCommunicator
from tests.slow import SLOW

SOCKET = {"type": "websocket"}
CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def frame(text: str) -> dict[str, str]:
    return {"type": "websocket.receive", "text": text}


def layer() -> InMemoryChannelLayer:
    found = get_channel_layer()
    assert isinstance(found, InMemoryChannelLayer)
    return found


@pytest.fixture(autouse=True)
def _fresh_layer() -> Iterator[None]:
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"type": "websocket.connect"}, "websocket_connect"),
        ({"type": "a._b"}, "a__b"),
        ({"type": "plain"}, "plain"),
    ],
)
def test_a_handler_is_named_by_the_type_with_dots_as_underscores(
    event: dict[str, str], name: str
) -> None:
    assert get_handler_name(event) == name


@pytest.mark.parametrize("event_type", ["_x", ".x", "__class__"])
def test_a_type_that_would_name_something_private_is_refused(event_type: str) -> None:
    with pytest.raises(ValueError, match=r"Malformed type in message \(leading underscore\)"):
        get_handler_name({"type": event_type})


def test_a_message_without_a_type_is_refused() -> None:
    with pytest.raises(ValueError, match="has no 'type'"):
        get_handler_name({})


def test_a_type_that_is_no_string_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a string, not 7"):
        get_handler_name({"type": 7})


class Recorder(AsyncConsumer):
    """Says what it was given."""

    flag = "not callable"

    async def websocket_connect(self, event: dict[str, Any]) -> None:
        await self.send({"type": "websocket.accept"})

    async def tick(self, event: dict[str, Any]) -> None:
        await self.send({"type": "websocket.send", "text": str(event["n"])})

    async def websocket_disconnect(self, event: dict[str, Any]) -> None:
        raise StopConsumer

    def plain(self, event: dict[str, Any]) -> None:
        """A handler that forgot to be async."""


async def connected(
    consumer: type[AsyncConsumer], scope: dict[str, Any] | None = None
) -> ApplicationCommunicator:
    client = ApplicationCommunicator(consumer.as_asgi(), dict(scope or SOCKET))
    await client.send_input(CONNECT)
    assert (await client.receive_output())["type"] == "websocket.accept"
    return client


async def test_a_message_sent_to_the_channel_name_reaches_its_handler() -> None:
    client = await connected(Recorder)
    [name] = layer().channels

    await layer().send(name, {"type": "tick", "n": 4})

    assert await client.receive_output() == {"type": "websocket.send", "text": "4"}
    await client.send_input(DISCONNECT)
    await client.wait()


@pytest.mark.parametrize(
    ("event_type", "text"),
    [
        ("no.such", "No handler for message type no.such: .*Recorder has no method 'no_such'"),
        ("flag", r"No handler for message type flag: .*Recorder\.flag is not callable"),
    ],
)
async def test_a_type_without_a_handler_ends_the_consumer_with_a_clear_error(
    event_type: str, text: str
) -> None:
    client = await connected(Recorder)

    await client.send_input({"type": event_type})

    with pytest.raises(NoHandlerError, match=text) as caught:
        await client.wait()
    assert isinstance(caught.value, ValueError)


async def test_a_plain_function_as_handler_of_an_async_consumer_is_named() -> None:
    client = await connected(Recorder)

    await client.send_input({"type": "plain"})

    with pytest.raises(
        TypeError, match=r"Recorder\.plain of an async consumer must be 'async def'"
    ):
        await client.wait()


def test_as_asgi_carries_the_class_and_its_arguments() -> None:
    app = Recorder.as_asgi(colour="red")

    assert inspect.iscoroutinefunction(app)
    assert app.consumer_class is Recorder  # type: ignore[attr-defined]
    assert app.consumer_initkwargs == {"colour": "red"}  # type: ignore[attr-defined]
    assert app.__name__ == "Recorder"
    assert app.__wrapped__ is Recorder  # type: ignore[attr-defined]
    assert "flag" not in app.__dict__


def test_an_instance_is_an_application_itself() -> None:
    assert inspect.iscoroutinefunction(type(Recorder()).__call__)


@override_settings(CHANNEL_LAYERS={})
async def test_without_a_layer_there_is_no_channel_name() -> None:
    seen: list[AsyncConsumer] = []

    class Bare(Recorder):
        async def websocket_connect(self, event: dict[str, Any]) -> None:
            seen.append(self)
            await super().websocket_connect(event)

    client = await connected(Bare)
    await client.send_input(DISCONNECT)
    await client.wait()

    assert seen[0].channel_layer is None
    assert not hasattr(seen[0], "channel_name")
    assert not hasattr(seen[0], "channel_receive")


async def test_the_scope_is_the_same_object() -> None:
    scope = dict(SOCKET)
    seen: list[Any] = []

    class Keeper(Recorder):
        async def websocket_connect(self, event: dict[str, Any]) -> None:
            seen.append(self.scope)
            await super().websocket_connect(event)

    client = ApplicationCommunicator(Keeper.as_asgi(), scope)
    await client.send_input(CONNECT)
    await client.receive_output()
    await client.send_input(DISCONNECT)
    await client.wait()

    assert seen[0] is scope


async def test_context_variables_set_in_one_handler_are_seen_in_the_next() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")

    class Painter(Recorder):
        async def paint(self, event: dict[str, Any]) -> None:
            colour.set(event["colour"])

        async def show(self, event: dict[str, Any]) -> None:
            await self.send({"type": "websocket.send", "text": colour.get()})

    client = await connected(Painter)
    await client.send_input({"type": "paint", "colour": "blue"})
    await client.send_input({"type": "show"})

    assert (await client.receive_output())["text"] == "blue"
    client.stop()


class Lobby(AsyncWebsocketConsumer):
    """Joins a group by class attribute and one by hand."""

    groups = ("lobby",)
    closed_with: list[int] = []  # noqa: RUF012 - shared by the instances on purpose

    async def connect(self) -> None:
        await self.channel_layer.group_add("by-hand", self.channel_name)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "fail":
            raise LookupError("the handler's own error")
        await asyncio.sleep(3600)

    async def disconnect(self, code: int) -> None:
        self.closed_with.append(code)


@pytest.fixture(autouse=True)
def _forget_codes() -> None:
    Lobby.closed_with.clear()


async def test_a_disconnect_leaves_every_group_and_forgets_the_channel() -> None:
    client = await connected(Lobby)
    assert set(layer().groups) == {"lobby", "by-hand"}

    await client.send_input(DISCONNECT)
    await client.wait()

    assert layer().groups == {}
    assert layer().channels == {}
    assert Lobby.closed_with == [1000]


async def test_an_exception_leaves_every_group_but_is_no_disconnect() -> None:
    client = await connected(Lobby)

    await client.send_input(frame("fail"))
    with pytest.raises(LookupError, match="the handler's own error"):
        await client.wait()

    assert layer().groups == {}
    assert layer().channels == {}
    assert Lobby.closed_with == []


async def test_cancellation_leaves_every_group_but_is_no_disconnect() -> None:
    client = await connected(Lobby)
    await client.send_input(frame("sleep"))
    await asyncio.sleep(0)

    client.future.cancel()
    await asyncio.wait([client.future])

    assert client.future.cancelled()
    assert layer().groups == {}
    assert layer().channels == {}
    assert Lobby.closed_with == []


class Listener(AsyncConsumer):
    """Reads its own channel."""

    async def websocket_connect(self, event: dict[str, Any]) -> None:
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, event: dict[str, Any]) -> None:
        await self.send({"type": "websocket.send", "text": "listening"})
        for receive in (
            self.channel_receive,
            functools.partial(self.channel_layer.receive, self.channel_name),
        ):
            got = await receive()
            await self.send({"type": "websocket.send", "text": f"received {got['n']}"})

    async def tick(self, event: dict[str, Any]) -> None:
        await self.send({"type": "websocket.send", "text": f"handled {event['n']}"})

    async def websocket_disconnect(self, event: dict[str, Any]) -> None:
        raise StopConsumer


class ThreadedListener(SyncConsumer):
    """Reads its own channel from its thread."""

    def websocket_connect(self, event: dict[str, Any]) -> None:
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, event: dict[str, Any]) -> None:
        self.send({"type": "websocket.send", "text": "listening"})
        for _ in range(2):
            got = async_to_sync(self.channel_receive)()
            self.send({"type": "websocket.send", "text": f"received {got['n']}"})

    def tick(self, event: dict[str, Any]) -> None:
        self.send({"type": "websocket.send", "text": f"handled {event['n']}"})

    def websocket_disconnect(self, event: dict[str, Any]) -> None:
        raise StopConsumer


@pytest.mark.parametrize("consumer", [Listener, ThreadedListener])
async def test_a_handler_may_receive_from_the_consumers_own_channel(
    consumer: type[AsyncConsumer],
) -> None:
    client = await connected(consumer)
    [name] = layer().channels
    await client.send_input(frame("listen"))
    said = [(await client.receive_output())["text"]]

    for n in range(3):
        await layer().send(name, {"type": "tick", "n": n})
        said.append((await client.receive_output())["text"])

    assert said == ["listening", "received 0", "received 1", "handled 2"]
    await client.send_input(DISCONNECT)
    await client.wait()


async def test_a_task_of_a_consumer_may_receive_in_its_place() -> None:
    client = await connected(Listener)
    [name] = layer().channels
    await asyncio.sleep(0)

    for n in range(2):
        waiting = asyncio.create_task(layer().receive(name))
        await asyncio.sleep(0)
        await layer().send(name, {"type": "tick", "n": n})
        assert await waiting == {"type": "tick", "n": n}
    await layer().send(name, {"type": "tick", "n": 2})

    assert (await client.receive_output())["text"] == "handled 2"
    assert client.output_queue.empty()
    client.stop()


async def test_a_task_of_a_consumer_may_receive_one_message_after_the_other() -> None:
    client = await connected(Listener)
    [name] = layer().channels
    got: list[int] = []

    async def listen() -> None:
        while True:
            got.append((await layer().receive(name))["n"])

    listening = asyncio.create_task(listen())
    for n in range(4):
        for _ in range(5):
            await asyncio.sleep(0)
        await layer().send(name, {"type": "tick", "n": n})
    for _ in range(5):
        await asyncio.sleep(0)

    assert got == [0, 1, 2, 3]
    assert client.output_queue.empty()
    listening.cancel()
    client.stop()


async def test_a_message_that_a_cancelled_task_has_waited_for_is_handled() -> None:
    client = await connected(Listener)
    [name] = layer().channels
    waiting = asyncio.create_task(layer().receive(name))
    await asyncio.sleep(0)

    await layer().send(name, {"type": "tick", "n": 1})
    waiting.cancel()

    assert (await client.receive_output())["text"] == "handled 1"
    assert waiting.cancelled()
    client.stop()


class CountingLayer:
    """A layer of a third party: no inboxes, no common base class."""

    def __init__(self) -> None:
        self.left: list[tuple[str, str]] = []
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.cancelled = 0

    async def new_channel(self) -> str:
        return "third.party!1"

    async def receive(self, channel: str) -> dict[str, Any]:
        try:
            return await self.queue.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def group_add(self, group: str, channel: str) -> None:
        pass

    async def group_discard(self, group: str, channel: str) -> None:
        self.left.append((group, channel))


class OneGroup(Lobby):
    """Joins by class attribute alone."""

    async def connect(self) -> None:
        await self.accept()


@pytest.mark.parametrize("ending", ["disconnect", "exception", "cancellation"])
async def test_on_any_layer_groups_are_left_exactly_once(ending: str) -> None:
    foreign = CountingLayer()
    channel_layers.set("default", foreign)
    client = await connected(OneGroup)

    if ending == "disconnect":
        await client.send_input(DISCONNECT)
    elif ending == "exception":
        await client.send_input(frame("fail"))
    else:
        client.future.cancel()
    await asyncio.gather(client.future, return_exceptions=True)

    assert foreign.left == [("lobby", "third.party!1")]
    assert foreign.cancelled == 1


async def test_a_layer_without_inboxes_is_read_by_a_pump() -> None:
    foreign = CountingLayer()
    channel_layers.set("default", foreign)
    client = await connected(Recorder)

    foreign.queue.put_nowait({"type": "tick", "n": 1})
    foreign.queue.put_nowait({"type": "tick", "n": 2})

    assert [(await client.receive_output())["text"] for _ in range(2)] == ["1", "2"]
    client.stop()


class ListeningLayer(InMemoryChannelLayer):
    """A layer of a project's, which sees what consumers receive."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    async def receive(self, channel: str) -> dict[str, Any]:
        message = await super().receive(channel)
        self.seen.append(message["n"])
        return message


async def test_a_subclass_of_a_layer_is_asked_for_what_its_consumers_receive() -> None:
    listening = ListeningLayer()
    channel_layers.set("default", listening)
    client = await connected(Recorder)
    [name] = listening.channels
    await listening.group_add("room", name)

    await listening.send(name, {"type": "tick", "n": 1})
    await listening.group_send("room", {"type": "tick", "n": 2})

    assert [(await client.receive_output())["text"] for _ in range(2)] == ["1", "2"]
    assert listening.seen == [1, 2]
    await client.send_input(DISCONNECT)
    await client.wait()
    assert (listening.channels, listening.groups) == ({}, {})


async def test_a_receive_that_a_test_has_put_into_a_layer_is_asked() -> None:
    spied, channels = layer(), []

    async def spy(channel: str) -> Any:
        channels.append(channel)
        return await InMemoryChannelLayer.receive(spied, channel)

    spied.receive = spy  # type: ignore[method-assign]
    client = await connected(Recorder)
    [name] = spied.channels

    await spied.send(name, {"type": "tick", "n": 1})

    assert (await client.receive_output())["text"] == "1"
    assert set(channels) == {name}
    client.stop()


async def test_an_error_while_leaving_groups_is_logged_and_hides_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(CountingLayer):
        async def group_discard(self, group: str, channel: str) -> None:
            raise ConnectionError("no broker")

    channel_layers.set("default", Broken())
    client = await connected(OneGroup)

    await client.send_input(frame("fail"))
    with pytest.raises(LookupError, match="the handler's own error"):
        await client.wait()

    assert "could not leave its groups" in caplog.text


async def test_a_third_party_sees_a_handler_error_and_not_a_read_error_first() -> None:
    class Closing(CountingLayer):
        async def receive(self, channel: str) -> dict[str, Any]:
            raise ConnectionError("the broker is gone")

    channel_layers.set("default", Closing())
    client = ApplicationCommunicator(Recorder.as_asgi(), dict(SOCKET))

    with pytest.raises(ConnectionError, match="the broker is gone"):
        await client.wait()


class Echo(WebsocketConsumer):
    """A sync consumer that repeats what it hears."""

    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "paint":
            self.colour.set("green")
        elif text_data == "fail":
            raise LookupError("the handler's own error")
        elif text_data == "show":
            self.send(self.colour.get())
        else:
            self.send(text_data)


async def test_a_sync_consumer_sends_at_once_and_keeps_context_between_handlers() -> None:
    client = await connected(Echo)

    await client.send_input(frame("hello"))
    assert (await client.receive_output())["text"] == "hello"
    await client.send_input(frame("paint"))
    await client.send_input(frame("show"))

    assert (await client.receive_output())["text"] == "green"
    await client.send_input(DISCONNECT)
    await client.wait()


async def test_an_exception_crosses_from_the_thread_unchanged() -> None:
    client = await connected(Echo)

    await client.send_input(frame("fail"))

    with pytest.raises(LookupError, match="the handler's own error"):
        await client.wait()


async def test_dispatch_of_a_sync_consumer_can_be_awaited_and_wrapped() -> None:
    seen: list[str] = []

    class Wrapped(Echo):
        async def dispatch(self, message: dict[str, Any]) -> None:  # type: ignore[override]
            seen.append(message["type"])
            await super().dispatch(message)

    client = await connected(Wrapped)
    await client.send_input(frame("x"))
    await client.receive_output()

    assert seen == ["websocket.connect", "websocket.receive"]
    client.stop()


async def test_methods_work_on_an_instance_that_was_never_called() -> None:
    sent: list[dict[str, Any]] = []

    async def record(event: dict[str, Any]) -> None:
        sent.append(event)

    consumer = Lobby()
    consumer.base_send = record
    await consumer.send("x")
    sync_consumer = Echo()
    sync_consumer.base_send = sent.append
    await sync_to_async(functools.partial(sync_consumer.send, "y"))()

    assert [event["text"] for event in sent] == ["x", "y"]


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        (["send"], "'websocket.send' is not allowed while the socket is CONNECTING"),
        (["accept", "accept"], "'websocket.accept' is not allowed while the socket is OPEN"),
        (["accept", "close", "send"], "'websocket.send' is not allowed .* CLOSING"),
        (["close", "accept"], "'websocket.accept' is not allowed while the socket is CLOSING"),
    ],
)
async def test_events_in_an_illegal_order_are_refused(actions: list[str], text: str) -> None:
    class Wrong(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            for action in actions:
                await getattr(self, action)(*(["x"] if action == "send" else []))

    client = ApplicationCommunicator(Wrong.as_asgi(), dict(SOCKET))
    await client.send_input(CONNECT)

    with pytest.raises(IllegalEventError, match=text):
        await client.wait()


async def test_closing_twice_sends_one_close() -> None:
    class Twice(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.close(4001)
            await self.close(4002)

    client = await connected(Twice)

    assert await client.receive_output() == {"type": "websocket.close", "code": 4001}
    await client.send_input(DISCONNECT)
    await client.wait()
    assert client.output_queue.empty()


async def test_a_group_message_that_crosses_our_close_is_sent_quietly_nowhere() -> None:
    answers: list[bool] = []

    class Closing(AsyncWebsocketConsumer):
        groups = ("lobby",)

        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            await self.close()

        async def news(self, event: dict[str, Any]) -> None:
            answers.append(await self.send("news"))

    client = await connected(Closing)
    await client.send_input(frame("bye"))
    assert (await client.receive_output())["type"] == "websocket.close"

    await layer().group_send("lobby", {"type": "news"})
    await client.send_input(DISCONNECT)
    await client.wait()

    assert answers == [False]
    assert client.output_queue.empty()


async def test_a_send_to_a_peer_that_has_gone_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "django.channels.consumer")
    answers: list[bool] = []

    class Talker(AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            answers.append(await self.send("too late"))

    client = await connected(Talker)
    await client.send_input(DISCONNECT)
    await client.wait()

    assert answers == [False]
    assert client.output_queue.empty()
    assert "sent websocket.send to a peer that has gone" in caplog.text


async def test_a_server_that_raises_oserror_for_a_gone_peer_is_not_the_applications_error() -> None:
    answers: list[bool] = []

    class Talker(AsyncWebsocketConsumer):
        async def receive(
            self, text_data: str | None = None, bytes_data: bytes | None = None
        ) -> None:
            answers.append(await self.send("lost"))

    events = [CONNECT, frame("x"), DISCONNECT]

    async def receive() -> dict[str, Any]:
        return dict(events.pop(0))

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            raise BrokenPipeError

    await Talker.as_asgi()(dict(SOCKET), receive, send)

    assert answers == [False]


def test_sync_consumers_declare_themselves() -> None:
    assert SyncConsumer._sync
    assert not AsyncConsumer._sync
    assert AsyncConsumer.channel_layer_alias == "default"


async def test_a_group_that_cannot_be_left_keeps_nobody_in_the_others() -> None:
    class Stumbling(CountingLayer):
        async def group_discard(self, group: str, channel: str) -> None:
            if group == "a" and not self.left:
                self.left.append(("failed", group))
                raise ConnectionError("one hiccup")
            await super().group_discard(group, channel)

    class Three(OneGroup):
        groups = ("a", "b", "c")

    foreign = Stumbling()
    channel_layers.set("default", foreign)
    client = await connected(Three)

    await client.send_input(DISCONNECT)
    with pytest.raises(ConnectionError, match="one hiccup"):
        await client.wait()

    assert [group for group, _ in foreign.left] == ["failed", "b", "c", "a"]


async def test_an_async_handler_of_a_sync_consumer_is_named() -> None:
    class Mixed(Echo):
        async def news(self, event: dict[str, Any]) -> None:
            """A handler that should be a plain function."""

    client = await connected(Mixed)
    await client.send_input({"type": "news"})

    with pytest.raises(TypeError, match=r"news of a sync consumer must not be 'async def'"):
        await client.wait()


async def test_an_event_that_the_server_refuses_may_be_sent_again_corrected() -> None:
    sent: list[dict[str, Any]] = []
    events = [CONNECT, DISCONNECT]

    class Correcting(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            with pytest.raises(TypeError, match="no such subprotocol"):
                await self.accept(subprotocol="wrong")
            await self.accept(subprotocol="right")

    async def receive() -> dict[str, Any]:
        while not sent and len(events) == 1:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0)
        return dict(events.pop(0))

    async def send(event: dict[str, Any]) -> None:
        if event["subprotocol"] == "wrong":
            raise TypeError("no such subprotocol")
        sent.append(event)

    await Correcting.as_asgi()(dict(SOCKET), receive, send)

    assert [event["subprotocol"] for event in sent] == ["right"]


@pytest.mark.parametrize("base", [AsyncWebsocketConsumer, WebsocketConsumer])
async def test_a_consumer_class_goes_when_nobody_uses_it_any_more(base: Any) -> None:
    class Gone(base):  # type: ignore[misc] # either face
        pass

    client = WebsocketCommunicator(Gone.as_asgi(), "/")
    await client.connect()
    await client.disconnect()
    there = weakref.ref(Gone)

    del Gone, client

    async with asyncio.timeout(5 * SLOW):
        # A thread may be about to put its last call away.
        while there() is not None:
            await asyncio.sleep(0)
            gc.collect()

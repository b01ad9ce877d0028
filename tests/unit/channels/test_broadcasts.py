"""Group messages that go to the client as they are: in which order, when, and through what."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from channels import telemetry
from channels._core.broadcast import Broadcast
from channels._core.outbox import SlowConsumer
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import channel_layers, get_channel_layer
from channels.layers.memory import InMemoryChannelLayer
from channels.sending import MOST_HELD
from channels.testing import WebsocketCommunicator
from channels.typing import Event
from tests.slow import SLOW

HELLO = {"type": "websocket.send", "text": "hello"}


class Member(AsyncWebsocketConsumer):
    groups = ("room",)

    async def line(self, event: Event) -> None:
        await self.send(event["text"])


class SyncMember(WebsocketConsumer):
    groups = ("room",)

    def line(self, event: Event) -> None:
        self.send(event["text"])


@pytest.fixture(autouse=True)
def layer() -> Iterator[Any]:
    channel_layers.set("default", InMemoryChannelLayer())
    yield get_channel_layer()
    channel_layers.backends.clear()


@pytest.fixture
def counted() -> Iterator[Counter[str]]:
    before = telemetry.totals.copy()
    seen: Counter[str] = Counter()
    end = telemetry.subscribe(lambda event: (seen.clear(), seen.update(telemetry.totals - before)))
    yield seen
    end()


class Socket:
    """What a server with ``channels.direct`` gives: notes what comes, in order.

    Attributes:
        out: The events that were sent, and in front of each how it came.
    """

    def __init__(self, *, hides_send: bool = False, hides_receive: bool = False) -> None:
        self.slow_consumer = SlowConsumer.DROP_NEWEST
        self.out: list[tuple[str, Event]] = []
        self.events: deque[Event] = deque([{"type": "websocket.connect"}])
        self.ahead = 1
        self.arrived: Callable[[Event], None] | None = None
        self._hides = hides_send, hides_receive
        self._came = asyncio.Event()

    def write(self, event: Broadcast) -> None:
        self.out.append(("direct", event))

    def send_now(self, event: Event) -> bool:
        is_own = type(event) is dict and event["type"] == "websocket.send"
        if is_own:
            self.out.append(("sent", event))
        return is_own

    def listen(self, arrived: Callable[[Event], None] | None) -> None:
        self.arrived = arrived
        if arrived is not None:
            arrived(self.events[0])

    def take(self) -> Event | None:
        return self.events.popleft() if self.events else None

    def look_ahead(self) -> None:
        self.ahead += 1

    async def send(self, event: Event) -> None:
        self.out.append(("sent", event))

    async def receive(self) -> Event:
        while not self.events:
            self._came.clear()
            await self._came.wait()
        return self.events.popleft()

    def come(self, event: Event) -> None:
        self.events.append(event)
        self._came.set()
        if self.arrived is not None:
            self.arrived(event)

    def sent(self) -> list[tuple[str, str]]:
        """Return how each frame came, and its text."""
        return [(way, event["text"]) for way, event in self.out if "text" in event]

    @asynccontextmanager
    async def serving(self, application: Any) -> AsyncIterator[None]:
        async def other_send(event: Event) -> None:
            await self.send(event)

        async def other_receive() -> Event:
            return await self.receive()

        hides_send, hides_receive = self._hides
        scope = {"type": "websocket", "extensions": {"channels.direct": {"socket": self}}}
        task = asyncio.create_task(
            application(
                scope,
                other_receive if hides_receive else self.receive,
                other_send if hides_send else self.send,
            )
        )
        await settle()
        yield
        self.come({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(task, 5 * SLOW)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def settle_threads(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5 * SLOW):
        while not is_so():  # noqa: ASYNC110 - what happens in a thread
            await asyncio.sleep(0.001)


async def test_an_idle_consumer_s_socket_gets_it_from_within_the_fan_out(layer: Any) -> None:
    socket = Socket()
    async with socket.serving(Member.as_asgi()):
        await layer.group_send("room", HELLO)

        assert socket.sent() == [("direct", "hello")]


async def test_every_member_s_socket_gets_the_same_object(layer: Any) -> None:
    one, two = Socket(), Socket()
    async with one.serving(Member.as_asgi()), two.serving(Member.as_asgi()):
        await layer.group_send("room", HELLO)

        assert one.out[-1][1] is two.out[-1][1]


async def test_a_message_to_one_channel_goes_the_same_way(layer: Any) -> None:
    socket = Socket()
    async with socket.serving(Member.as_asgi()):
        [channel] = layer.channels

        await layer.send(channel, HELLO)

        assert socket.sent() == [("direct", "hello")]


async def test_nothing_passes_a_message_that_waits_for_its_handler(layer: Any) -> None:
    socket = Socket()
    async with socket.serving(Member.as_asgi()):
        await layer.group_send("room", {"type": "line", "text": "handled"})
        await layer.group_send("room", HELLO)
        await settle()

        assert socket.sent() == [("sent", "handled"), ("direct", "hello")]


async def test_nothing_passes_a_handler_that_runs(layer: Any) -> None:
    gate = asyncio.Event()

    class Slow(Member):
        async def line(self, event: Event) -> None:
            await gate.wait()
            await self.send(event["text"])

    socket = Socket()
    async with socket.serving(Slow.as_asgi()):
        await layer.group_send("room", {"type": "line", "text": "handled"})
        await settle()
        await layer.group_send("room", HELLO)
        assert socket.sent() == []

        gate.set()
        await settle()

        assert socket.sent() == [("sent", "handled"), ("direct", "hello")]


async def test_a_middleware_s_own_send_sees_every_broadcast(layer: Any) -> None:
    socket = Socket(hides_send=True)
    async with socket.serving(Member.as_asgi()):
        await layer.group_send("room", HELLO)
        await settle()

        assert socket.sent() == [("sent", "hello")]


async def test_a_middleware_s_own_receive_is_read_and_broadcasts_go_direct(layer: Any) -> None:
    socket = Socket(hides_receive=True)
    async with socket.serving(Member.as_asgi()):
        assert socket.arrived is None
        await layer.group_send("room", HELLO)

        assert socket.sent() == [("direct", "hello")]


async def test_a_sync_consumer_s_socket_gets_it_without_a_thread(layer: Any) -> None:
    socket = Socket()
    async with socket.serving(SyncMember.as_asgi()):
        await settle_threads(lambda: bool(socket.out))
        await settle()

        await layer.group_send("room", HELLO)
        await settle_threads(lambda: bool(socket.sent()))

        assert socket.sent() == [("direct", "hello")]


async def test_what_a_group_member_gets_before_it_accepts_comes_right_behind_the_accept(
    layer: Any,
) -> None:
    class Late(Member):
        async def connect(self) -> None:
            pass

        async def line(self, event: Event) -> None:
            await self.accept()
            await self.send(event["text"])

    socket = Socket()
    async with socket.serving(Late.as_asgi()):
        await layer.group_send("room", HELLO)
        await settle()
        assert socket.out == []

        await layer.group_send("room", {"type": "line", "text": "accepted"})
        await settle()

        assert [event["type"] for _, event in socket.out][:1] == ["websocket.accept"]
        assert socket.sent() == [("direct", "hello"), ("sent", "accepted")]


async def test_no_more_than_so_many_wait_for_the_accept(layer: Any, counted: Counter[str]) -> None:
    class Never(Member):
        async def connect(self) -> None:
            pass

    socket = Socket()
    async with socket.serving(Never.as_asgi()):
        for _ in range(MOST_HELD + 3):
            await layer.group_send("room", HELLO)
            await settle()
    assert counted["MessageDropped.full"] == 3
    assert counted["MessageDropped.closed"] == MOST_HELD


async def test_a_broadcast_close_closes_and_what_follows_is_quiet(
    layer: Any, counted: Counter[str]
) -> None:
    socket = Socket()
    async with socket.serving(Member.as_asgi()):
        await layer.group_send("room", {"type": "websocket.close", "code": 4000})
        await layer.group_send("room", HELLO)
        await settle()

        assert socket.out[-1] == ("sent", {"type": "websocket.close", "code": 4000})
    assert counted["SendIgnored"] == 1


async def test_a_held_close_comes_behind_the_accept(layer: Any) -> None:
    class Closed(Member):
        async def connect(self) -> None:
            await self.channel_layer.group_send("room", {"type": "websocket.close"})
            await settle()
            await self.accept()

    socket = Socket()
    async with socket.serving(Closed.as_asgi()):
        await settle()

        kinds = [event["type"] for _, event in socket.out]
        assert kinds == ["websocket.accept", "websocket.close"]


async def test_what_was_held_behind_a_close_is_counted_and_no_error_of_the_consumer(
    layer: Any, counted: Counter[str]
) -> None:
    answers: list[Any] = []

    class Late(Member):
        async def connect(self) -> None:
            pass

        async def let_in(self, event: Event) -> None:
            answers.append(await self.accept())
            answers.append(await self.send("hello"))

    socket = Socket()
    async with socket.serving(Late.as_asgi()):
        for message in ({"type": "websocket.close"}, HELLO, HELLO, {"type": "let.in"}):
            await layer.group_send("room", message)
        await settle()

        kinds = [event["type"] for _, event in socket.out]
        assert kinds == ["websocket.accept", "websocket.close"]
    assert answers == [None, False]
    assert counted["MessageDropped.closed"] == 2
    assert counted["SendIgnored"] == 1


async def test_a_class_that_has_a_handler_gets_a_copy_of_its_own(layer: Any) -> None:
    seen: list[Event] = []

    class Intercepting(Member):
        async def websocket_send(self, event: Event) -> None:
            event["sender"]["name"] += " (seen)"
            seen.append(event)

    one, two = Socket(), Socket()
    async with one.serving(Intercepting.as_asgi()), two.serving(Intercepting.as_asgi()):
        await layer.group_send("room", HELLO | {"sender": {"name": "ann"}})
        await settle()

    assert seen == [HELLO | {"sender": {"name": "ann (seen)"}}] * 2
    assert one.sent() == []


async def test_a_consumer_of_http_gets_it_as_any_message(layer: Any) -> None:
    class Http(AsyncConsumer):
        async def http_request(self, event: Event) -> None:
            await self.channel_layer.group_add("room", self.channel_name)

    async def receive() -> Event:
        await asyncio.sleep(0)
        return {"type": "http.request"} if not layer.groups else await asyncio.Future()

    async def send(event: Event) -> None:
        pass

    task = asyncio.create_task(Http.as_asgi()({"type": "http"}, receive, send))
    await settle()
    await layer.group_send("room", HELLO)

    with pytest.raises(ValueError, match=r"No handler for message type websocket\.send"):
        await asyncio.wait_for(task, 5 * SLOW)


async def test_a_layer_without_inboxes_delivers_them_too() -> None:
    queue: asyncio.Queue[Event] = asyncio.Queue()

    class Foreign:
        async def new_channel(self) -> str:
            return "foreign"

        async def receive(self, channel: str) -> Event:
            return await queue.get()

        async def group_add(self, group: str, channel: str) -> None:
            pass

        group_discard = group_add

    channel_layers.set("default", Foreign())
    socket = Socket()
    async with socket.serving(Member.as_asgi()):
        queue.put_nowait(dict(HELLO))
        queue.put_nowait({"type": "line", "text": "handled"})
        await settle()

        assert socket.sent() == [("direct", "hello"), ("sent", "handled")]


async def test_the_policy_of_the_class_reaches_the_server() -> None:
    class Latest(Member):
        slow_consumer = "keep_latest"

    socket = Socket()
    async with socket.serving(Latest.as_asgi()):
        assert socket.slow_consumer is SlowConsumer.KEEP_LATEST


async def test_an_unknown_policy_is_named() -> None:
    class Wrong(Member):
        slow_consumer = "forget"

    with pytest.raises(ValueError, match="'forget' is not a valid SlowConsumer"):
        async with Socket().serving(Wrong.as_asgi()):
            await asyncio.sleep(0.05)


async def test_a_message_without_a_payload_is_refused_where_it_is_sent(layer: Any) -> None:
    with pytest.raises(ValueError, match="expected either 'text' or 'bytes', got neither"):
        await layer.group_send("room", {"type": "websocket.send"})


async def test_a_reader_that_is_no_consumer_gets_a_message_that_it_may_change(layer: Any) -> None:
    await layer.group_add("room", "reader")

    await layer.group_send("room", HELLO | {"extra": [1]})

    message = await layer.receive("reader")
    message["extra"].append(2)
    assert message == HELLO | {"extra": [1, 2]}
    assert type(message) is dict


async def test_a_communicator_sees_a_broadcast_as_any_frame(layer: Any) -> None:
    async with WebsocketCommunicator(Member.as_asgi(), "/") as socket:
        await layer.group_send("room", HELLO)

        assert await socket.receive_from() == "hello"


async def test_during_a_long_handler_the_server_is_asked_to_look_ahead() -> None:
    class Slow(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            await self.send({"type": "websocket.accept"})

        async def websocket_receive(self, event: Event) -> None:
            await asyncio.sleep(0.1)

        async def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    socket = Socket()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "channels.consumer.channels_settings",
            lambda: type("Settings", (), {"disconnect_grace": 0.01, "sync_threads": 1}),
        )
        async with socket.serving(Slow.as_asgi()):
            socket.come({"type": "websocket.receive", "text": "1"})
            await settle()
            socket.come({"type": "websocket.receive", "text": "2"})
            await settle_threads(lambda: socket.ahead >= 3)

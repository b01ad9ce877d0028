"""What a handler sends to a group without waiting for Redis: in order, and counted if it fails.

Only a handler that was begun does (``stepping``): from Python 3.12 on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from channels import telemetry
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import channel_layers
from channels.stepping import IS_POSSIBLE
from channels.testing import WebsocketCommunicator
from channels_redis._link import MOST_POSTED
from channels_redis.core import RedisChannelLayer
from channels_redis.exceptions import RedisUnavailableError
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers.engines import Engine, Server
from tests.slow import SLOW

BOTH = [RedisChannelLayer, RedisPubSubChannelLayer]
FAILED = telemetry.MessageDropped("room", "failed")
Make = Callable[..., Any]
Act = Callable[["Sender"], Awaitable[None]]

acts: list[Act] = []


class Sender(AsyncWebsocketConsumer):
    """Does what it is told to, within its handler."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await acts[int(text_data or "")](self)

    async def line(self, message: dict[str, Any]) -> None:
        """Hear what it has said."""

    async def say(self, *numbers: Any) -> None:
        for number in numbers:
            await self.channel_layer.group_send("room", {"type": "line", "n": number})


class Stage:
    """A consumer that acts as it is told, and a listener in another process."""

    def __init__(self, layer: Any, other: Any) -> None:
        self.layer = layer
        self.other = other
        self.ear = ""
        self.client = WebsocketCommunicator(Sender.as_asgi(), "/")

    async def let(self, act: Act) -> None:
        """Have the handler begin; it may have ended when this returns."""
        acts.append(act)
        await self.client.send_to(str(len(acts) - 1))
        for _ in range(20):
            await asyncio.sleep(0)

    async def heard(self) -> Any:
        async with asyncio.timeout(10 * SLOW):
            return (await self.other.receive(self.ear))["n"]


@asynccontextmanager
async def stage(make: Make, backend: Any, **options: Any) -> AsyncIterator[Stage]:
    layer, other = make(backend, **options), make(backend, **options)
    before = channel_layers.set("default", layer)
    here = Stage(layer, other)
    here.ear = await other.new_channel()
    await other.group_add("room", here.ear)
    await here.client.connect()
    # Where the topics of groups are is known from the first message on.
    await layer.group_send("room", {"type": "line", "n": "first"})
    assert await here.heard() == "first"
    try:
        yield here
    finally:
        await here.client.disconnect()
        if before is not None:
            channel_layers.set("default", before)


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    """Give the server, which stands still no longer than the test."""
    yield server
    server.resume()


@pytest.fixture
def make_sync(engine: Engine) -> Iterator[Make]:
    """Return what makes layers for event loops that end by themselves."""
    layers: list[RedisChannelLayer] = []

    def make() -> RedisChannelLayer:
        layers.append(RedisChannelLayer(engine.hosts))
        return layers[-1]

    yield make
    for layer in layers:
        # What they had elsewhere, for callers without a loop of their own, is still there.
        async_to_sync(layer.close_pools)()


@pytest.mark.parametrize("backend", BOTH)
async def test_a_handler_goes_on_before_redis_has_answered(
    make: Make, server: Server, backend: Any
) -> None:
    notes: list[str] = []

    async def act(sender: Sender) -> None:
        await sender.say(1, 2, 3)
        notes.append("sent")

    async with stage(make, backend) as here:
        server.pause()
        await here.let(act)
        gone_on = notes == ["sent"]
        server.resume()

        assert [await here.heard() for _ in range(3)] == [1, 2, 3]
        assert gone_on == IS_POSSIBLE


@pytest.mark.parametrize("backend", BOTH)
async def test_outside_a_handler_and_in_a_task_of_its_own_it_waits(
    make: Make, server: Server, backend: Any
) -> None:
    message = {"type": "line", "n": 1}
    sent: list[asyncio.Task[None]] = []

    async def act(sender: Sender) -> None:
        sent.append(asyncio.create_task(sender.say(2)))

    async with stage(make, backend) as here:
        server.pause()
        sent.append(asyncio.create_task(here.layer.group_send("room", message)))
        await here.let(act)
        done, _ = await asyncio.wait(sent, timeout=0.2)
        assert not done
        server.resume()

        assert [await here.heard() for _ in range(2)] == [1, 2]
        await asyncio.gather(*sent)


@pytest.mark.parametrize("backend", BOTH)
async def test_over_several_servers_it_waits_so_that_nothing_overtakes(
    make: Make, backend: Any, engine_of: Callable[[str], Engine]
) -> None:
    engine = engine_of("two shards")
    notes: list[str] = []

    async def act(sender: Sender) -> None:
        await sender.say(1)
        notes.append("sent")

    async with stage(make, backend, hosts=engine.hosts) as here:
        for each in engine.servers:
            each.pause()
        await here.let(act)
        assert notes == []
        for each in engine.servers:
            each.resume()

        assert await here.heard() == 1


@pytest.mark.parametrize("backend", BOTH)
async def test_of_what_is_not_answered_so_many_are_posted_and_the_next_waits(
    make: Make, server: Server, backend: Any
) -> None:
    notes: list[int] = []
    numbers = range(MOST_POSTED + 10)

    async def act(sender: Sender) -> None:
        for number in numbers:
            await sender.say(number)
            notes.append(number)

    async with stage(make, backend) as here:
        server.pause()
        await here.let(act)
        # Others of the process have some calls, too.
        assert (MOST_POSTED - 5 < len(notes) <= MOST_POSTED) == IS_POSSIBLE
        server.resume()

        assert [await here.heard() for _ in numbers] == list(numbers)


async def test_what_breaks_off_before_its_answer_is_logged_and_counted(
    make: Make,
    server: Server,
    told: list[telemetry.Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[Exception] = []

    async def act(sender: Sender) -> None:
        for number in (1, 2):
            try:
                await sender.say(number)
            except RedisUnavailableError as error:
                raised.append(error)

    async with stage(make, RedisPubSubChannelLayer) as here:
        server.pause()
        await here.let(act)
        here.layer._get_layer()._links[0].break_off(ConnectionError("cut"))
        for _ in range(20):
            await asyncio.sleep(0)
        server.resume()

        async with asyncio.timeout(10 * SLOW):
            while told.count(FAILED) + len(raised) < 1 + IS_POSSIBLE:  # noqa: ASYNC110 - the layer does it
                await asyncio.sleep(0.01)
        assert told.count(FAILED) == (2 if IS_POSSIBLE else 0)
        said = "A message to group room may not have been sent: Redis shard 0 broke off before"
        assert (said in caplog.text) == IS_POSSIBLE


async def test_core_sends_it_again_on_the_next_connection(
    make: Make, server: Server, told: list[telemetry.Event]
) -> None:
    async with stage(make, RedisChannelLayer) as here:
        server.pause()
        await here.let(lambda sender: sender.say(1, 2))
        here.layer._homes.at_home().nodes[0].link.break_off(ConnectionError("cut"))
        server.resume()

        assert [await here.heard() for _ in range(2)] == [1, 2]
        assert FAILED not in told


async def test_what_redis_refuses_is_counted_once_and_then_raised(
    make: Make, server: Server, told: list[telemetry.Event]
) -> None:
    raised: list[Exception] = []

    async def act(sender: Sender) -> None:
        try:
            await sender.say(1)
        except Exception as error:
            raised.append(error)

    async with stage(make, RedisPubSubChannelLayer) as here:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-publish")
            try:
                for _ in range(2):
                    await here.let(act)
                    await asyncio.sleep(0.1 * SLOW)
            finally:
                client.execute_command("ACL", "SETUSER", "default", "+publish")

    assert told.count(FAILED) == (1 if IS_POSSIBLE else 0)
    assert ["NOPERM" in str(error) for error in raised] == ([True] if IS_POSSIBLE else [True] * 2)


async def test_a_normal_channel_gets_what_went_to_its_group_before_what_goes_to_it_alone(
    make: Make,
) -> None:
    async def act(sender: Sender) -> None:
        await sender.say(1)
        await sender.channel_layer.send("jobs", {"type": "line", "n": 2})
        await sender.say(3)
        await sender.channel_layer.send("jobs", {"type": "line", "n": 4})

    async with stage(make, RedisChannelLayer) as here:
        await here.layer.group_add("room", "jobs")
        await here.let(act)

        async with asyncio.timeout(10 * SLOW):
            got = [(await here.other.receive("jobs"))["n"] for _ in range(4)]
    assert got == [1, 2, 3, 4]


@pytest.mark.parametrize("backend", BOTH)
async def test_whoever_joins_or_leaves_does_so_behind_what_he_has_sent(
    make: Make, server: Server, backend: Any
) -> None:
    async def enter(sender: Sender) -> None:
        await sender.say(1)
        await sender.channel_layer.group_add("room", sender.channel_name)

    async def leave(sender: Sender) -> None:
        await sender.say(2)
        await sender.channel_layer.group_discard("room", sender.channel_name)

    async with stage(make, backend) as here:
        for act, is_member in ((enter, False), (leave, True)):
            server.pause()
            await here.let(act)
            assert ("room" in here.layer.groups) == is_member
            server.resume()
            async with asyncio.timeout(10 * SLOW):
                while ("room" in here.layer.groups) == is_member:  # noqa: ASYNC110 - it does it
                    await asyncio.sleep(0.01)

        assert [await here.heard() for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("backend", BOTH)
async def test_whoever_closes_the_layer_waits_for_what_was_posted(
    make: Make, server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, backend) as here:
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", 200, "WRITE")
        for number in (1, 2):
            await here.layer.group_send("room", {"type": "line", "n": number})
        await here.layer.close_pools()

        assert [await here.heard() for _ in range(2)] == [1, 2]


async def test_what_a_server_refuses_for_now_comes_in_order(make: Make, server: Server) -> None:
    async with stage(make, RedisChannelLayer) as here:
        with server.client() as client:
            # As after a restart: each call is refused until the scripts are there again.
            client.script_flush()
        await here.let(lambda sender: sender.say(1, 2, 3, 4))

        assert [await here.heard() for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("backend", BOTH)
async def test_whoever_leaves_many_groups_waits_once_for_a_server_that_stands_still(
    make: Make, server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, backend) as here:
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        monkeypatch.setattr("channels_redis._link.LAST_CHANCE", 0.1)
        server.pause()
        await here.layer.group_send("room", {"type": "line", "n": 1})
        began = time.monotonic()
        for number in range(100):
            await here.layer.group_discard(f"room{number}", await here.layer.new_channel())

        assert time.monotonic() - began < 2 * SLOW
        server.resume()
        assert await here.heard() == 1


@pytest.mark.parametrize("way", ["the loop ends", "the layer is closed"])
def test_normal_channels_get_what_was_posted_right_before_the_end(
    make_sync: Make, server: Server, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, other = make_sync(), make_sync()

    async def post() -> None:
        await layer.group_add("mixed", "jobs")
        await layer.group_add("mixed", "tasks")
        layer._homes.settle()
        await layer.group_send("mixed", {"type": "line", "n": 0})
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        await layer.group_send("mixed", {"type": "line", "n": 1})
        if way == "the layer is closed":
            await layer.close_pools()

    async def hear(channel: str) -> list[int]:
        async with asyncio.timeout(10 * SLOW):
            return [(await other.receive(channel))["n"] for _ in range(2)]

    asyncio.run(post())
    assert [asyncio.run(hear(channel)) for channel in ("jobs", "tasks")] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("backend", BOTH)
async def test_a_layer_whose_closing_was_cancelled_hears_again(
    make: Make, server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, backend) as here:
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        server.pause()
        await here.layer.group_send("room", {"type": "line", "n": 1})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await here.layer.close_pools()
        server.resume()

        ear = await here.layer.new_channel()
        await here.layer.group_add("room", ear)
        await here.other.group_send("room", {"type": "line", "n": 2})
        async with asyncio.timeout(10 * SLOW):
            assert (await here.layer.receive(ear))["n"] == 2


async def test_whoever_leaves_many_groups_waits_once_for_what_goes_to_normal_channels(
    make: Make, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, RedisChannelLayer) as here:
        await here.layer.group_add("room", "jobs")
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        monkeypatch.setattr("channels_redis._link.LAST_CHANCE", 0.1)
        await here.layer.group_send("room", {"type": "line", "n": 1})
        async with asyncio.timeout(10 * SLOW):
            while not here.layer._homes.at_home().rests:  # noqa: ASYNC110 - the layer does it
                await asyncio.sleep(0)
        server.pause()
        began = time.monotonic()
        for number in range(100):
            await here.layer.group_discard(f"room{number}", await here.layer.new_channel())

        assert time.monotonic() - began < 2 * SLOW
        server.resume()
        async with asyncio.timeout(10 * SLOW):
            assert (await here.other.receive("jobs"))["n"] == 1


@pytest.mark.parametrize("backend", BOTH)
async def test_a_new_connection_is_waited_for_although_the_old_one_was_in_vain(
    make: Make, server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, backend) as here:
        connections = here.layer._homes.at_home()
        link = connections.nodes[0].link if backend is RedisChannelLayer else connections._links[0]
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        monkeypatch.setattr("channels_redis._link.LAST_CHANCE", 0.1)
        server.pause()
        await here.layer.group_send("room", {"type": "line", "n": 1})
        await connections.settle()
        link.break_off(ConnectionError("cut"))
        server.resume()
        async with asyncio.timeout(10 * SLOW):
            while not link.is_connected:  # noqa: ASYNC110 - it connects by itself
                await asyncio.sleep(0)
        monkeypatch.setattr("channels_redis._link.LAST_CHANCE", 10 * SLOW)
        await here.layer.group_send("room", {"type": "line", "n": 2})
        await connections.settle()

        assert link._last_posted is not None
        assert link._last_posted.done()


@pytest.mark.parametrize("backend", BOTH)
async def test_closing_that_is_cancelled_at_its_begin_leaves_no_connection(
    make: Make, server: Server, backend: Any
) -> None:
    async with stage(make, backend) as here:
        before = server.connections()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await here.layer.close_pools()

        async with asyncio.timeout(10 * SLOW):
            while server.connections() > before - 2:  # noqa: ASYNC110 - they close by themselves
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("backend", BOTH)
async def test_two_may_close_a_layer_at_once(
    make: Make, server: Server, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(make, backend) as here:
        monkeypatch.setattr("channels_redis._layer.is_stepping", lambda: True)
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", 200, "WRITE")
        await here.layer.group_send("room", {"type": "line", "n": 1})
        await asyncio.gather(here.layer.close_pools(), here.layer.close_pools())

        assert await here.heard() == 1

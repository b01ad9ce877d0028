"""What the Redis layers do with bytes that are not theirs, with bounds, threads and forks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync

from channels import telemetry
from channels.background import run_blocking
from channels.exceptions import ChannelFull, LayerUnavailableError
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels_redis import _envelope
from channels_redis._envelope import Kind
from channels_redis.core import RedisChannelLayer
from channels_redis.exceptions import RedisUnavailableError
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers.engines import Engine, Server, free_port, wait_for
from tests.slow import SLOW

BOTH = [RedisChannelLayer, RedisPubSubChannelLayer]
Make = Callable[..., Any]


class Audience(AsyncWebsocketConsumer):
    """Listens."""

    groups = ["room"]  # noqa: RUF012 - as every consumer has them


def tick(n: Any) -> dict[str, Any]:
    return {"type": "tick", "n": n}


async def receive(layer: Any, channel: str) -> Any:
    async with asyncio.timeout(10 * SLOW):
        return (await layer.receive(channel))["n"]


# Poison


POISON = {
    "nothing": (b"", "envelope"),
    "foreign bytes": (b"\x01\x01\xff\x00garbage", "envelope"),
    "a newer version": (b"\x02" + _envelope.pack(Kind.GROUP, "g", b"")[1:], "version"),
    "a truncated payload": (_envelope.pack(Kind.CHANNEL, "c", b"\0" * 12 + b"\x82\xa4"), "payload"),
}


@pytest.mark.parametrize("kind", POISON)
async def test_poison_in_an_inbox_is_logged_counted_and_skipped(
    make: Make,
    server: Server,
    kind: str,
    told: list[telemetry.Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer, (poison, reason) = make(), POISON[kind]
    channel = await layer.new_channel()
    await layer.send(channel, tick(1))
    assert await receive(layer, channel) == 1

    with server.client() as client:
        client.xadd(f"asgi:{{0}}:inbox:{layer.client_prefix}", {"s": "me:1", "e": poison})
    await layer.send(channel, tick(2))

    assert await receive(layer, channel) == 2
    assert telemetry.MessageRejected("0", reason) in told
    assert f"Skipped what came from Redis shard 0: {reason}" in caplog.text


async def test_an_entry_of_the_inbox_that_is_not_ours_at_all_is_skipped(
    make: Make, server: Server, told: list[telemetry.Event]
) -> None:
    layer = make()
    channel = await layer.new_channel()

    with server.client() as client:
        client.xadd(f"asgi:{{0}}:inbox:{layer.client_prefix}", {"what": "ever"})
    await layer.send(channel, tick(1))

    assert await receive(layer, channel) == 1
    assert telemetry.MessageRejected("0", "version") in told


@pytest.mark.parametrize("backend", BOTH)
async def test_a_message_with_a_wrong_key_is_skipped_and_the_reader_lives(
    make: Make, backend: Any, told: list[telemetry.Event]
) -> None:
    ours, theirs = [make(backend, symmetric_encryption_keys=[key]) for key in ("right", "wrong")]
    channel = await ours.new_channel()
    await ours.group_add("room", channel)

    await theirs.group_send("room", tick("unreadable"))
    await ours.group_send("room", tick("readable"))

    assert await receive(ours, channel) == "readable"
    assert telemetry.MessageRejected("0", "payload") in told


async def test_a_message_whose_token_has_expired_is_skipped(
    make: Make, told: list[telemetry.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make(symmetric_encryption_keys=["key"], expiry=5)
    channel = await layer.new_channel()
    now = time.time()
    # Fernet reads this clock when it makes a token.
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: now - 16)
    await layer.send(channel, tick("old"))
    monkeypatch.undo()

    await layer.send(channel, tick("new"))

    assert await receive(layer, channel) == "new"
    assert telemetry.MessageRejected("0", "payload") in told


async def test_poison_in_a_normal_channel_is_skipped(
    make: Make, server: Server, told: list[telemetry.Event]
) -> None:
    layer = make()
    with server.client() as client:
        client.rpush("asgi:{0}:queue:jobs", b"short")
    await layer.send("jobs", tick(1))

    assert await receive(layer, "jobs") == 1
    assert telemetry.MessageRejected("0", "envelope") in told


async def test_who_waited_for_a_normal_channel_and_has_gone_is_forgotten(
    make: Make, server: Server
) -> None:
    layer = make(expiry=60)
    with server.client() as client:
        client.zadd("asgi:{0}:waiters:jobs", {"gone": (time.time() - 61) * 1000})
        client.zadd("asgi:{0}:waiters:jobs", {"there": (time.time() - 30) * 1000})

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2 * SLOW):
                await layer.receive("jobs")

        assert client.zcard("asgi:{0}:waiters:jobs") == 2
        assert client.zscore("asgi:{0}:waiters:jobs", "gone") is None


async def test_a_key_of_the_wrong_kind_stops_nobody(make: Make, server: Server) -> None:
    layer = make()
    with server.client() as client:
        client.set("asgi:{0}:group:room", "a string")
    channel = await layer.new_channel()

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        await layer.group_send("room", tick(1))
    await layer.send(channel, tick(2))

    assert await receive(layer, channel) == 2


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize(
    ("message", "reason"),
    [(["no dict"], "payload"), ({"type": "websocket.send", "text": 5}, "handling")],
)
async def test_what_cannot_be_delivered_is_skipped_and_the_reader_lives(
    make: Make, backend: Any, message: Any, reason: str, told: list[telemetry.Event]
) -> None:
    layer, careless = make(backend), make(backend)
    careless._require_message = lambda message: None
    channel = await layer.new_channel()
    await layer.group_add("room", channel)

    await careless.group_send("room", message)
    await layer.group_send("room", tick(1))

    assert await receive(layer, channel) == 1
    assert telemetry.MessageRejected("0", reason) in told


@pytest.mark.parametrize("backend", BOTH)
async def test_what_fails_halfway_through_a_group_is_counted_for_the_rest(
    make: Make, backend: Any, told: list[telemetry.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.layers.fan_out.SLICE", 0)
    layer = make(backend)
    arrived: list[str] = []

    def take(number: int, frame: Any) -> None:
        if number == 50:
            raise LookupError("deliberate")
        arrived.append(frame["text"])

    for number in range(100):
        channel = await layer.new_channel()
        layer.attach(channel, lambda: None).express = partial(take, number)
        await layer.group_add("room", channel)
    for _ in range(2):
        await make(backend).group_send("room", {"type": "websocket.send", "text": "to all"})

    failed = telemetry.MessageDropped("room", "failed", 50)
    async with asyncio.timeout(10 * SLOW):
        while told.count(failed) < 2:  # noqa: ASYNC110 - telemetry has no event
            await asyncio.sleep(0.01)
    assert len(arrived) == 2 * 50


@pytest.mark.parametrize("backend", BOTH)
async def test_a_broadcast_without_a_payload_is_refused_where_it_is_sent(
    make: Make, backend: Any
) -> None:
    with pytest.raises(ValueError, match="either 'text' or 'bytes', got neither"):
        await make(backend).group_send("room", {"type": "websocket.send"})


@pytest.mark.parametrize("backend", BOTH)
async def test_a_broadcast_reaches_clients_without_a_handler(make: Make, backend: Any) -> None:
    previous = channel_layers.set("default", make(backend))
    client = WebsocketCommunicator(Audience.as_asgi(), "/")
    await client.connect()

    await make(backend).group_send("room", {"type": "websocket.send", "text": "to all"})

    assert await client.receive_from(timeout=10 * SLOW) == "to all"
    await client.disconnect()
    channel_layers.set("default", previous)


# Redis is down


@pytest.mark.parametrize("backend", BOTH)
async def test_without_redis_sending_fails_in_time_with_an_error_of_both_kinds(
    make: Make, backend: Any
) -> None:
    layer = make(backend, hosts=[("127.0.0.1", free_port())], timeout=0.5)

    with pytest.raises(
        RedisUnavailableError, match="Redis shard 0 cannot be reached, for "
    ) as raised:
        await layer.group_send("room", tick(1))

    assert isinstance(raised.value, LayerUnavailableError)
    assert isinstance(raised.value, redis.ConnectionError)
    assert raised.value.close_code == 1013


async def test_a_join_that_fails_leaves_the_channel_out_of_the_group(make: Make) -> None:
    layer = make(hosts=[("127.0.0.1", free_port())], timeout=0.2)

    with pytest.raises(RedisUnavailableError):
        await layer.group_add("room", await layer.new_channel())

    assert layer.groups == {}


# Bounds


async def test_a_dead_process_holds_no_more_than_its_bound(
    make: Make, server: Server, told: list[telemetry.Event]
) -> None:
    dead, alive = make(inbox_capacity=10), make(inbox_capacity=10)
    channel = await dead.new_channel()
    await dead.group_add("room", channel)

    for n in range(12):
        await alive.group_send("room", tick(n))
    with pytest.raises(ChannelFull):
        await alive.send(channel, tick("too many"))

    with server.client() as client:
        assert client.xlen(f"asgi:{{0}}:inbox:{dead.client_prefix}") == 10
    assert told.count(telemetry.MessageDropped("room", "full", 1)) == 2


async def test_a_process_that_stays_away_for_longer_than_expiry_is_forgotten(
    make: Make, server: Server
) -> None:
    dead, alive = make(expiry=1), make(expiry=1)
    await dead.group_add("room", await dead.new_channel())
    await alive.group_send("room", tick(1))

    await asyncio.sleep(1.2)
    await alive.group_send("room", tick(2))

    with server.client() as client:
        assert client.keys("asgi:*") == []


async def test_a_slow_consumer_holds_no_more_than_its_capacity_and_harms_nobody(
    make: Make, told: list[telemetry.Event]
) -> None:
    layer = make(capacity=5)
    slow, quick = await layer.new_channel(), await layer.new_channel()
    for channel in (slow, quick):
        await layer.group_add("room", channel)

    for n in range(8):
        await layer.group_send("room", tick(n))
        assert await receive(layer, quick) == n

    assert [await receive(layer, slow) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert told.count(telemetry.MessageDropped(slow, "full")) == 3


# Other processes' channels


async def test_a_channel_of_another_process_joins_and_leaves_in_order_with_messages(
    make: Make,
) -> None:
    owner, other = make(), make()
    channel = await owner.new_channel()

    await other.group_add("room", channel)
    await other.group_send("room", tick(1))
    await other.group_discard("room", channel)
    await other.group_send("room", tick(2))
    await other.send(channel, tick(3))

    assert [await receive(owner, channel) for _ in range(2)] == [1, 3]


async def test_workers_share_a_normal_channel_without_doubles(make: Make) -> None:
    workers, sender = [make() for _ in range(3)], make(capacity=1000)
    seen: list[int] = []

    async def work(layer: Any) -> None:
        while True:
            seen.append((await layer.receive("jobs"))["n"])

    tasks = [asyncio.create_task(work(worker)) for worker in workers]
    for n in range(300):
        await sender.send("jobs", tick(n))
    async with asyncio.timeout(10 * SLOW):
        while len(seen) < 300:  # noqa: ASYNC110 - three tasks fill it
            await asyncio.sleep(0.01)

    assert sorted(seen) == list(range(300))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# Sync code, threads and forks


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize(
    "call",
    [lambda send, *sent: async_to_sync(send)(*sent), lambda *sent: run_blocking(partial(*sent))],
    ids=["async_to_sync", "background"],
)
def test_sync_code_leaves_one_connection_for_all_its_calls(
    engine: Engine, server: Server, backend: Any, call: Any
) -> None:
    layer = backend(engine.hosts)
    before = server.connections()

    for _ in range(50):
        call(layer.group_send, "room", tick(1))

    assert layer._layers == {}
    assert server.connections() - before == 1
    async_to_sync(layer.close_pools)()
    # The server hears of it when it next looks.
    wait_for(lambda: server.connections() == before, "the end of the connection")


def test_a_forked_process_is_a_process_of_its_own(engine: Engine, server: Server) -> None:
    layer = RedisChannelLayer(engine.hosts)
    before = server.connections()
    async_to_sync(layer.group_send)("room", tick(1))
    name = layer.client_prefix

    child = os.fork()
    if child == 0:
        code = 1
        try:
            async_to_sync(layer.send)("jobs", tick("from the child"))
            code = 0 if layer.client_prefix != name else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    async def read() -> Any:
        return (await layer.receive("jobs"))["n"]

    assert async_to_sync(read)() == "from the child"
    assert layer.client_prefix == name
    async_to_sync(layer.close_pools)()
    wait_for(lambda: server.connections() == before, "the end of the connections")


def test_sync_code_sends_although_the_consumers_loop_stands_still(engine: Engine) -> None:
    layer = RedisChannelLayer(engine.hosts)
    loop = asyncio.new_event_loop()

    async def join() -> str:
        channel: str = await layer.new_channel()
        layer.attach(channel, lambda: None)
        await layer.group_add("room", channel)
        return channel

    channel = loop.run_until_complete(join())
    async_to_sync(layer.group_send)("room", tick(1))

    async def arrival() -> Any:
        async with asyncio.timeout(10 * SLOW):
            while (message := layer.channels[channel].take()) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return message["n"]

    assert loop.run_until_complete(arrival()) == 1
    loop.run_until_complete(layer.close_pools())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def test_a_group_that_is_joined_right_after_a_flush_is_known_to_redis(make: Make) -> None:
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("room", channel)

    await layer.flush()
    await layer.group_add("room", channel)
    await layer.group_send("room", tick(1))

    assert await receive(layer, channel) == 1


async def test_closed_connections_are_made_again_for_consumers_that_are_still_there(
    make: Make,
) -> None:
    layer = make()
    channel = await layer.new_channel()
    inbox = layer.attach(channel, lambda: None)

    await layer.close_pools()
    await layer.group_add("room", channel)
    await layer.group_send("room", tick(1))

    async with asyncio.timeout(10 * SLOW):
        while (message := inbox.take()) is None:  # noqa: ASYNC110 - an inbox has no event
            await asyncio.sleep(0.01)
    assert message["n"] == 1
    layer.detach(channel)


@pytest.mark.parametrize("backend", BOTH)
async def test_leaving_what_was_closed_is_no_error_where_other_threads_send(
    make: Make, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make(backend)
    channel = await layer.new_channel()
    inbox = layer.attach(channel, lambda: None)
    await layer.group_add("room", channel)
    await layer.close_pools()

    await asyncio.to_thread(async_to_sync(layer.group_send), "room", tick(1))
    await layer.group_discard("room", channel)
    await asyncio.to_thread(async_to_sync(layer.group_send), "room", tick(2))

    assert inbox.qsize() == 0
    assert "Exception in callback" not in caplog.text
    layer.detach(channel)


async def test_a_message_that_goes_out_while_the_layer_is_closed_comes_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.layers.fan_out.SLICE", 0)
    layer, other = make(), make()
    layer._listen()
    channels = [await layer.new_channel() for _ in range(100)]
    for channel in channels:
        await layer.group_add("room", channel)

    sending = asyncio.create_task(other.group_send("room", tick(1)))
    async with asyncio.timeout(10 * SLOW):
        while channels[0] not in layer.channels:  # noqa: ASYNC110 - a hub has no event
            await asyncio.sleep(0)
    assert channels[-1] not in layer.channels
    await layer.close_pools()
    layer._listen()
    await sending
    await other.group_send("room", tick(2))

    assert [[await receive(layer, each) for _ in range(2)] for each in channels] == [[1, 2]] * 100


async def test_a_send_that_fails_takes_no_room(make: Make) -> None:
    layer = make(hosts=[("127.0.0.1", free_port())], timeout=0.1, capacity=1)
    channel = await layer.new_channel()

    for _ in range(2):
        with pytest.raises(RedisUnavailableError):
            await layer.send(channel, tick(1))


# Notices


async def test_pubsub_tells_every_channel_of_a_cut_and_of_the_return(
    make: Make, server: Server
) -> None:
    layer = make(RedisPubSubChannelLayer, on_disconnect="redis.gone", on_reconnect="redis.back")
    channel = await layer.new_channel()
    inbox = layer.attach(channel, lambda: None)
    await layer.group_add("room", channel)

    server.kill_clients()
    seen: list[str] = []
    async with asyncio.timeout(10 * SLOW):
        while len(seen) < 2:
            if message := inbox.take():
                seen.append(message["type"])
            await asyncio.sleep(0.01)
    await layer.group_send("room", tick(1))
    async with asyncio.timeout(10 * SLOW):
        while (message := inbox.take()) is None:  # noqa: ASYNC110 - an inbox has no event
            await asyncio.sleep(0.01)

    assert seen == ["redis.gone", "redis.back"]
    assert message["n"] == 1
    layer.detach(channel)


async def test_health_tells_whether_each_connection_is_there(make: Make, server: Server) -> None:
    layer = make()
    channel = await layer.new_channel()
    layer.attach(channel, lambda: None)
    await layer.group_add("room", channel)

    async with asyncio.timeout(10 * SLOW):
        while not all(state.is_connected for state in layer.health()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert {(state.shard, state.role) for state in layer.health()} == {
        ("0", "calls"),
        ("0", "reading"),
    }
    assert all(str(server.port) in str(state.address) for state in layer.health())
    assert all(state.away_for == 0 for state in layer.health())
    layer.detach(channel)


async def test_the_key_of_a_group_is_that_of_its_processes(make: Make, server: Server) -> None:
    here, there = make(), make()
    for layer in (here, here, there):
        await layer.group_add("room", await layer.new_channel())

    with server.client() as client:
        processes = client.zcard(here._group_key("room"))

    assert processes == 2

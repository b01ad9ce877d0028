"""What topics over Redis do when servers, connections and processes fail, and what they leave."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from channels import telemetry
from channels.exceptions import LayerUnavailableError
from channels.history.broker import Retention
from channels.history.position import Position, Publication
from channels.testing.contract.topics import Recorder
from channels_redis import _history, _presence
from channels_redis._keys import slot
from channels_redis.core import RedisChannelLayer
from channels_redis.exceptions import RedisUnavailableError
from channels_redis.pubsub import RedisPubSubChannelLayer
from tests.servers import engines
from tests.servers.engines import ClusterEngine, Engine, SentinelEngine, Server, free_port, wait_for
from tests.slow import SLOW

KEPT = Retention(entries=1000, max_bytes=1_000_000, ttl=60.0)
Open = Callable[..., Any]


@pytest.fixture
async def open_broker(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Return a function that gives a broker of a layer of its own."""
    layers: list[Any] = []

    def open_broker(listener: Any = None, *, hosts: Any = None, **options: Any) -> Any:
        if hosts is None:
            hosts = request.getfixturevalue("engine").hosts
        layers.append(RedisChannelLayer(hosts, **options))
        return layers[-1].topic_broker(listener or Recorder())

    yield open_broker
    for layer in layers:
        await layer.close_pools()


async def publish(broker: Any, body: bytes, topic: str = "topic", **options: Any) -> Position:
    options = {"retention": KEPT, "publication_id": uuid.uuid4().hex} | options
    position: Position = await broker.publish(topic, body, **options)
    return position


async def bodies(broker: Any, topic: str = "topic", after: int = 0) -> list[bytes]:
    return [each.body for each in (await broker.read(topic, after)).publications]


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(20 * SLOW):
        while not is_so():  # noqa: ASYNC110 - only the listener knows
            await asyncio.sleep(0.005)


def keys(server: Server) -> set[bytes]:
    with server.client() as client:
        return set(client.scan_iter())


# Epochs


async def test_a_server_that_comes_back_with_its_data_goes_on_in_a_new_epoch(
    open_broker: Open, tmp_path: Path
) -> None:
    engine = engines.single(tmp_path / "0", keeps_data=True)
    try:
        broker, other = (open_broker(hosts=engine.hosts) for _ in range(2))
        old = await publish(broker, b"1")
        await other.positions(["topic"])
        engine.servers[0].kill()
        # Begun before the server is back: it must not carry what was known of the old one.
        during = asyncio.create_task(publish(broker, b"2"))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(engine.servers[0].start)
        (stands,) = await other.positions(["topic"])
        new = await during

        assert old.epoch not in (new.epoch, stands.epoch)
        assert new == (stands.epoch, 2)
        assert await other.read("topic", 0) == (
            new,
            [Publication(1, b"1"), Publication(2, b"2")],
        )
    finally:
        engine.stop()


async def test_a_server_that_has_lost_its_data_begins_a_new_epoch(
    open_broker: Open, tmp_path: Path
) -> None:
    engine = engines.single(tmp_path / "0")
    try:
        broker = open_broker(hosts=engine.hosts)
        old = await publish(broker, b"1")
        engine.servers[0].kill()
        await asyncio.to_thread(engine.servers[0].start)

        excerpt = await broker.read("topic", 0)

        assert (excerpt.position.offset, excerpt.publications) == (0, [])
        assert excerpt.position.epoch != old.epoch
        assert await publish(broker, b"2") == (excerpt.position.epoch, 1)
    finally:
        engine.stop()


async def test_a_promoted_replica_goes_on_in_a_new_epoch(open_broker: Open, tmp_path: Path) -> None:
    engine = SentinelEngine(tmp_path / "0")
    try:
        heard = Recorder()
        broker = open_broker(heard, hosts=engine.hosts)
        await broker.listen("topic")
        old = await publish(broker, b"1")
        with engine.master().client() as client:
            # WAIT is for what this connection has written.
            client.set("marker", 1)
            assert client.wait(1, 5000) == 1

        await asyncio.to_thread(engine.fail_over)
        new = await publish(broker, b"2")

        assert new.epoch != old.epoch
        assert new.offset == 2
        assert await bodies(broker) == [b"1", b"2"]
        await until(lambda: heard.interruptions)
        await publish(broker, b"3")
        await until(lambda: b"3" in heard.bodies("topic"))
    finally:
        engine.stop()


async def test_a_slot_that_moves_takes_its_topics_along(
    open_broker: Open, engine_of: Callable[[str], Engine]
) -> None:
    engine = engine_of("cluster")
    assert isinstance(engine, ClusterEngine)
    heard, prefix = Recorder(), f"asgi-{uuid.uuid4().hex[:8]}"
    broker = open_broker(heard, hosts=engine.hosts, prefix=prefix)
    await broker.listen("topic")
    await publish(broker, b"1")
    await broker.enter("topic", "1", "ann", shown="{}")

    await asyncio.to_thread(engine.migrate, slot(broker._shards.of("topic").keys.tag))
    await publish(broker, b"2")

    assert await bodies(broker) == [b"1", b"2"]
    assert (await broker.present("topic")).members == {"ann": "{}"}
    await until(lambda: heard.interruptions)
    await publish(broker, b"3")
    await until(lambda: b"3" in heard.bodies("topic"))


async def test_a_stream_that_the_server_evicted_is_no_hole(
    open_broker: Open, server: Server
) -> None:
    broker = open_broker()
    await publish(broker, b"1")
    with server.client() as client:
        client.delete("asgi:{0}:history:topic")

    assert await broker.read("topic", 0) == ((await broker.positions(["topic"]))[0], [])
    position = await publish(broker, b"2", retention=KEPT._replace(max_bytes=1))
    assert await broker.read("topic", 0) == (position, [Publication(2, b"2")])


async def test_a_position_that_the_server_evicted_begins_a_new_epoch(
    open_broker: Open, server: Server
) -> None:
    broker = open_broker()
    old = [await publish(broker, b"%d" % n) for n in range(3)][-1]
    with server.client() as client:
        client.delete("asgi:{0}:position:topic")

    new = await publish(broker, b"new")

    assert (new.offset, new.epoch != old.epoch) == (1, True)
    assert await bodies(broker) == [b"new"]


# Connections


async def test_a_publication_whose_answer_got_lost_is_published_once(
    open_broker: Open, server: Server
) -> None:
    heard = Recorder()
    broker, listening = open_broker(), open_broker(heard)
    await listening.listen("topic")
    await publish(broker, b"first")
    for n in range(20):
        publishing = asyncio.create_task(publish(broker, b"%d" % n))
        await asyncio.sleep(0.001 * (n % 3))
        broker._shards.of("topic").link.break_off(ConnectionError("test"))
        await publishing

    expected = [b"first", *[b"%d" % n for n in range(20)]]
    assert await bodies(broker) == expected
    await until(lambda: len(heard.arrivals) >= len(expected))
    assert heard.bodies("topic") == expected


async def test_connections_that_are_cut_lose_and_double_nothing(
    open_broker: Open, server: Server
) -> None:
    brokers = [open_broker() for _ in range(3)]
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.05):
            server.kill_clients()

    cutting = asyncio.create_task(asyncio.to_thread(cut))
    sent = [b"%d.%d" % (n, each) for n in range(100) for each in range(len(brokers))]
    try:
        positions: dict[bytes, Position] = {}
        for start in range(0, len(sent), 30):
            some = sent[start : start + 30]
            answers = await asyncio.gather(
                *[publish(brokers[n % len(brokers)], body) for n, body in enumerate(some)]
            )
            positions.update(zip(some, answers, strict=True))
    finally:
        stop.set()
        await cutting

    kept = (await brokers[0].read("topic", 0)).publications
    assert sorted(each.body for each in kept) == sorted(sent)
    assert {each.body: each.offset for each in kept} == {
        body: position.offset for body, position in positions.items()
    }


async def test_whoever_was_cut_off_is_told_so_and_reads_what_is_missing(
    open_broker: Open, server: Server
) -> None:
    heard = Recorder()
    listening, publisher = open_broker(heard), open_broker()
    await listening.listen("topic")
    await publish(publisher, b"0")
    await until(lambda: heard.arrivals)

    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    sent = [b"%d" % n for n in range(1, 50)]
    for body in sent:
        await publish(publisher, body)
    await until(lambda: heard.interruptions)

    # What was heard since comes after what is read; nothing between the two is missing.
    read = await bodies(listening, after=heard.arrivals[0].publication.offset)
    assert read == sent
    assert heard.interruptions == 1
    await publish(publisher, b"last")
    await until(lambda: heard.bodies("topic")[-1] == b"last")


async def test_who_only_publishes_does_not_listen_and_a_closed_broker_has_no_connection(
    open_broker: Open, server: Server
) -> None:
    before = server.connections()
    broker = open_broker()
    assert server.connections() == before
    await publish(broker, b"1")
    await broker.enter("topic", "1", "ann", shown="{}")
    assert server.connections() == before + 1
    assert [state.role for state in broker.health()] == ["calls"]

    await broker.listen("topic")
    assert server.connections() == before + 2

    await broker.close()
    await broker.close()
    await until(lambda: server.connections() == before)
    with pytest.raises(LayerUnavailableError):
        await publish(broker, b"2")
    with pytest.raises(LayerUnavailableError):
        await broker.listen("topic")


@pytest.mark.parametrize("backend", [RedisChannelLayer, RedisPubSubChannelLayer])
def test_brokers_end_with_their_event_loop(engine: Engine, server: Server, backend: Any) -> None:
    layer = backend(engine.hosts)
    before = server.connections()

    async def use() -> None:
        broker = layer.topic_broker(Recorder())
        await broker.listen("topic")
        await publish(broker, b"1")
        assert len(layer.health()) == 2

    for _ in range(3):
        asyncio.run(use())

    assert layer.health() == []
    # The server hears of it when it next looks.
    wait_for(lambda: server.connections() == before, "the end of the connections")


def test_a_child_process_has_brokers_of_its_own(engine: Engine, server: Server) -> None:
    layer = RedisChannelLayer(engine.hosts)

    async def child(heard: Recorder) -> None:
        broker = layer.topic_broker(heard)
        await broker.listen("topic")
        await broker.enter("topic", "1", "child", shown="{}")
        await publish(broker, b"child")
        await until(lambda: b"child" in heard.bodies("topic"))

    async def parent() -> None:
        heard = Recorder()
        broker = layer.topic_broker(heard)
        await broker.listen("topic")
        await broker.enter("topic", "1", "parent", shown="{}")
        process = os.fork()
        if process == 0:
            code = 1
            try:
                thread = threading.Thread(target=lambda: asyncio.run(child(Recorder())))
                thread.start()
                thread.join()
                code = 0 if not layer._brokers else 2
            finally:
                os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, process, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        await publish(broker, b"parent")
        await until(lambda: b"parent" in heard.bodies("topic"))
        assert heard.bodies("topic") == [b"child", b"parent"]
        assert set((await broker.present("topic")).members) == {"parent", "child"}

    asyncio.run(parent())


async def test_a_server_that_is_away_is_said_to_be_so_in_time(open_broker: Open) -> None:
    broker = open_broker(hosts=[("127.0.0.1", free_port())], timeout=0.5)
    calls = {
        "publish": lambda: publish(broker, b"1"),
        "volatile": lambda: publish(broker, b"1", retention=None),
        "read": lambda: broker.read("topic", 0),
        "positions": lambda: broker.positions(["topic"]),
        "forget": lambda: broker.forget("topic"),
        "listen": lambda: broker.listen("topic"),
        "signal": lambda: broker.signal(b""),
        "enter": lambda: broker.enter("topic", "1", "ann", shown="{}"),
        "leave": lambda: broker.leave("topic", "1"),
        "renew": lambda: broker.renew(["topic"], 1.0),
        "present": lambda: broker.present("topic"),
    }

    async with asyncio.timeout(10 * SLOW):
        answers = await asyncio.gather(*[call() for call in calls.values()], return_exceptions=True)

    raised = {name: type(answer) for name, answer in zip(calls, answers, strict=True)}
    assert raised == dict.fromkeys(calls, RedisUnavailableError)


async def test_a_refusal_is_said_as_such(open_broker: Open, server: Server) -> None:
    broker = open_broker()
    await publish(broker, b"1")
    with server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(LayerUnavailableError, match="Redis refuses: OOM"):
                await publish(broker, b"2")
        finally:
            client.config_set("maxmemory", 0)
    assert (await publish(broker, b"3")).offset == 2


async def test_to_listen_no_more_while_listening_begins_is_no_error(open_broker: Open) -> None:
    heard = Recorder()
    broker = open_broker(heard)
    listening = asyncio.create_task(broker.listen("topic"))
    await asyncio.sleep(0)
    broker.unlisten("topic")
    await listening

    await publish(broker, b"1")
    await broker.listen("other")
    await publish(broker, b"2", "other")

    await until(lambda: heard.arrivals)
    assert heard.bodies("topic") == []


# Presence


async def test_members_that_the_server_has_lost_are_there_again_after_the_next_renewal(
    open_broker: Open, engine: Engine
) -> None:
    heard = Recorder()
    broker = open_broker(heard)
    await broker.listen("topic")
    for connection in ("1", "2"):
        await broker.enter("topic", connection, "ann", shown="{}")
    await broker.enter("topic", "3", "bob", shown="{}")
    await broker.leave("topic", "3")
    engine.flush()

    await broker.renew(["topic"], 60.0)

    present = await broker.present("topic")
    assert present.members == {"ann": "{}"}
    await broker.leave("topic", "1")
    await broker.leave("topic", "2")
    assert (await broker.present("topic")).members == {}
    await until(lambda: len(heard.changes) == 5)
    versions = [change.version for change in heard.changes_of("topic")]
    assert versions == sorted(set(versions))


async def test_a_process_that_was_taken_for_dead_is_there_again(open_broker: Open) -> None:
    paused, other = open_broker(), open_broker()
    await paused.enter("topic", "1", "ann", shown="{}")
    await paused.renew(["topic"], 0.1)
    await asyncio.sleep(0.2)
    await other.renew(["topic"], 60.0)
    assert (await other.present("topic")).members == {}

    await paused.renew(["topic"], 60.0)

    assert (await other.present("topic")).members == {"ann": "{}"}


async def test_a_connection_that_could_not_leave_leaves_at_the_next_renewal(
    open_broker: Open, server: Server
) -> None:
    broker, other = open_broker(timeout=0.3), open_broker()
    await broker.enter("topic", "1", "ann", shown="{}")
    await broker.enter("topic", "2", "bob", shown="{}")
    server.pause()
    try:
        with pytest.raises(LayerUnavailableError):
            await broker.leave("topic", "1")
        with pytest.raises(LayerUnavailableError):
            await broker.enter("topic", "3", "eve", shown="{}")
    finally:
        server.resume()

    async with asyncio.timeout(10 * SLOW):
        while True:
            try:
                await broker.renew(["topic"], 60.0)
                break
            except LayerUnavailableError:
                await asyncio.sleep(0.1)

    assert (await other.present("topic")).members == {"bob": "{}"}


async def test_a_topic_may_have_more_members_than_one_call_renews(open_broker: Open) -> None:
    broker, other = open_broker(), open_broker()
    topics = [f"topic.{n}" for n in range(250)]
    await asyncio.gather(*[broker.enter(topic, "1", "ann", shown="{}") for topic in topics])

    await broker.renew(topics, 0.2)
    await asyncio.sleep(0.4)
    await other.renew(topics, 60.0)

    present = await asyncio.gather(*[other.present(topic) for topic in topics])
    assert {len(each.members) for each in present} == {0}


# What is in Redis


async def test_nothing_is_left_when_everything_has_expired(
    open_broker: Open, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "KNOWN", 0.3)
    monkeypatch.setattr(_history, "IDLE", 0.3)
    monkeypatch.setattr(_presence, "LINGER", 0.3)
    broker = open_broker()
    await broker.renew(["topic"], 0.1)
    await publish(broker, b"1", retention=KEPT._replace(ttl=0.3))
    await broker.enter("topic", "1", "ann", shown="{}")
    await broker.read("read alone", 0)
    await broker.present("asked alone")
    assert len(keys(server)) == 9

    await asyncio.sleep(0.5)

    assert keys(server) == set()


async def test_nothing_is_left_of_a_topic_that_was_forgotten(
    open_broker: Open, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "KNOWN", 0.1)
    brokers = [open_broker(), open_broker()]
    for broker in brokers:
        await publish(broker, b"1")
        await broker.enter("topic", "1", "ann", shown="{}")
    await publish(brokers[0], b"1", "other")
    with server.client() as client:
        client.set("asgi:{0}:history:topicality", "theirs")

    await brokers[0].forget("topic")
    await asyncio.sleep(0.2)

    assert keys(server) == {
        b"asgi:{0}:history:other",
        b"asgi:{0}:position:other",
        b"asgi:{0}:history:topicality",
    }


async def test_nobody_in_a_topic_leaves_nothing_but_the_number_of_the_change(
    open_broker: Open, server: Server
) -> None:
    broker = open_broker()
    for connection in ("1", "2"):
        await broker.enter("topic", connection, connection, shown="{}")
    for connection in ("1", "2"):
        await broker.leave("topic", connection)

    assert keys(server) == {b"asgi:{0}:version:topic"}


async def test_with_keys_nothing_can_be_read_in_redis(open_broker: Open, server: Server) -> None:
    heard = Recorder()
    broker = open_broker(heard, symmetric_encryption_keys=["new", "old"])
    older = open_broker(symmetric_encryption_keys=["old"])
    await broker.listen("topic")
    with server.client() as client, client.pubsub() as pushed:
        pushed.psubscribe("*")
        await publish(older, b"plain 1")
        await publish(broker, b"plain 2")
        await publish(broker, b"plain 3", retention=None)
        await broker.signal(b"plain 4")
        await broker.enter("topic", "1", "ann", shown='{"plain": 5}')
        await until(lambda: heard.changes)
        everything = b"".join(client.dump(key) for key in client.scan_iter())
        while (message := pushed.get_message(timeout=0.1)) is not None:
            everything += str(message["data"]).encode()

    assert b"plain" not in everything
    assert b"gAAAA" in everything
    assert await bodies(broker) == [b"plain 1", b"plain 2"]
    assert heard.bodies("topic") == [b"plain 1", b"plain 2", b"plain 3"]
    assert heard.signals == [b"plain 4"]
    assert heard.changes[0][1].joined == {"ann": '{"plain": 5}'}


async def test_what_no_key_opens_is_counted_and_leaves_no_hole(
    open_broker: Open, told: list[telemetry.Event]
) -> None:
    heard = Recorder()
    broker = open_broker(heard, symmetric_encryption_keys=["right"])
    stranger = open_broker(symmetric_encryption_keys=["wrong"])
    await broker.listen("topic")
    await publish(broker, b"1")
    await publish(stranger, b"2")
    await publish(broker, b"3")

    assert await bodies(broker) == [b"3"]
    await until(lambda: len(heard.arrivals) == 2)
    assert heard.bodies("topic") == [b"1", b"3"]
    assert told.count(telemetry.MessageRejected("0", "payload")) == 2


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (b"", "version"),
        (b"\x02pe:1 body", "version"),
        (b"\x01z", "envelope"),
        (b"\x01pno position", "envelope"),
        (b"\x01c\xc1", "envelope"),
        (b"\x01c\x93\x01\x91\xa1k\x90", "envelope"),
    ],
)
async def test_poison_is_counted_and_the_reader_lives(
    open_broker: Open, server: Server, told: list[telemetry.Event], poison: bytes, reason: str
) -> None:
    heard = Recorder()
    broker = open_broker(heard)
    await broker.listen("topic")

    with server.client() as client:
        assert client.publish("asgi:{0}:0:topic:topic", poison) == 1
    await publish(broker, b"1")

    await until(lambda: heard.arrivals)
    assert telemetry.MessageRejected("0", reason) in told
    assert heard.interruptions == 0


async def test_sites_in_databases_of_one_server_do_not_hear_each_other(
    open_broker: Open, server: Server
) -> None:
    heard = [Recorder(), Recorder()]
    brokers = [
        open_broker(each, hosts=[f"redis://127.0.0.1:{server.port}/{number}"])
        for number, each in enumerate(heard, start=1)
    ]
    for broker in brokers:
        await broker.listen("topic")

    for number, broker in enumerate(brokers):
        await publish(broker, b"%d" % number)

    for number, each in enumerate(heard):
        await until(lambda each=each: each.arrivals)  # type: ignore[misc]
        assert each.bodies("topic") == [b"%d" % number]

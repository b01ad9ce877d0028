"""The servers of these tests are what they are said to be, and their faults are faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.servers import engines
from tests.servers.conftest import TOPOLOGIES
from tests.servers.engines import ClusterEngine, Engine, SentinelEngine


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_server_of_a_topology_answers(
    engine_of: Callable[[str], Engine], topology: str
) -> None:
    assert all(server.is_up() for server in engine_of(topology).servers)


@pytest.mark.parametrize("keeps_data", [True, False])
def test_a_killed_server_comes_back_with_its_data_or_without(
    tmp_path: Path, keeps_data: bool
) -> None:
    engine = engines.single(tmp_path / "0", keeps_data=keeps_data)
    [server] = engine.servers
    with server.client() as client:
        client.set("key", "value")

    server.kill()
    server.start()

    with server.client() as client:
        assert client.get("key") == (b"value" if keeps_data else None)
    engine.stop()


def test_killing_clients_cuts_every_connection(tmp_path: Path) -> None:
    engine = engines.single(tmp_path / "0")
    [server] = engine.servers
    with server.client() as client, client.pubsub() as listener:
        listener.subscribe("topic")
        listener.get_message(timeout=1)

        server.kill_clients()

        with pytest.raises(redis.ConnectionError):
            listener.connection.read_response()
    engine.stop()


def test_a_fail_over_keeps_what_the_replica_had(tmp_path: Path) -> None:
    engine = SentinelEngine(tmp_path / "0")
    with engine.master().client() as client:
        client.set("key", "value")
        assert client.wait(1, 5000) == 1

    old = engine.fail_over()

    with engine.master().client() as client:
        assert client.get("key") == b"value"
    engine.bring_back(old)
    engine.stop()


def test_a_slot_moves_with_its_keys_and_a_killed_master_is_replaced(tmp_path: Path) -> None:
    engine = ClusterEngine(tmp_path / "0")
    slot = 12182  # of the key "foo"
    with engine.master_of(slot).client() as client:
        client.set("foo", "bar")

    source, target = engine.migrate(slot)

    with target.client() as client:
        assert client.get("foo") == b"bar"
    with source.client() as client, pytest.raises(redis.exceptions.MovedError):
        client.execute_command("GET", "foo")
    killed = engine.kill_master(slot)
    assert killed is target
    engine.stop()

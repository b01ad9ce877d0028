"""Hosts as settings name them."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from channels_redis import utils
from channels_redis._connection import shards
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import create_pool, decode_hosts

SENTINELS = [("s1", 26379), ["s2", 26379]]


@pytest.mark.parametrize("hosts", [None, [], ()])
def test_no_hosts_mean_the_local_one(hosts: Any) -> None:
    assert decode_hosts(hosts) == [{"address": "redis://localhost:6379"}]


@pytest.mark.parametrize("hosts", ["redis://cache", b"redis://cache"])
def test_one_address_in_place_of_a_list_is_refused(hosts: Any) -> None:
    with pytest.raises(ValueError, match="You must pass a list of Redis hosts"):
        decode_hosts(hosts)


@pytest.mark.parametrize(
    ("entry", "decoded"),
    [
        ("rediss://cache:6380", {"address": "rediss://cache:6380"}),
        (("cache", 6379), {"host": "cache", "port": 6379}),
        (["cache", 6379, "more"], {"host": "cache", "port": 6379}),
        ({"master_name": "prime"}, {"master_name": "prime"}),
    ],
)
def test_each_kind_of_entry_becomes_a_dict(entry: Any, decoded: dict[str, Any]) -> None:
    assert decode_hosts([entry]) == [decoded]


@pytest.mark.parametrize("entry", [5, None, ("cache",), b"redis://cache"])
def test_any_other_entry_is_named(entry: Any) -> None:
    with pytest.raises(ValueError, match="expected a URL, a pair of host and port or a dict"):
        decode_hosts([entry])


@pytest.mark.parametrize(
    ("host", "connection_class"),
    [
        ({"host": "cache", "port": 6379}, Connection),
        ({"address": "redis://:pw@cache-a:6379/2"}, Connection),
        ({"address": "rediss://cache-b:6380", "ssl_cert_reqs": "none"}, SSLConnection),
        ({"address": "unix:///run/redis.sock"}, UnixDomainSocketConnection),
    ],
)
async def test_a_pool_is_made_for_each_kind_of_server(
    host: dict[str, Any], connection_class: type
) -> None:
    before = dict(host)

    pool = create_pool(host)

    assert pool.connection_class is connection_class
    assert host == before
    await pool.disconnect()


async def test_a_sentinel_pool_knows_its_master_and_options() -> None:
    host = {"master_name": "prime", "sentinels": SENTINELS, "db": 1, "sentinel_kwargs": {"db": 0}}

    pool = create_pool(host)

    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "prime"
    assert pool.connection_kwargs["db"] == 1
    assert len(pool.sentinel_manager.sentinels) == 2
    await pool.disconnect()


@pytest.mark.parametrize(
    ("entry", "kind", "said"),
    [
        ("127.0.0.1:6391", ValueError, "must specify one of the following schemes"),
        ({"address": "cache:6379"}, ValueError, "must specify one of the following schemes"),
        ({"address": "redis://cache", "bogus": 1}, TypeError, "keyword argument 'bogus'"),
        ({"adress": "redis://cache"}, TypeError, "keyword argument 'adress'"),
    ],
)
@pytest.mark.parametrize("layer", [RedisChannelLayer, RedisPubSubChannelLayer])
def test_a_host_that_can_never_be_reached_is_named_when_the_layer_is_made(
    layer: Any, entry: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as raised:
        layer(hosts=["redis://cache", entry])

    assert str(raised.value).startswith("entry 1 of 'hosts' cannot be used: ")
    assert "expected a URL as redis://host:6379" in str(raised.value)


def test_a_layer_with_pools_of_its_own_may_understand_other_hosts() -> None:
    class Own(RedisChannelLayer):
        def create_pool(self, index: int) -> Any:
            raise NotImplementedError

    assert Own(hosts=["cache-of-mine"]).hosts == [{"address": "cache-of-mine"}]


def test_a_cluster_has_no_pool() -> None:
    with pytest.raises(ValueError, match="a Redis Cluster has no pool"):
        create_pool({"cluster": [("a", 1)]})


def test_a_cluster_stands_alone() -> None:
    hosts = decode_hosts([{"cluster": [("a", 1)]}, ("b", 2)])

    with pytest.raises(ValueError, match="only entry of 'hosts'; expected 1 entry, got 2"):
        shards(hosts, lambda index: create_pool(hosts[index]))


@pytest.mark.parametrize(
    ("value", "two", "three", "ten"), [("alpha", 1, 1, 5), ("beta", 0, 0, 2), ("lobby", 0, 1, 3)]
)
def test_a_name_is_always_on_the_same_shard(value: str, two: int, three: int, ten: int) -> None:
    for name in (value, value.encode()):
        assert [utils._consistent_hash(name, size) for size in (1, 2, 3, 10)] == [
            0,
            two,
            three,
            ten,
        ]

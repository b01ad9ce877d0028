"""Where the server of each shard is, and how to get there: redis-py knows, this module asks it.

A connection is opened and authenticated by redis-py (TCP, TLS, Unix socket, Sentinel, Cluster) and
then taken over by a ``Wire``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import redis.exceptions
from redis.asyncio import Connection, ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from channels_redis._keys import slot, spread_tags

Client = Redis
Pool = ConnectionPool
RedisError = redis.exceptions.RedisError
ResponseError = redis.exceptions.ResponseError

DEFAULT_PARTS: Final = 4
OPTIONS: Final[Mapping[str, Any]] = {"protocol": 2, "health_check_interval": 0}
"""What the wire needs, whatever the site's options say."""


class Shard:
    """One part of the keys and the server that holds it.

    Args:
        tag: Hash tag of its keys.
        pool: Makes a pool that knows the server; asked anew for each connection.
        cluster: Options of a Redis Cluster, in place of ``pool``.
    """

    def __init__(
        self,
        tag: str,
        *,
        pool: Callable[[], ConnectionPool] | None = None,
        cluster: Mapping[str, Any] | None = None,
    ) -> None:
        self.tag = tag
        self._pool = pool
        self._cluster = cluster

    @property
    def is_in_cluster(self) -> bool:
        """Whether its server is the master of a slot."""
        return self._cluster is not None

    async def open(self) -> asyncio.StreamWriter:
        """Connect to the present server.

        Raises:
            redis.exceptions.RedisError: It cannot be found, or refuses.
            OSError: It cannot be reached.
        """
        if self._pool is None:
            return await self._open_in_cluster(self._cluster or {})
        pool = self._pool()
        pool.connection_kwargs.update(OPTIONS, retry=Retry(NoBackoff(), 0))
        try:
            return await _take_over(pool.make_connection())  # type: ignore[no-untyped-call]
        finally:
            await _close(pool)

    async def _open_in_cluster(self, options: Mapping[str, Any]) -> asyncio.StreamWriter:
        nodes = [ClusterNode(host, port) for host, port in options["cluster"]]
        rest = {key: value for key, value in options.items() if key not in ("cluster", "parts")}
        cluster = RedisCluster(startup_nodes=nodes, **(rest | {"protocol": 2}))
        try:
            await cluster.initialize()
            node = cluster.nodes_manager.get_node_from_slot(slot(self.tag))
            return await _take_over(node.connection_class(**node.connection_kwargs))
        finally:
            await cluster.aclose()


def shards(
    hosts: Sequence[Mapping[str, Any]], create_pool: Callable[[int], ConnectionPool]
) -> list[Shard]:
    """Return the shards that ``hosts`` stand for.

    Args:
        hosts: As ``decode_hosts`` gives them.
        create_pool: Makes the pool of the host with this index.

    Raises:
        ValueError: A Cluster stands beside other hosts.
    """
    if not any("cluster" in host for host in hosts):
        return [
            Shard(str(index), pool=lambda index=index: create_pool(index))  # type: ignore[misc]
            for index in range(len(hosts))
        ]
    if len(hosts) > 1:
        raise ValueError(
            f"a Redis Cluster is the only entry of 'hosts'; expected 1 entry, got {len(hosts)}"
        )
    tags = spread_tags(int(hosts[0].get("parts", DEFAULT_PARTS)))
    return [Shard(tag, cluster=hosts[0]) for tag in tags]


def client_of(pool: Pool) -> Client:
    """Return a client that owns ``pool``."""
    return Redis.from_pool(pool)


async def _take_over(connection: Connection) -> asyncio.StreamWriter:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await connection.disconnect(nowait=True)
        raise
    # The only way to the socket in redis-py 5 to 8. RESP2 sends nothing unasked, so the reader that
    # is left behind holds nothing. The writer would close the socket when it is forgotten.
    writer = cast("asyncio.StreamWriter", connection._writer)
    connection._reader = connection._writer = None
    return writer


async def _close(pool: ConnectionPool) -> None:
    await pool.disconnect()
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()

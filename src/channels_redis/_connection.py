"""Where the server of each shard is, and how to get there: redis-py knows, this module asks it.

A connection is opened and authenticated by redis-py (TCP, TLS, Unix socket, Sentinel, Cluster) and
then taken over by a ``Wire``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
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

FRESH: Final = 0.2
"""Seconds for which what was learnt of a cluster is believed."""
DEFAULT_PARTS: Final = 4
OPTIONS: Final[Mapping[str, Any]] = {"protocol": 2, "health_check_interval": 0}
"""What the wire needs, whatever the site's options say."""


class Cluster:
    """Which server of a Redis Cluster holds a slot.

    Args:
        options: ``cluster``, pairs of host and port, and options of redis-py for every server.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._start = [(host, int(port)) for host, port in options["cluster"]]
        others = {key: value for key, value in options.items() if key not in ("cluster", "parts")}
        self._options = others | {"protocol": 2}
        self._nodes: dict[int, ClusterNode] = {}
        self._loaded_at = 0.0
        self._loading: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, asyncio.Task[dict[int, ClusterNode]]
        ] = weakref.WeakKeyDictionary()

    async def connection_to(self, slot: int) -> Connection:
        """Return a connection, yet to be made, to the present master of ``slot``."""
        if time.monotonic() - self._loaded_at > FRESH:
            loop = asyncio.get_running_loop()
            loading = self._loading.get(loop)
            if loading is None or loading.done():
                loading = self._loading[loop] = loop.create_task(self._load())
            self._nodes = await asyncio.shield(loading)
            self._loaded_at = time.monotonic()
        node = self._nodes.get(slot)
        if node is None:
            raise redis.exceptions.ConnectionError(f"no server of the cluster holds slot {slot}")
        return node.connection_class(**node.connection_kwargs)

    async def close(self) -> None:
        """Stop asking, on the running loop."""
        loading = self._loading.pop(asyncio.get_running_loop(), None)
        if loading is not None and not loading.done():
            # In the middle of it redis-py would leave sockets behind.
            await asyncio.wait([loading], timeout=1)
            loading.cancel()

    async def _load(self) -> dict[int, ClusterNode]:
        nodes = [ClusterNode(host, port) for host, port in self._start]
        cluster = RedisCluster(startup_nodes=nodes, **self._options)
        try:
            await cluster.nodes_manager.initialize()
            return {slot: holders[0] for slot, holders in cluster.nodes_manager.slots_cache.items()}
        finally:
            await cluster.nodes_manager.aclose("startup_nodes")
            await cluster.nodes_manager.aclose()


class Shard:
    """One part of the keys and the server that holds it.

    Args:
        tag: Hash tag of its keys.
        pool: Makes a pool that knows the server; asked anew for each connection.
        cluster: Knows the server, in place of ``pool``.
    """

    def __init__(
        self,
        tag: str,
        *,
        pool: Callable[[], ConnectionPool] | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.tag = tag
        self._pool = pool
        self._cluster = cluster

    @property
    def is_in_cluster(self) -> bool:
        """Whether its server is the master of a slot."""
        return self._cluster is not None

    @property
    def database(self) -> int:
        """Number of the server's database."""
        if self._pool is None:
            return 0
        return int(self._pool().connection_kwargs.get("db") or 0)

    async def close(self) -> None:
        """Stop looking for its server, on the running loop."""
        if self._cluster is not None:
            await self._cluster.close()

    async def open(self) -> asyncio.StreamWriter:
        """Connect to the present server.

        Raises:
            redis.exceptions.RedisError: It cannot be found, or refuses.
            OSError: It cannot be reached.
        """
        if self._cluster is not None:
            return await _take_over(await self._cluster.connection_to(slot(self.tag)))
        pool = cast("Callable[[], ConnectionPool]", self._pool)()  # the other of the two
        pool.connection_kwargs.update(OPTIONS, retry=Retry(NoBackoff(), 0))
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            return await _take_over(connection)
        finally:
            _close_sentinels(pool)


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
    cluster = Cluster(hosts[0])
    tags = spread_tags(int(hosts[0].get("parts", DEFAULT_PARTS)))
    return [Shard(tag, cluster=cluster) for tag in tags]


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


def _close_sentinels(pool: ConnectionPool) -> None:
    """Close, in the background, the connections that were asked where the master is."""
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            closing = asyncio.ensure_future(sentinel.aclose())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()

"""Hosts as settings name them, and pools of redis-py for them."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.sentinel import Sentinel

DEFAULT_ADDRESS = "redis://localhost:6379"


def decode_hosts(hosts: Iterable[Any] | None) -> list[dict[str, Any]]:
    """Return a dict for each entry of a layer's ``hosts``.

    An entry is a URL (``redis://``, ``rediss://``, ``unix://``), a pair of host and port, or a
    dict with options of redis-py and ``address``, or ``host`` and ``port``, or ``master_name`` and
    ``sentinels``, or ``cluster``. No hosts mean ``redis://localhost:6379``.

    Raises:
        ValueError: ``hosts`` is a string, or an entry is none of these.
    """
    if not hosts:
        return [{"address": DEFAULT_ADDRESS}]
    if isinstance(hosts, str | bytes):
        raise ValueError(
            f"You must pass a list of Redis hosts, even if there is only one; got {hosts!r}."
        )
    return [_decode_host(entry) for entry in hosts]


def create_pool(host: Mapping[str, Any]) -> ConnectionPool:
    """Return a new asyncio pool of redis-py for an entry that ``decode_hosts`` gave.

    Raises:
        ValueError: It is a Redis Cluster, which has no pool.
    """
    options = dict(host)
    if "cluster" in options:
        raise ValueError("a Redis Cluster has no pool; the layer finds its servers itself")
    if "address" in options:
        return ConnectionPool.from_url(options.pop("address"), **options)
    master_name = options.pop("master_name", None)
    if master_name is None:
        return ConnectionPool(**options)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [tuple(address) for address in options.pop("sentinels")],
        sentinel_kwargs=options.pop("sentinel_kwargs", None),
        **options,
    )
    pool: ConnectionPool = sentinel.master_for(master_name).connection_pool
    return pool


def require_hosts(hosts: Iterable[Mapping[str, Any]]) -> None:
    """Check what can be known of ``hosts`` without a server.

    Args:
        hosts: As ``decode_hosts`` gives them.

    Raises:
        ValueError: An address is no URL, or a value cannot be used.
        TypeError: redis-py has no such option.
    """
    for index, host in enumerate(hosts):
        if "cluster" in host or "master_name" in host:
            continue
        try:
            create_pool(host).make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            # Without the entry itself, which may hold a password.
            raise kind(
                f"entry {index} of 'hosts' cannot be used: {error}; expected a URL as "
                "redis://host:6379, rediss://host:6379 or unix:///path, a pair of host and port, "
                "or a dict with options of redis-py"
            ) from error


def _decode_host(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        return dict(entry)
    if isinstance(entry, tuple | list) and len(entry) > 1:
        return {"host": entry[0], "port": entry[1]}
    if isinstance(entry, str):
        return {"address": entry}
    raise ValueError(
        f"expected a URL, a pair of host and port or a dict as an entry of 'hosts', got {entry!r}"
    )


def _consistent_hash(value: str | bytes, ring_size: int) -> int:
    """Return the index of the shard for ``value`` among ``ring_size``."""
    if ring_size == 1:
        return 0
    data = value.encode("utf8") if isinstance(value, str) else value
    return int((binascii.crc32(data) & 0xFFF) / (4096 / ring_size))


async def _close_redis(client: Redis) -> None:
    """Close a client and its pool, with any supported redis-py."""
    await client.aclose(close_connection_pool=True)


def _wrap_close(proxy: Any, loop: Any) -> None:
    """Do nothing: connections are closed when their loop shuts its asynchronous generators down.

    Upstream replaces ``loop.close`` here; the name is kept for code that imports it.
    """

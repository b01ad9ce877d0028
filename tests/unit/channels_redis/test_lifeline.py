"""A connection is made again whatever went wrong before."""

from __future__ import annotations

import asyncio
import logging

import pytest

from channels_redis._lifeline import close_all
from channels_redis._link import Link
from channels_redis.exceptions import RedisUnavailableError
from tests.slow import SLOW


async def test_an_attempt_that_fails_in_an_unknown_way_is_not_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = 0

    async def connect() -> asyncio.StreamWriter:
        nonlocal attempts
        attempts += 1
        raise LookupError("nobody knows why")

    link = Link(connect, name="one", logger=logging.getLogger("test"), budget=0.3 * SLOW)
    try:
        with pytest.raises(RedisUnavailableError, match="nobody knows why"):
            await link.call("PING")
    finally:
        await close_all([link])

    assert attempts > 2
    assert "Cannot connect to Redis shard one: LookupError('nobody knows why')" in caplog.text

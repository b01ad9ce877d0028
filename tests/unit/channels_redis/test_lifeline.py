"""A connection is made again whatever went wrong before."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import hiredis
import pytest
import redis.exceptions

from channels_redis._lifeline import close_all
from channels_redis._link import ASK_SERVER, STAMP, Link
from channels_redis.exceptions import RedisRefusedError, RedisUnavailableError
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
    assert "Cannot connect to Redis shard one: LookupError: nobody knows why" in caplog.text


@pytest.mark.parametrize(
    "refusal",
    [
        redis.exceptions.AuthenticationError("invalid username-password pair"),
        hiredis.ReplyError("NOAUTH Authentication required."),
        hiredis.ReplyError("WRONGPASS invalid username-password pair"),
    ],
)
async def test_a_wrong_password_is_said_at_once_and_connecting_goes_on(refusal: Exception) -> None:
    attempts = 0

    async def connect() -> asyncio.StreamWriter:
        nonlocal attempts
        attempts += 1
        raise refusal

    link = Link(connect, name="one", logger=logging.getLogger("test"), budget=60)
    try:
        for _ in range(2):
            async with asyncio.timeout(5 * SLOW):
                with pytest.raises(RedisRefusedError) as raised:
                    await link.call("PING")
    finally:
        await close_all([link])

    assert str(raised.value) == f"Redis shard one refuses this process: {refusal}"
    assert isinstance(raised.value, RedisUnavailableError)
    assert isinstance(raised.value, redis.exceptions.AuthenticationError)
    assert attempts > 1


async def test_a_call_during_an_outage_says_for_how_long_there_is_no_connection() -> None:
    async def connect() -> asyncio.StreamWriter:
        raise ConnectionRefusedError("Error 111 connecting to cache:6379")

    link = Link(connect, name="one", logger=logging.getLogger("test"), budget=0.1)
    try:
        said = r"one cannot be reached, for \d+\.\d s: Error 111 connecting to cache:6379$"
        with pytest.raises(RedisUnavailableError, match=said):
            await link.call("PING")
    finally:
        await close_all([link])


INFO = [b"# Server\r\nredis_version:7.2\r\n", b"# Server\r\nrun_id:abc\r\nuptime:1\r\n"]
"""What a server says of itself, at first without a run id."""
Connect = Callable[[], Awaitable[asyncio.StreamWriter]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect to a server that echoes, and whose first ``INFO`` has no run id."""
    answers = iter(INFO)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while data := await reader.read(1000):
                commands.feed(data)
                while command := commands.gets():
                    body = next(answers, INFO[-1]) if command[0] == b"INFO" else command[1]
                    writer.write(b"$%d\r\n%s\r\n" % (len(body), body))

    async def connect() -> asyncio.StreamWriter:
        return (await asyncio.open_connection(*server.sockets[0].getsockname()))[1]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield connect


async def test_a_server_without_a_run_id_is_a_failed_attempt_and_nobody_gets_anothers_answer(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    link = Link(connect, name="one", logger=logging.getLogger("test"), greeting=(ASK_SERVER,))
    try:
        calls = [link.call("ECHO", word) for word in ("first", "second", "third")]

        async with asyncio.timeout(5 * SLOW):
            assert await asyncio.gather(*calls) == [b"first", b"second", b"third"]
    finally:
        await close_all([link])

    assert "Cannot connect to Redis shard one" in caplog.text
    assert "INFO server has no run_id, as that of Redis has: b'# Server" in caplog.text


async def test_a_connection_that_cannot_be_begun_is_made_again(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0

    def restored() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise LookupError("nobody knows why")

    link = Link(connect, name="one", logger=logging.getLogger("test"), restored=restored)
    try:
        calls = [link.call("ECHO", word) for word in ("first", "second")]

        async with asyncio.timeout(5 * SLOW):
            assert await asyncio.gather(*calls) == [b"first", b"second"]
    finally:
        await close_all([link])

    assert "Lost Redis shard one: nobody knows why; connecting again." in caplog.text


@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("word", [None, "a lone surrogate \ud800"])
async def test_what_cannot_be_written_is_raised_and_nobody_gets_anothers_answer(
    connect: Connect, word: str | None, *, is_connected: bool
) -> None:
    link = Link(connect, name="one", logger=logging.getLogger("test"))
    try:
        if is_connected:
            await link.call("ECHO", "before")
        for send in (link.call, functools.partial(link.post, answered=print)):
            if is_connected or send == link.call:
                with pytest.raises((TypeError, UnicodeEncodeError)):
                    send("ECHO", STAMP, word)
        calls = [link.call("ECHO", word) for word in ("first", "second")]

        async with asyncio.timeout(5 * SLOW):
            assert await asyncio.gather(*calls) == [b"first", b"second"]
            await link.settle()
    finally:
        await close_all([link])


async def test_what_is_no_answer_behind_the_greeting_is_a_failed_attempt() -> None:
    answers = iter([b"+PONG\r\n@ no answer\r\n"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while await reader.read(1000):
                writer.write(next(answers, b"+PONG\r\n"))

    async def connect() -> asyncio.StreamWriter:
        return (await asyncio.open_connection(*server.sockets[0].getsockname()))[1]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = Link(connect, name="one", logger=logging.getLogger("test"), greeting=(("PING",),))
    async with server:
        try:
            async with asyncio.timeout(5 * SLOW):
                assert await link.call("PING") == b"PONG"
        finally:
            await close_all([link])


async def test_what_a_call_failed_of_is_not_an_outage_that_is_over(connect: Connect) -> None:
    link = Link(connect, name="one", logger=logging.getLogger("test"))
    await link.call("ECHO", "before")
    link.break_off(ConnectionError("cut"))
    await link.call("ECHO", "after")
    unanswered = link.call("ECHO", "never")
    await close_all([link])

    with pytest.raises(RedisUnavailableError, match=r"^Redis shard one is closed$"):
        await unanswered

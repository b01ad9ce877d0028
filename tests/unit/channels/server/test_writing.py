"""Sockets that handlers have written to are written to together, in their order."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import pytest

from channels.server.writing import AT_ONCE, Writing


class Socket:
    """Notes when it is told to write."""

    def __init__(self, written: Callable[[], None]) -> None:
        self.write_unsent = written


async def test_all_are_written_to_in_the_next_turn() -> None:
    writing, written = Writing(), []
    for number in range(3):
        writing.add(Socket(functools.partial(written.append, number)))

    assert written == []
    await asyncio.sleep(0)
    assert written == [0, 1, 2]


async def test_many_are_not_kept_waiting_for_each_other() -> None:
    writing, written = Writing(), []
    for number in range(AT_ONCE + 1):
        writing.add(Socket(functools.partial(written.append, number)))

    assert written == list(range(AT_ONCE))
    await asyncio.sleep(0)
    assert written == list(range(AT_ONCE + 1))
    await asyncio.sleep(0)
    writing.add(Socket(functools.partial(written.append, "later")))
    await asyncio.sleep(0)
    assert written[AT_ONCE:] == [AT_ONCE, "later"]


async def test_one_that_fails_keeps_no_other_from_its_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writing, written = Writing(), []

    def fail() -> None:
        raise LookupError("deliberate")

    for each in (fail, functools.partial(written.append, 1)):
        writing.add(Socket(each))
    await asyncio.sleep(0)

    assert written == [1]
    assert "could not write" in caplog.text
    assert "deliberate" in caplog.text

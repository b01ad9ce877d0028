"""Handshakes begin in the order in which they came, a few in each turn of the event loop."""

from __future__ import annotations

import asyncio
import functools

import pytest

from channels.server.doorway import AT_ONCE, Doorway


async def test_a_few_begin_at_once_and_the_others_in_the_next_turns() -> None:
    doorway, begun = Doorway(), []
    for number in range(2 * AT_ONCE + 3):
        doorway.enter(functools.partial(begun.append, number))

    assert begun == list(range(AT_ONCE))
    await asyncio.sleep(0)
    assert begun == list(range(2 * AT_ONCE))
    await asyncio.sleep(0)
    assert begun == list(range(2 * AT_ONCE + 3))


async def test_who_comes_later_does_not_overtake() -> None:
    doorway, begun = Doorway(), []
    for number in range(AT_ONCE + 1):
        doorway.enter(functools.partial(begun.append, number))
    await asyncio.sleep(0)

    doorway.enter(functools.partial(begun.append, "late"))

    assert begun[-2:] == [AT_ONCE, "late"]


async def test_when_nobody_comes_it_costs_no_turn() -> None:
    doorway, begun = Doorway(), []
    doorway.enter(functools.partial(begun.append, 1))
    for _ in range(3):
        await asyncio.sleep(0)

    doorway.enter(functools.partial(begun.append, 2))

    assert begun == [1, 2]


async def test_one_that_cannot_begin_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    doorway, begun = Doorway(), []

    def fail() -> None:
        raise LookupError("deliberate")

    for _ in range(AT_ONCE):
        doorway.enter(lambda: None)
    doorway.enter(fail)
    for number in range(2 * AT_ONCE):
        doorway.enter(functools.partial(begun.append, number))
    for _ in range(4):
        await asyncio.sleep(0)

    assert begun == list(range(2 * AT_ONCE))
    assert "A handshake could not begin." in caplog.text

"""One object for each event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from channels.calls import get_carrier
from channels.per_loop import PerLoop
from channels.server.doorway import get_doorway
from channels.server.wheel import get_wheel
from channels.server.writing import get_writing


async def get(of_loop: PerLoop[Any]) -> Any:
    assert of_loop() is of_loop()
    return of_loop()


@pytest.mark.parametrize("of_loop", [get_carrier, get_doorway, get_wheel, get_writing])
def test_each_loop_has_one_of_its_own_and_it_keeps_no_loop(of_loop: PerLoop[Any]) -> None:
    loops = [asyncio.new_event_loop() for _ in range(2)]
    first, second = (loop.run_until_complete(get(of_loop)) for loop in loops)
    assert first is not second
    seen = [weakref.ref(loop) for loop in loops]
    for loop in loops:
        loop.close()

    del loops, loop
    gc.collect()

    assert [each() for each in seen] == [None, None]


def test_it_goes_with_its_loop() -> None:
    class Thing:
        pass

    things = PerLoop(Thing)
    loop = asyncio.new_event_loop()
    seen = weakref.ref(loop.run_until_complete(get(things)))
    loop.close()
    del loop
    gc.collect()

    assert seen() is None


def test_without_a_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        PerLoop(object)()

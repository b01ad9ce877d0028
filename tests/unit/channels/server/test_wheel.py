"""Deadlines on one timer."""

from __future__ import annotations

import asyncio

import pytest

from channels.server import wheel as wheel_module
from channels.server.wheel import SLOTS, Wheel, get_wheel


class Waiting:
    def __init__(self, *, fails: bool = False) -> None:
        self.slot = -1
        self.calls = 0
        self._fails = fails

    def deadline_passed(self) -> None:
        self.calls += 1
        if self._fails:
            raise LookupError("deliberate")


def turn(wheel: Wheel, times: int = 1) -> None:
    for _ in range(times):
        wheel._turn()


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> Wheel:
    # A tick is one second; the tests turn the wheel themselves.
    monkeypatch.setattr(wheel_module, "TICK", 1.0)
    return Wheel()


@pytest.mark.parametrize("seconds", [0, 1, 2, 2.5, SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS + 7])
async def test_a_deadline_is_met_once_and_not_early(wheel: Wheel, seconds: float) -> None:
    waiting = Waiting()
    turn(wheel, 5)
    wheel.set(waiting, seconds)
    turns = max(1, -int(-seconds // 1))

    turn(wheel, turns - 1)
    early = waiting.calls
    turn(wheel)
    then = waiting.calls
    turn(wheel, 4 * SLOTS)

    assert (early, then, waiting.calls) == (0, 1, 1)


async def test_a_new_deadline_takes_the_place_of_the_old_one(wheel: Wheel) -> None:
    waiting = Waiting()
    wheel.set(waiting, 2)
    wheel.set(waiting, 5)

    turn(wheel, 5)
    assert waiting.calls == 0
    turn(wheel)
    assert waiting.calls == 1


async def test_a_deadline_that_is_set_between_two_turns_is_not_met_early(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_module, "TICK", 0.05)
    loop, met = asyncio.get_running_loop(), asyncio.Event()
    other, waiting = Waiting(), Waiting()
    waiting.deadline_passed = met.set  # type: ignore[method-assign]
    wheel.set(other, 1)
    await asyncio.sleep(0.04)

    begun = loop.time()
    wheel.set(waiting, 0.1)
    await met.wait()

    assert loop.time() - begun >= 0.1


async def test_what_is_forgotten_is_not_called(wheel: Wheel) -> None:
    waiting = Waiting()
    wheel.set(waiting, 2)

    wheel.forget(waiting)
    wheel.forget(waiting)
    turn(wheel, 5)

    assert waiting.calls == 0


async def test_a_failure_is_logged_and_keeps_nobody_else_waiting(
    wheel: Wheel, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = Waiting(fails=True), Waiting()
    wheel.set(failing, 2)
    wheel.set(other, 1)

    turn(wheel, 2)

    assert other.calls == 1
    assert "failed at its deadline" in caplog.text


async def test_the_timer_runs_only_while_somebody_waits(wheel: Wheel) -> None:
    waiting = Waiting()
    assert wheel._timer is None

    wheel.set(waiting, 1)
    assert wheel._timer is not None
    turn(wheel)

    assert wheel._timer is None


async def test_deadlines_come_by_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "TICK", 0.001)
    waiting = Waiting()

    get_wheel().set(waiting, 0.003)
    while not waiting.calls:  # noqa: ASYNC110 - it is the clock that is waited for
        await asyncio.sleep(0.001)

    assert waiting.calls == 1


async def test_a_deadline_may_move_to_another(wheel: Wheel) -> None:
    first, second = Waiting(), Waiting()
    wheel.set(first, 2)
    turn(wheel)

    wheel.move(first, second)
    wheel.move(first, Waiting())  # it has none any more
    turn(wheel)

    assert (first.calls, second.calls) == (0, 1)
    assert first.slot == second.slot == -1

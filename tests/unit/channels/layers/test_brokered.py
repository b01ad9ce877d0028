"""What a broker is told of the groups of this process, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from channels.layers.brokered import Registrations


class Broker:
    """Notes what it is told; answers when the test lets it."""

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.told: list[str] = []
        self.answers: list[asyncio.Future[None]] = []

    def registrations(self, **options: Any) -> Registrations:
        return Registrations(self.members.__contains__, self._register, self._unregister, **options)

    def _register(self, group: str) -> asyncio.Future[None]:
        self.told.append(f"+{group}")
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def _unregister(self, group: str) -> None:
        self.told.append(f"-{group}")


@pytest.fixture
def broker() -> Broker:
    return Broker()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_first_member_registers_and_everyone_waits_for_the_answer(
    broker: Broker,
) -> None:
    registrations = broker.registrations()
    members = [asyncio.create_task(registrations.require("room")) for _ in range(3)]
    await turns()
    assert broker.told == ["+room"]
    assert not any(member.done() for member in members)

    broker.answers[0].set_result(None)
    await asyncio.gather(*members)

    await registrations.require("room")
    assert broker.told == ["+room"]


async def test_a_member_that_is_cancelled_leaves_the_others_waiting(broker: Broker) -> None:
    registrations = broker.registrations()
    first, second = [asyncio.create_task(registrations.require("room")) for _ in range(2)]
    await turns()

    first.cancel()
    await turns()
    broker.answers[0].set_result(None)

    await second


async def test_a_failed_registration_is_raised_to_all_and_tried_again_by_the_next(
    broker: Broker,
) -> None:
    registrations = broker.registrations()
    members = [asyncio.create_task(registrations.require("room")) for _ in range(2)]
    await turns()

    broker.answers[0].set_exception(ConnectionError("away"))
    outcomes = await asyncio.gather(*members, return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == ["away", "away"]
    assert not registrations.is_registered("room")
    again = asyncio.create_task(registrations.require("room"))
    await turns()
    broker.answers[1].set_result(None)
    await again
    assert broker.told == ["+room", "+room"]


async def test_only_groups_without_members_are_unregistered(broker: Broker) -> None:
    registrations = broker.registrations()
    broker.members.add("joined again")

    registrations.settle({"joined again", "empty"})

    assert broker.told == ["-empty"]


async def test_a_group_that_was_unregistered_is_registered_anew(broker: Broker) -> None:
    registrations = broker.registrations()
    for _ in range(2):
        member = asyncio.create_task(registrations.require("room"))
        await turns()
        broker.answers[-1].set_result(None)
        await member
        registrations.settle({"room"})

    assert broker.told == ["+room", "-room", "+room", "-room"]


async def test_an_old_registration_is_renewed_by_the_next_member(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now: Callable[[], float] = loop.time
    registrations = broker.registrations(lifetime=100)
    member = asyncio.create_task(registrations.require("room"))
    await turns()
    broker.answers[0].set_result(None)
    await member

    monkeypatch.setattr(loop, "time", lambda: now() + 101)
    again = asyncio.create_task(registrations.require("room"))
    await turns()
    broker.answers[1].set_result(None)
    await again

    assert broker.told == ["+room", "+room"]

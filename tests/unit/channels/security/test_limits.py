"""One connection too many of one user, or from one address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings

from channels import telemetry
from channels.security import limits
from channels.security.limits import ConnectionLimits
from channels.typing import Event, Scope
from tests.slow import SLOW

ANN, BOB = User(pk=1), User(pk=2)


@pytest.fixture(autouse=True)
def _nobody_stays() -> Any:
    yield
    assert not limits._open


@asynccontextmanager
async def opened(
    *, user: Any = None, address: str = "::1", **scope: Any
) -> AsyncIterator[list[Any]]:
    """Open a connection; gives what it has been sent, until the block ends."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    sent: list[Any] = []

    async def send(event: Event) -> None:
        sent.append(event)

    async def inner(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    whole = {"type": "websocket", "user": user, "client": (address, 1), **scope}
    events.put_nowait({"type": "websocket.connect"})
    task = asyncio.create_task(ConnectionLimits(inner)(whole, events.get, send))
    for _ in range(5):
        await asyncio.sleep(0)
    yield sent
    events.put_nowait({"type": "websocket.disconnect"})
    await asyncio.wait_for(task, 5 * SLOW)


def kinds(sent: list[Any]) -> list[str]:
    return [event["type"] for event in sent]


async def test_without_a_limit_anybody_may_have_any_number() -> None:
    async with opened(user=ANN), opened(user=ANN), opened(user=ANN) as third:
        assert kinds(third) == ["websocket.accept"]
        assert not limits._open


async def test_a_user_s_connection_over_the_limit_is_refused_until_one_ends() -> None:
    before = telemetry.totals["ConnectionLimited.max_connections_per_user"]
    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_USER": 2}):
        async with (
            opened(user=ANN),
            opened(user=BOB),
            opened(user=ANN) as second,
            opened(user=ANN) as third,
        ):
            assert kinds(second) == ["websocket.accept"]
            assert kinds(third) == ["websocket.close"]
        async with opened(user=ANN), opened(user=ANN) as again:
            assert kinds(again) == ["websocket.accept"]

    assert telemetry.totals["ConnectionLimited.max_connections_per_user"] == before + 1


async def test_anonymous_users_are_not_one_user() -> None:
    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_USER": 1}):
        async with opened(user=AnonymousUser()), opened(user=AnonymousUser()) as second:
            assert kinds(second) == ["websocket.accept"]


async def test_an_address_s_connection_over_the_limit_is_refused() -> None:
    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1}):
        async with opened(), opened(address="::2") as other, opened() as second:
            assert kinds(other) == ["websocket.accept"]
            assert kinds(second) == ["websocket.close"]


async def test_what_one_limit_refuses_does_not_count_under_the_other() -> None:
    with override_settings(
        CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1, "MAX_CONNECTIONS_PER_USER": 2}
    ):
        async with opened(user=ANN), opened(user=ANN) as refused:
            assert kinds(refused) == ["websocket.close"]
            async with opened(user=ANN, address="::2") as second:
                assert kinds(second) == ["websocket.accept"]


async def test_a_server_that_can_answers_with_status_429() -> None:
    extensions = {"websocket.http.response": {}}
    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1}):
        async with opened(), opened(extensions=extensions) as second:
            assert second[0]["status"] == 429
            assert second[1]["body"] == b"too many connections"


async def test_a_connection_without_an_address_or_user_counts_nowhere() -> None:
    with override_settings(
        CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1, "MAX_CONNECTIONS_PER_USER": 1}
    ):
        async with opened(client=None), opened(client=None) as second:
            assert kinds(second) == ["websocket.accept"]


async def test_an_error_of_the_application_ends_its_connection_here_too() -> None:
    async def failing(scope: Scope, receive: Any, send: Any) -> None:
        raise LookupError("deliberate")

    scope = {"type": "websocket", "client": ("::1", 1)}
    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1}):
        for _ in range(2):
            with pytest.raises(LookupError):
                await ConnectionLimits(failing)(scope, None, None)  # type: ignore[arg-type]


async def test_http_is_not_counted() -> None:
    async def inner(scope: Scope, receive: Any, send: Any) -> str:
        return "served"

    with override_settings(CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1}):
        scope = {"type": "http", "client": ("::1", 1)}
        served = await ConnectionLimits(inner)(scope, None, None)  # type: ignore[arg-type]

    assert served == "served"

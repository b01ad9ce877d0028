"""Database access from async code, and clean-up where a connection was used."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import connection

from channels import db
from channels.consumer import AsyncConsumer
from channels.db import (
    DatabaseSyncToAsync,
    aclose_old_connections,
    database_sync_to_async,
    needs_clean_up,
)
from channels.lanes import enter_lane


@pytest.fixture(autouse=True)
def closings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The thread of each call of ``close_old_connections``, which is only recorded.

    A connection that another test has left in the shared thread must not be touched here.
    """
    calls: list[int] = []
    monkeypatch.setattr(db, "close_old_connections", lambda: calls.append(threading.get_ident()))
    return calls


def query() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 7")
        [value] = cursor.fetchone()
    assert isinstance(value, int)
    return value


async def test_a_wrapped_function_is_cleaned_up_around_in_its_own_thread(
    closings: list[int],
) -> None:
    thread = await database_sync_to_async(threading.get_ident)()

    assert closings == [thread, thread]
    assert thread != threading.get_ident()


async def test_a_wrapped_function_that_raises_is_cleaned_up_after_too(closings: list[int]) -> None:
    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await database_sync_to_async(fail)()

    assert len(closings) == 2


async def test_it_decorates_functions_and_methods() -> None:
    class Holder:
        """Has a wrapped method."""

        @database_sync_to_async
        def twice(self, number: int) -> int:
            return 2 * number

    assert isinstance(Holder.__dict__["twice"], DatabaseSyncToAsync)
    assert iscoroutinefunction(Holder.__dict__["twice"])
    assert await Holder().twice(4) == 8


async def test_it_decorates_with_options_alone() -> None:
    @database_sync_to_async(thread_sensitive=False)
    def here() -> int:
        return threading.get_ident()

    assert await here() != threading.get_ident()


async def coroutine() -> None:
    """Not a sync function."""


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((coroutine,), {}), ((len,), {"thread_sensitive": True, "executor": object()})],
)
def test_what_cannot_be_wrapped_is_a_type_error(
    arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        DatabaseSyncToAsync(*arguments, **options)


async def test_aclose_old_connections_runs_in_the_sync_thread(closings: list[int]) -> None:
    await aclose_old_connections()

    assert closings == [await sync_to_async(threading.get_ident)()]


@pytest.mark.django_db(transaction=True)
async def test_a_query_marks_its_lane_until_it_is_cleaned_up() -> None:
    with enter_lane() as lane:
        await aclose_old_connections()
        unused = lane.database_used
        await sync_to_async(query)()
        used = lane.database_used
        await aclose_old_connections()

        assert (unused, used, lane.database_used) == (False, True, False)


class Looker(AsyncConsumer):
    """Uses the database or not."""

    async def look(self, event: dict[str, Any]) -> None:
        await sync_to_async(query)()

    async def idle(self, event: dict[str, Any]) -> None:
        pass


@pytest.mark.django_db(transaction=True)
async def test_an_event_that_used_no_database_costs_no_clean_up(closings: list[int]) -> None:
    consumer = Looker()
    with enter_lane() as consumer._lane:
        await aclose_old_connections()
        consumer._lane.database_open = False
        closings.clear()
        for _ in range(3):
            await consumer.dispatch({"type": "idle"})

        assert closings == []


@pytest.mark.django_db(transaction=True)
async def test_an_event_that_used_the_database_is_cleaned_up_once(closings: list[int]) -> None:
    consumer = Looker()
    with enter_lane() as consumer._lane:
        await aclose_old_connections()
        consumer._lane.database_open = False
        closings.clear()
        await consumer.dispatch({"type": "look"})
        thread = await sync_to_async(threading.get_ident)()

        assert closings == [thread]


async def test_a_connection_left_open_is_looked_at_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with enter_lane() as lane:
        lane.database_used, lane.database_open, lane.cleaned_at = False, True, 100.0
        monkeypatch.setattr(db, "time", SimpleNamespace(monotonic=lambda: 100.5))
        soon = needs_clean_up(lane)
        monkeypatch.setattr(db, "time", SimpleNamespace(monotonic=lambda: 101.5))

        assert (soon, needs_clean_up(lane)) == (False, True)

"""Lanes: which thread sync code runs in, and how many there are."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.test import override_settings

from channels.lanes import SHARED, Lane, current_lane, enter_lane


async def thread_of_connection(entered: asyncio.Event, leave: asyncio.Event) -> int:
    with enter_lane():
        entered.set()
        thread = await sync_to_async(threading.get_ident)()
        await leave.wait()
        return thread


@override_settings(CHANNELS={"SYNC_THREADS": 2})
async def test_there_are_never_more_threads_than_allowed() -> None:
    leave = asyncio.Event()
    tasks = []
    for _ in range(6):
        entered = asyncio.Event()
        tasks.append(asyncio.create_task(thread_of_connection(entered, leave)))
        await entered.wait()
    leave.set()

    threads = await asyncio.gather(*tasks)

    assert len(set(threads)) == 2
    assert sorted(threads.count(thread) for thread in set(threads)) == [3, 3]


async def test_a_connection_keeps_its_thread() -> None:
    with enter_lane() as lane:
        threads = {await sync_to_async(threading.get_ident)() for _ in range(5)}
        seen = await sync_to_async(current_lane)()

    assert len(threads) == 1
    assert seen is lane
    assert lane.connections == 0


async def test_a_lane_that_is_free_again_is_used_before_a_new_one() -> None:
    with enter_lane() as first:
        pass
    with enter_lane() as second:
        pass

    assert first is second


async def test_a_block_inside_another_keeps_its_lane() -> None:
    with enter_lane() as outer, enter_lane() as inner:
        connections = inner.connections

    assert inner is outer
    assert connections == 1


def test_a_waiting_sync_caller_keeps_its_own_thread() -> None:
    async def inside() -> tuple[bool, int]:
        with enter_lane() as lane:
            return lane is SHARED, await sync_to_async(threading.get_ident)()

    is_shared, thread = async_to_sync(inside)()

    assert is_shared
    assert thread == threading.get_ident()


def test_a_task_below_a_waiting_sync_caller_keeps_its_thread_too() -> None:
    async def connection() -> int:
        with enter_lane():
            return await sync_to_async(threading.get_ident)()

    async def inside() -> int:
        return await asyncio.create_task(connection())

    assert async_to_sync(inside)() == threading.get_ident()


async def test_a_thread_sensitive_context_that_is_set_already_is_kept() -> None:
    async with ThreadSensitiveContext():
        outside = await sync_to_async(threading.get_ident)()
        with enter_lane() as lane:
            inside = await sync_to_async(threading.get_ident)()

    assert lane is SHARED
    assert inside == outside


def test_a_thread_that_is_no_lane_counts_as_shared() -> None:
    assert current_lane() is SHARED


async def test_a_sync_caller_on_the_same_event_loop_keeps_its_thread_whoever_came_before() -> None:
    def call() -> tuple[Lane, int, int]:
        return *async_to_sync(inside)(), threading.get_ident()

    async def inside() -> tuple[Lane, int]:
        with enter_lane() as lane:
            return lane, await sync_to_async(threading.get_ident)()

    before, _ = await inside()
    lane, thread, caller = await sync_to_async(call)()
    after, _ = await inside()

    assert SHARED not in (before, after)
    assert (lane, thread) == (SHARED, caller)


async def test_what_another_thread_finds_in_the_caller_s_context_says_nothing_here() -> None:
    def enter() -> Lane:
        with enter_lane() as lane:
            return lane

    async def enter_elsewhere() -> Lane:
        return enter()

    async def inside() -> Lane:
        context = copy_context()
        await asyncio.to_thread(context.run, asyncio.run, enter_elsewhere())
        return enter()

    assert await sync_to_async(async_to_sync(inside))() is SHARED

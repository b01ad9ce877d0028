"""The event loop of code that has none."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from channels import background


async def _where() -> tuple[str, asyncio.AbstractEventLoop]:
    return threading.current_thread().name, asyncio.get_running_loop()


def test_all_work_is_done_in_one_thread() -> None:
    name, loop = background.run(_where, instead="await it")

    assert name == "channels"
    assert background.run(_where, instead="await it") == (name, loop)
    assert background.owns(loop)


def test_what_goes_wrong_is_raised_to_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("nobody")

    with pytest.raises(LookupError, match="nobody"):
        background.run(fail, instead="await it")


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
def test_who_ends_the_program_ends_it_in_the_caller_s_thread(ending: type[BaseException]) -> None:
    async def end() -> None:
        raise ending

    with pytest.raises(ending):
        background.run(end, instead="await it")

    assert background.run(_where, instead="await it")[0] == "channels"


async def test_an_event_loop_is_not_blocked_unless_it_says_so() -> None:
    with pytest.raises(SynchronousOnlyOperation, match="block the event loop; await it instead"):
        background.run(_where, instead="await it")

    name, _ = background.run_blocking(_where)
    assert name == "channels"
    assert not background.owns(asyncio.get_running_loop())


async def test_sync_code_below_it_does_not_wait_for_the_caller_s_thread() -> None:
    async def work() -> str:
        return await sync_to_async(lambda: threading.current_thread().name)()

    def call() -> tuple[str, str]:
        return threading.current_thread().name, background.run(work, instead="await it")

    async with ThreadSensitiveContext():
        caller, worker = await asyncio.wait_for(sync_to_async(call)(), 10)
    assert worker not in (caller, "channels")

    # Below a sync caller that waits, too.
    waiting = sync_to_async(lambda: async_to_sync(sync_to_async(call))())
    caller, worker = await asyncio.wait_for(waiting(), 10)
    assert worker not in (caller, "channels")


def test_a_thread_that_cannot_start_is_said_so_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    fresh = background._Thread()
    monkeypatch.setattr(threading.Thread, "start", fail)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            fresh.loop()


def test_a_child_process_has_a_thread_of_its_own() -> None:
    background.run(_where, instead="await it")

    child = os.fork()
    if child == 0:
        os._exit(0 if background.run(_where, instead="await it")[0] == "channels" else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert background.run(_where, instead="await it")[0] == "channels"

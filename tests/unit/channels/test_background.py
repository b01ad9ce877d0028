"""The event loop of code that has none."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
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


async def test_an_event_loop_is_not_blocked_unless_it_says_so() -> None:
    with pytest.raises(SynchronousOnlyOperation, match="block the event loop; await it instead"):
        background.run(_where, instead="await it")

    name, _ = background.run_blocking(_where)
    assert name == "channels"
    assert not background.owns(asyncio.get_running_loop())


def test_a_child_process_has_a_thread_of_its_own() -> None:
    background.run(_where, instead="await it")

    child = os.fork()
    if child == 0:
        os._exit(0 if background.run(_where, instead="await it")[0] == "channels" else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

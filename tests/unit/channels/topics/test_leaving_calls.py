"""A call that has begun when its client leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import override_settings

from channels.topics import Topic, adisconnect_user, call
from channels.topics.site import here
from tests.slow import SLOW
from tests.unit.channels.topics.conftest import Client

pytestmark = pytest.mark.usefixtures("fresh_layer")


class State:
    """What has become of the calls, and what lets them go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.going_on = asyncio.Event()
        self.released = threading.Event()
        self.ended: list[str] = []


@pytest.fixture
def state() -> State:
    state = State()

    class Slow(Topic, pattern="slow"):
        state: ClassVar[State]

        def authorize(self) -> bool:
            return True

        @call
        async def say(self, text: str) -> None:
            self.state.begun.set()
            try:
                await self.state.going_on.wait()
                self.state.ended.append(text)
            except asyncio.CancelledError:
                self.state.ended.append("cancelled")
                raise

        @call
        def sleep(self, text: str) -> None:
            self.state.begun.set()
            self.state.released.wait(10)
            self.state.ended.append(text)

    Slow.state = state
    return state


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(5 * SLOW):
        while not is_so():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def begin(client: Any, state: State, name: str = "say") -> None:
    await client.subscribe("slow")
    await client.send(type="call", id=10, topic="slow", name=name, data={"text": "1"})
    await until(state.begun.is_set)


async def leave(client: Any) -> None:
    await client.socket.send_input({"type": "websocket.disconnect", "code": 1001})
    await until(lambda: not here().connections)


async def test_a_call_that_runs_goes_on_and_those_behind_it_are_dropped(
    join: Any, state: State
) -> None:
    client = await join()
    await begin(client, state)
    await client.send(type="call", id=11, topic="slow", name="say", data={"text": "2"})

    await leave(client)
    state.going_on.set()
    await client.socket.wait(5 * SLOW)

    assert state.ended == ["1"]


async def test_a_call_that_runs_is_cancelled_after_the_grace_and_named_in_the_log(
    join: Any, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    client = await join()
    await begin(client, state)

    with override_settings(CHANNELS={"DISCONNECT_GRACE": 0.02}):
        await client.socket.disconnect()

    assert state.ended == ["cancelled"]
    assert "Slow.say still runs 0.02 s after its client has left; it waits in" in caplog.text
    assert f"say at {__file__}" in caplog.text
    assert "and is cancelled" in caplog.text


async def test_a_call_that_runs_is_left_to_its_thread_after_the_grace_if_it_is_a_plain_function(
    join: Any, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    client = await join()
    await begin(client, state, "sleep")

    with override_settings(CHANNELS={"DISCONNECT_GRACE": 0.02}):
        await leave(client)
        await until(lambda: caplog.text)
    state.released.set()
    await client.socket.wait(5 * SLOW)
    await until(lambda: state.ended == ["1"])

    assert "Slow.sleep still runs 0.02 s after its client has left; it waits in" in caplog.text
    assert f"sleep at {__file__}" in caplog.text
    assert "and is left to its thread" in caplog.text


async def test_a_call_that_runs_is_cancelled_at_once_if_its_user_is_signed_out(
    join: Any, state: State, ann: Any
) -> None:
    client = await join(ann)
    await begin(client, state)

    await adisconnect_user(ann)
    goodbye = await client.receive()

    assert goodbye["code"] == "signed_out"
    assert state.ended == ["cancelled"]


async def test_a_call_that_runs_goes_on_when_the_server_asks_its_client_to_come_back(
    join: Any, state: State
) -> None:
    client = await join()
    await begin(client, state)
    (session,) = here().connections.values()

    session.end_for_restart()  # type: ignore[attr-defined]
    goodbye = await client.receive()
    state.going_on.set()
    await client.socket.disconnect()

    assert goodbye["code"] == "restart"
    assert state.ended == ["1"]


async def test_a_call_that_runs_is_cancelled_with_the_task_of_its_connection(state: State) -> None:
    client = Client()
    await client.connect()
    await begin(client, state)

    await leave(client)
    client.socket.future.cancel()
    await asyncio.wait([client.socket.future])
    await until(lambda: state.ended)

    assert state.ended == ["cancelled"]

"""What middleware shares: a scope of its own, and refusing a handshake."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable
from typing import Any

import asgiref.sync
import pytest

from channels.middleware import BaseMiddleware, deny, deny_with, hands_over
from channels.routing import URLRouter
from channels.typing import Receive, Scope, Send


async def receive() -> dict[str, Any]:
    return {"type": "websocket.connect"}


async def send(event: dict[str, Any]) -> None:
    """Take the event."""


async def test_what_is_inside_changes_a_scope_of_its_own() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> Scope:
        scope["added"] = 1
        return scope

    scope = {"type": "websocket", "state": {}}
    seen = await BaseMiddleware(inner)(scope, receive, send)

    assert seen["added"] == 1
    assert seen["state"] is scope["state"]
    assert "added" not in scope


async def test_receive_and_send_are_passed_on_untouched() -> None:
    async def inner(*given: Any) -> tuple[Any, ...]:
        return given[1:]

    assert await BaseMiddleware(inner)({}, receive, send) == (receive, send)


async def test_a_subclass_adds_to_a_copy() -> None:
    class Named(BaseMiddleware):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
            return await super().__call__({**scope, "name": "ann"}, receive, send)

    async def inner(scope: Scope, receive: Receive, send: Send) -> Any:
        return scope["name"]

    middleware = Named(inner)

    assert middleware.inner is inner
    assert await middleware({}, receive, send) == "ann"


def test_a_router_stays_visible_through_middleware() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve nothing."""

    assert BaseMiddleware(BaseMiddleware(URLRouter([])))._path_routing is True
    assert BaseMiddleware(inner)._path_routing is False


async def denial(*events: str, **options: Any) -> list[dict[str, Any]]:
    """Refuse a client that sends these events and return what it got."""
    waiting = [{"type": event} for event in events]
    sent: list[dict[str, Any]] = []

    async def next_event() -> dict[str, Any]:
        return waiting.pop(0)

    async def note(event: dict[str, Any]) -> None:
        sent.append(event)

    await deny(next_event, note, **options)
    assert not waiting
    return sent


async def test_denying_closes_once_and_waits_for_the_disconnect() -> None:
    sent = await denial("websocket.connect", "websocket.receive", "websocket.disconnect")

    assert sent == [{"type": "websocket.close"}]


async def test_denying_says_code_and_reason_where_given() -> None:
    sent = await denial(
        "websocket.connect", "websocket.disconnect", code=1008, reason="another site"
    )

    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "another site"}]


async def test_a_client_that_has_left_already_is_sent_nothing() -> None:
    assert await denial("websocket.disconnect") == []


async def test_an_answer_of_several_events_is_given_once() -> None:
    waiting = ["websocket.connect", "websocket.receive", "websocket.disconnect"]
    sent: list[dict[str, Any]] = []

    async def next_event() -> dict[str, Any]:
        return {"type": waiting.pop(0)}

    async def note(event: dict[str, Any]) -> None:
        sent.append(event)

    answer = [{"type": "websocket.http.response.start"}, {"type": "websocket.http.response.body"}]
    await deny_with(tuple(answer), next_event, note)

    assert sent == answer
    assert waiting == []


# Handing over


class Passing:
    """Hands over to ``inner``, unless the scope has an error."""

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass it on."""
        if "error" in scope:
            raise scope["error"]
        return inner(scope, receive, send)


async def inner(scope: Scope, receive: Receive, send: Send) -> tuple[Any, ...]:
    return scope, receive, send


async def test_who_hands_over_passes_for_a_coroutine_function() -> None:
    # Django, asgiref, uvicorn and hypercorn ask one or the other.
    for asks in (inspect, asyncio, asgiref.sync):
        assert asks.iscoroutinefunction(Passing().__call__)  # type: ignore[attr-defined]
    assert Passing.__call__.__doc__ == "Pass it on."


async def test_who_hands_over_passes_everything_on_also_by_name() -> None:
    assert await Passing()({}, receive, send) == ({}, receive, send)
    assert await Passing()(scope={}, receive=receive, send=send) == ({}, receive, send)


async def test_nothing_is_left_of_who_has_handed_over() -> None:
    outcome: Any = Passing()({}, receive, send)

    # Before Python 3.12 a plain function cannot be marked.
    left = inner if sys.version_info >= (3, 12) else Passing.__call__
    assert outcome.cr_code is left.__code__
    await outcome


async def test_an_error_of_who_hands_over_is_raised_to_whoever_awaits() -> None:
    # Daphne looks at the outcome alone.
    outcome = Passing()({"error": LookupError("no route")}, receive, send)

    with pytest.raises(LookupError, match="no route"):
        await outcome


def test_a_call_that_does_not_fit_is_refused_at_once() -> None:
    # So uvicorn finds out whether it has an application or a factory of one.
    with pytest.raises(TypeError, match="missing 3 required positional arguments"):
        Passing()()  # type: ignore[call-arg]

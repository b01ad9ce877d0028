"""What middleware shares: a scope of its own, and refusing a handshake."""

from __future__ import annotations

from typing import Any

from channels.middleware import BaseMiddleware, deny
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

"""The one event that every member of a group shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from channels._core.broadcast import MOST_JOINED, Broadcast, copies_of, is_broadcast, join

LINE = {"type": "websocket.send", "text": "hello"}


def test_every_receiver_of_a_frame_gets_the_same_object() -> None:
    copies = copies_of(LINE)

    assert copies() is copies()
    assert copies() == LINE


def test_receivers_of_another_message_share_nothing() -> None:
    copies = copies_of({"type": "chat.line", "seen": []})

    assert copies() is not copies()


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close"])
def test_frames_and_closes_are_broadcasts(kind: str) -> None:
    assert is_broadcast({"type": kind})


@pytest.mark.parametrize("kind", ["websocket.accept", "chat.line", None, ["websocket.send"]])
def test_other_types_are_none(kind: Any) -> None:
    assert not is_broadcast({"type": kind})


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.__setitem__("text", "mine"),
        lambda event: event.__delitem__("text"),
        lambda event: event.update(text="mine"),
        lambda event: event.pop("text"),
        lambda event: event.popitem(),
        lambda event: event.clear(),
        lambda event: event.setdefault("bytes", b""),
        lambda event: event.__ior__({"text": "mine"}),
    ],
)
def test_nobody_can_change_what_all_share(change: Callable[[Broadcast], Any]) -> None:
    event = Broadcast(LINE)

    with pytest.raises(TypeError, match=r"goes to a whole group and must not change; copy it"):
        change(event)
    assert event == LINE


def test_the_event_holds_only_what_asgi_knows() -> None:
    event = Broadcast(LINE | {"key": "price", "sender": {"name": "ann"}})

    assert event == LINE
    assert event.key == "price"
    assert json.loads(json.dumps(event)) == LINE


def test_a_handler_gets_all_that_was_sent_as_its_own_copy() -> None:
    sender = {"name": "ann"}
    event = Broadcast(LINE | {"sender": sender})
    sender["name"] = "changed after sending"

    one, other = event.message(), event.message()
    one["sender"]["name"] = "changed by a handler"

    assert other == LINE | {"sender": {"name": "ann"}}


def test_a_close_keeps_its_code_and_reason() -> None:
    event = Broadcast({"type": "websocket.close", "code": 4000, "reason": "over", "by": "ann"})

    assert event == {"type": "websocket.close", "code": 4000, "reason": "over"}


@pytest.mark.parametrize(
    ("payload", "error", "text"),
    [
        ({}, ValueError, "expected either 'text' or 'bytes', got neither"),
        ({"text": None, "bytes": None}, ValueError, "got neither"),
        ({"text": "a", "bytes": b"a"}, ValueError, "got both"),
        ({"text": b"a"}, TypeError, "'text' of a message .* must be str, not bytes"),
        ({"bytes": "a"}, TypeError, "'bytes' of a message .* must be bytes, not str"),
        ({"text": "\ud800"}, ValueError, "surrogates not allowed"),
        ({"text": "a", "key": ["k"]}, TypeError, "'key' .* must be hashable, such as a str, not l"),
    ],
)
def test_a_frame_that_could_not_be_sent_is_refused(
    payload: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        copies_of({"type": "websocket.send", **payload})


def test_short_frames_are_joined_in_their_order_and_long_ones_are_not() -> None:
    parts = [
        Broadcast({"type": "websocket.send", "text": "one"}),
        Broadcast({"type": "websocket.send", "bytes": b"two"}),
        Broadcast({"type": "websocket.send", "text": "x" * (MOST_JOINED - 6)}),
    ]

    joined = join(parts)

    assert joined is not None
    assert joined.parts == tuple(parts)
    assert join([*parts, Broadcast({"type": "websocket.send", "text": "x"})]) is None


@pytest.mark.parametrize("payload", [{"text": ""}, {"bytes": b""}, {"text": "a", "bytes": None}])
def test_an_empty_payload_is_one(payload: dict[str, Any]) -> None:
    assert copies_of({"type": "websocket.send", **payload})()["type"] == "websocket.send"

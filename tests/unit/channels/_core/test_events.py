"""The exact events a consumer sends, and what it reads out of those it gets."""

from __future__ import annotations

import array
from typing import Any

import pytest

from channels._core import events


@pytest.mark.parametrize(
    ("subprotocol", "headers", "event"),
    [
        (None, None, {"type": "websocket.accept", "subprotocol": None}),
        ("v1", [], {"type": "websocket.accept", "subprotocol": "v1"}),
        (
            None,
            ((b"a", b"b"), [b"c", b"d"]),
            {
                "type": "websocket.accept",
                "subprotocol": None,
                "headers": [(b"a", b"b"), [b"c", b"d"]],
            },
        ),
    ],
)
def test_accept_always_names_the_subprotocol_and_headers_only_if_there_are_some(
    subprotocol: str | None, headers: Any, event: dict[str, Any]
) -> None:
    assert events.accept_event(subprotocol, headers) == event


@pytest.mark.parametrize(
    ("text", "data", "payload"),
    [
        ("x", None, {"text": "x"}),
        ("", None, {"text": ""}),
        (None, b"x", {"bytes": b"x"}),
        (None, b"", {"bytes": b""}),
        (None, bytearray(b"x"), {"bytes": b"x"}),
        (None, memoryview(b"x"), {"bytes": b"x"}),
        ("x", b"y", {"text": "x"}),
    ],
)
def test_send_has_one_payload_and_text_wins(
    text: str | None, data: Any, payload: dict[str, Any]
) -> None:
    assert events.send_event(text, data) == {"type": "websocket.send", **payload}


@pytest.mark.parametrize(
    ("text", "data", "error", "message"),
    [
        (None, None, ValueError, "nothing to send: give text_data or bytes_data"),
        (b"x", None, TypeError, "text_data must be str, not bytes"),
        ({"a": 1}, None, TypeError, "text_data must be str, not dict"),
        (None, "x", TypeError, "bytes_data must be bytes, not str"),
        (None, 7, TypeError, "bytes_data must be bytes, not int"),
    ],
)
def test_a_payload_of_the_wrong_type_is_named(
    text: Any, data: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        events.send_event(text, data)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("code", "reason", "extra"),
    [
        (None, None, {}),
        (True, None, {}),
        (False, None, {}),
        (0, None, {"code": 0}),
        (4001, None, {"code": 4001}),
        (4001, "", {"code": 4001}),
        (None, "bye", {"reason": "bye"}),
        (1000, "bye", {"code": 1000, "reason": "bye"}),
    ],
)
def test_close_leaves_out_what_was_not_given(
    code: int | bool | None, reason: str | None, extra: dict[str, Any]
) -> None:
    assert events.close_event(code, reason) == {"type": "websocket.close", **extra}


@pytest.mark.parametrize(
    ("event", "keyword"),
    [
        ({"text": "x"}, {"text_data": "x"}),
        ({"text": ""}, {"text_data": ""}),
        ({"text": "x", "bytes": None}, {"text_data": "x"}),
        ({"bytes": b"x"}, {"bytes_data": b"x"}),
        ({"bytes": b"", "text": None}, {"bytes_data": b""}),
    ],
)
def test_a_received_frame_gives_one_keyword(event: dict[str, Any], keyword: dict[str, Any]) -> None:
    assert events.frame_payload(event) == keyword


def test_a_received_frame_without_a_payload_key_is_an_error() -> None:
    with pytest.raises(KeyError, match="bytes"):
        events.frame_payload({"type": "websocket.receive", "text": None})


def test_a_disconnect_without_a_code_means_1005() -> None:
    assert events.disconnect_code({"type": "websocket.disconnect", "code": 1001}) == 1001
    assert events.disconnect_code({"type": "websocket.disconnect"}) == 1005
    assert events.disconnect_code({"type": "websocket.disconnect", "code": None}) == 1005


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_a_server_without_the_extension_gets_a_plain_refusal(scope: dict[str, Any]) -> None:
    assert events.denial_events(scope, 401, b"no", headers=None) == [{"type": "websocket.close"}]


@pytest.mark.parametrize(
    ("headers", "sent"), [(None, []), ([[b"a", b"b"]], [(b"a", b"b")]), (((b"a", b"b"),), None)]
)
def test_a_server_with_the_extension_gets_a_whole_response(headers: Any, sent: Any) -> None:
    scope: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}

    start, body = events.denial_events(scope, 401, b"no", headers=headers)

    assert start == {
        "type": "websocket.http.response.start",
        "status": 401,
        "headers": [(b"a", b"b")] if sent is None else sent,
    }
    assert body == {"type": "websocket.http.response.body", "body": b"no", "more_body": False}


def test_a_buffer_is_sent_as_it_was_when_it_was_given() -> None:
    buffer = bytearray(b"hello")

    event = events.send_event(None, buffer)
    buffer[:] = b"other"

    assert event["bytes"] == b"hello"


def test_a_view_of_wider_items_is_sent_as_the_bytes_it_views() -> None:
    numbers = array.array("H", [1, 2, 3])

    event = events.send_event(None, memoryview(numbers))

    assert event["bytes"] == numbers.tobytes()
    assert len(event["bytes"]) == 6

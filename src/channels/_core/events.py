"""Builders for the ASGI events a consumer sends, and readers for those it gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from channels.typing import Event


def accept_event(subprotocol: str | None, headers: Iterable[Any] | None) -> Event:
    """Build ``websocket.accept``; the header items are passed on untouched."""
    event: Event = {"type": "websocket.accept", "subprotocol": subprotocol}
    if headers:
        event["headers"] = list(headers)
    return event


def send_event(text: str | None, data: bytes | None) -> Event:
    """Build ``websocket.send`` with one payload; text wins when both are given.

    Raises:
        ValueError: Neither is given.
        TypeError: The payload is not a ``str`` or bytes.
    """
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f"text_data must be str, not {type(text).__name__}")
        return {"type": "websocket.send", "text": text}
    if data is None:
        raise ValueError("nothing to send: give text_data or bytes_data")
    if not isinstance(data, bytes):
        if not isinstance(data, bytearray | memoryview):
            raise TypeError(f"bytes_data must be bytes, not {type(data).__name__}")
        # It may change before it is sent, and items may be wider than a byte.
        data = bytes(data)
    return {"type": "websocket.send", "bytes": data}


def close_event(code: int | bool | None, reason: str | None) -> Event:
    """Build ``websocket.close``; a bool or ``None`` means "no code"."""
    event: Event = {"type": "websocket.close"}
    if code is not None and not isinstance(code, bool):
        event["code"] = code
    if reason:
        event["reason"] = reason
    return event


def frame_payload(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of ``websocket.receive`` as the one keyword for ``receive``.

    Servers may send both keys with ``None`` in one of them (ASGI 3.0, websocket.receive).

    Raises:
        KeyError: There is no payload key at all.
    """
    if event.get("text") is not None:
        return {"text_data": event["text"]}
    return {"bytes_data": event["bytes"]}


def disconnect_code(event: Mapping[str, Any]) -> int:
    """Return the close code of ``websocket.disconnect``; 1005 means "none given".

    Some servers say ``None`` where the peer gave no code.
    """
    code: int | None = event.get("code")
    return 1005 if code is None else code


def denial_events(
    scope: Mapping[str, Any], status: int, body: bytes, *, headers: Iterable[Any] | None
) -> list[Event]:
    """Build the events that refuse a handshake with an HTTP response.

    Servers without the extension ``websocket.http.response`` get a plain ``websocket.close``.
    """
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        return [close_event(None, None)]
    return [
        {
            "type": "websocket.http.response.start",
            "status": status,
            "headers": [(name, value) for name, value in headers or ()],
        },
        {"type": "websocket.http.response.body", "body": body, "more_body": False},
    ]

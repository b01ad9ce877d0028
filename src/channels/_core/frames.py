"""Reading JSON out of a text frame."""

from __future__ import annotations

import json
from typing import Any

from channels.exceptions import InvalidFrameError, MalformedJSONError


def parse_json(text: str) -> Any:
    """Decode JSON text.

    Raises:
        MalformedJSONError: It is not JSON; this is a ``json.JSONDecodeError``.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedJSONError(
            f"expected a JSON text frame: {error.msg}", error.doc, error.pos
        ) from error
    except RecursionError:
        raise MalformedJSONError(
            "expected a JSON text frame: it is nested too deep", text, 0
        ) from None


def require_text(text: str | None, data: bytes | None) -> str:
    """Return ``text`` if there is some.

    Raises:
        InvalidFrameError: The frame is empty or binary; this is a ``ValueError``.
    """
    if text:
        return text
    got = "an empty frame" if data is None else f"a binary frame of {len(data)} bytes"
    raise InvalidFrameError(f"expected a text frame with JSON, got {got}")

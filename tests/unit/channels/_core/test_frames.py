"""Reading JSON out of a text frame, and what a person sees when there is none."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels._core.frames import parse_json, require_text
from channels.exceptions import InvalidFrameError, MalformedJSONError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_was_encoded_comes_back(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text())
def test_any_text_gives_a_value_or_the_documented_error(text: str) -> None:
    with contextlib.suppress(MalformedJSONError):
        parse_json(text)


@pytest.mark.parametrize(("text", "position"), [("hello", 0), ("{", 1), ('{"a": }', 6)])
def test_a_frame_that_is_not_json_says_so_and_where(text: str, position: int) -> None:
    with pytest.raises(MalformedJSONError, match=r"^expected a JSON text frame: ") as caught:
        parse_json(text)

    assert caught.value.pos == position
    assert isinstance(caught.value, json.JSONDecodeError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.close_code == 1007


def test_json_nested_too_deep_is_an_error_about_the_frame() -> None:
    depth = 100 * sys.getrecursionlimit()

    with pytest.raises(MalformedJSONError, match="it is nested too deep"):
        parse_json("[" * depth + "]" * depth)


def test_text_is_passed_on() -> None:
    assert require_text("[]", None) == "[]"
    assert require_text("[]", b"ignored") == "[]"


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ("", None, "expected a text frame with JSON, got an empty frame"),
        (None, None, "expected a text frame with JSON, got an empty frame"),
        (None, b"{}", "expected a text frame with JSON, got a binary frame of 2 bytes"),
        (None, b"", "expected a text frame with JSON, got a binary frame of 0 bytes"),
    ],
)
def test_a_frame_without_text_is_named(text: str | None, data: bytes | None, message: str) -> None:
    with pytest.raises(InvalidFrameError) as caught:
        require_text(text, data)

    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)
    assert caught.value.close_code == 1003

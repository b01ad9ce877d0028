"""Patterns of topic names."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.topics.pattern import Pattern


@pytest.mark.parametrize(
    ("pattern", "topic", "parts"),
    [
        ("lobby", "lobby", {}),
        ("room.<int:pk>", "room.7", {"pk": 7}),
        ("room.<pk>.<slug:part>", "room.a-b.c_d", {"pk": "a-b", "part": "c_d"}),
        ("order.<uuid:id>", f"order.{uuid.UUID(int=5)}", {"id": uuid.UUID(int=5)}),
    ],
)
def test_a_name_gives_the_parts_and_the_parts_the_name(
    pattern: str, topic: str, parts: dict[str, Any]
) -> None:
    assert Pattern(pattern).match(topic) == parts
    assert Pattern(pattern).name(**parts) == topic


@pytest.mark.parametrize(
    "topic", ["room", "room.", "room.x", "room.7.8", "aroom.7", "room.7\n", ""]
)
def test_another_name_is_none(topic: str) -> None:
    assert Pattern("room.<int:pk>").match(topic) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("room/<int:pk>", "'room/<int:pk>' is no pattern of topics: expected letters, digits"),
        ("room.<int:pk", "is no pattern of topics"),
        ("room.<number:pk>", "no path converter 'number'; expected one of: int, path, slug, str"),
        ("room.<int:pk>.<int:pk>", "'room.<int:pk>.<int:pk>' has two parts 'pk'"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Pattern(text)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match=r"takes \['pk'\], got \['id'\]"):
        Pattern("room.<int:pk>").name(id=7)
    with pytest.raises(ValueError, match=r"'room\.a\.b' is no name for 'room\.<name>'"):
        Pattern("room.<name>").name(name="a.b")
    with pytest.raises(ValueError, match="is no name for"):
        Pattern("room.<name>").name(name="x" * 99)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,50}", fullmatch=True))
def test_any_part_without_a_dot_comes_back(part: str) -> None:
    pattern = Pattern("a.<part>.z")

    assert pattern.match(pattern.name(part=part)) == {"part": part}

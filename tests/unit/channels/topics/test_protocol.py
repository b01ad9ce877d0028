"""Frames of the topics protocol, against the vectors that every client may read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.history.position import Position, Publication
from channels.presence.state import Change
from channels.topics import protocol
from channels.topics.body import Body
from channels.topics.protocol import FrameError, Subscribe, parse, parse_position

VECTORS = Path(__file__).parents[4] / "protocol" / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return cases


def read(text: str) -> dict[str, Any]:
    """Return what a server reads of a frame, without the defaults it fills in."""
    frame = parse(text)
    if isinstance(frame, Subscribe):
        parse_position(frame)
    fields = msgspec.structs.asdict(frame)
    if "data" in fields:
        fields["data"] = msgspec.json.decode(fields["data"])
    given_members = json.loads(text)
    return {"type": frame.__struct_config__.tag} | {
        name: value for name, value in fields.items() if name in given_members
    }


def refusal_of(text: str) -> FrameError | None:
    try:
        parse(text)
    except FrameError as refusal:
        return refusal
    return None


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in vectors("frames-from-client")]
)
def test_a_frame_from_a_client_is_read_or_refused_as_the_vectors_say(case: dict[str, Any]) -> None:
    if case["valid"]:
        assert read(case["text"]) == case["frame"]
    else:
        with pytest.raises(FrameError) as refusal:
            read(case["text"])
        assert refusal.value.code == case["error"]


@pytest.mark.parametrize("case", vectors("positions"), ids=lambda case: repr(case["text"])[:40])
def test_a_position_is_one_as_the_vectors_say(case: dict[str, Any]) -> None:
    if case["valid"]:
        position = Position.parse(case["text"])
        assert (position.epoch, position.offset) == (case["epoch"], case["offset"])
        assert str(position) == case["text"]
    else:
        with pytest.raises(ValueError, match="expected a position such as 'c9f0a1:42', got"):
            Position.parse(case["text"])


def test_the_vectors_are_not_empty() -> None:
    assert len(vectors("frames-from-client")) > 50
    assert len(vectors("positions")) > 20


BUILT = [
    protocol.publication("t", 7, '{"a":1}'),
    protocol.publication("t", 0, "null"),
    protocol.skipped("t", 7),
    protocol.reply(3, "[1]"),
    protocol.presence("t", Change(4, {"a": '{"name":"A"}'}, ["b"])),
    protocol.error(FrameError("denied", "you may not", id=3, topic="t")),
    protocol.error(FrameError("invalid_frame", "what?")),
    protocol.subscribed(
        1,
        "t",
        [protocol.item(Publication(6, Body("5").pack()), "me")],
        position=Position("e", 6),
        recovered=True,
        presence=protocol.members(2, {"a": "{}"}),
    ),
    protocol.subscribed(1, "t", [], position=Position("e", 6), gap="trimmed"),
    protocol.subscribed(1, "t", []),
]


def shape(value: Any) -> Any:
    """Return a frame with its values as types."""
    if isinstance(value, dict):
        return {key: type(each).__name__ for key, each in value.items()}
    return type(value).__name__


@pytest.mark.parametrize("text", BUILT)
def test_what_is_built_has_the_members_of_a_frame_in_the_vectors(text: str) -> None:
    built = json.loads(text)
    same = [case["frame"] for case in vectors("frames-from-server")]

    known = {key for frame in same if frame["type"] == built["type"] for key in frame}

    assert set(built) <= known


def test_a_client_that_is_excluded_gets_an_offset_without_data() -> None:
    publication = Publication(6, Body('"secret"', exclude="me").pack())

    mine = protocol.item(publication, "me"), protocol.one("t", publication, "me")
    others = protocol.item(publication, "you"), protocol.one("t", publication, "you")

    assert [json.loads(text) for text in mine] == [
        {"offset": 6, "skipped": True},
        {"type": "publication", "topic": "t", "offset": 6, "skipped": True},
    ]
    assert all(json.loads(text)["data"] == "secret" for text in others)


def test_a_refusal_keeps_the_id_and_the_topic_where_they_can_be_read() -> None:
    with pytest.raises(FrameError) as refusal:
        parse('{"type":"subscribe","id":7,"topic":"room.1","recent":-1}')

    assert (refusal.value.id, refusal.value.topic) == (7, "room.1")
    assert refusal.value.message == "Expected `int` >= 0 - at `$.recent`"


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    refusal = refusal_of(text)

    assert refusal is None or refusal.code == "invalid_frame"
    assert refusal is None or json.loads(protocol.error(refusal))["type"] == "error"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    ["id", "topic", "position", "recent", "name", "data", "timeout", "client"]
)


@given(
    st.sampled_from(["hello", "subscribe", "unsubscribe", "call", "token", "ping"]),
    st.dictionaries(MEMBERS, JSON),
)
def test_any_members_are_read_or_refused(kind: str, members: dict[str, Any]) -> None:
    refusal = refusal_of(json.dumps({"type": kind, **members}))

    assert refusal is None or refusal.code == "invalid_frame"


@given(st.text(), st.text(alphabet="ab-_"), st.text(alphabet="ab").filter(bool))
def test_a_body_comes_out_as_it_went_in(data: str, exclude: str, key: str) -> None:
    body = Body(json.dumps(data), exclude, key)

    assert Body.unpack(body.pack()) == body

"""What a reader of events asks for, and what it has missed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.history.position import Position
from channels.topics.reading import Query, Reading, Verdict, parse_query

POSITION = Position("e", 5)


def frame(kind: str, **members: Any) -> str:
    return json.dumps({"type": kind, "topic": "room.1", **members})


@pytest.fixture
def reading() -> Reading:
    reading = Reading({"room.1": POSITION})
    reading.take(frame("subscribed", id=-1, position="e:5", presence={"version": 7, "members": {}}))
    return reading


# The query


@pytest.mark.parametrize(
    ("query", "last", "expected"),
    [
        (b"topic=a", b"", Query(["a"], {}, None, 0)),
        (b"topic=b&topic=a&topic=b", b"", Query(["b", "a"], {}, None, 0)),
        (b"topic=a&client=me-1&recent=20", b"", Query(["a"], {}, "me-1", 20)),
        (b"topic=a&position=a%3De%253A5", b"", Query(["a"], {"a": POSITION}, None, 0)),
        (b"topic=a&position=a%3De:5%26b%3De:6", b"", Query(["a"], {"a": POSITION}, None, 0)),
        (b"topic=a&position=a%3De:1", b"a=e:5", Query(["a"], {"a": POSITION}, None, 0)),
        (
            b"topic=a&topic=b&position=b%3De:5",
            b"a=e:5",
            Query(["a", "b"], {"a": POSITION, "b": POSITION}, None, 0),
        ),
        (b"topic=%C3%A9.1", b"%C3%A9.1=e%3A5", Query(["é.1"], {"é.1": POSITION}, None, 0)),
        (b"topic=a&position=&unknown=1", b"", Query(["a"], {}, None, 0)),
    ],
)
def test_a_query_says_what_is_asked_for(query: bytes, last: bytes, expected: Query) -> None:
    assert parse_query(query, last) == expected


@pytest.mark.parametrize(
    ("query", "last", "says"),
    [
        (b"", b"", "expected a topic"),
        (b"position=a%3De:5", b"", "expected a topic"),
        (b"topic=a&client=", b"", "client: expected 1 to 64"),
        (b"topic=a&client=a%20b", b"", "client: expected 1 to 64"),
        (b"topic=a&recent=-1", b"", "recent: expected a whole number"),
        (b"topic=a&recent=9007199254740992", b"", "recent: expected a whole number"),
        (b"topic=a&position=a", b"", "position: expected topic=position"),
        (b"topic=a&position=a%3D5", b"", "position: expected topic=position .* got '5'"),
        (b"topic=a", b"a=e:05", "Last-Event-ID: expected topic=position .* got 'e:05'"),
        (b"topic=a", b"a=\xff", "Last-Event-ID: expected everything beyond ASCII"),
        (b"topic=\xc3\xa9", b"", "the query: expected everything beyond ASCII"),
        (b"topic=%ff", b"", "utf-8"),
        (b"topic=a&" * 1001, b"", "fields"),
    ],
)
def test_what_is_wrong_with_a_query_is_said(query: bytes, last: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_query(query, last)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
        st.builds(
            Position,
            st.text("abc0", min_size=1, max_size=9),
            st.integers(min_value=0, max_value=2**53 - 1),
        ),
        min_size=1,
    )
)
def test_an_id_names_the_same_positions_when_it_comes_back(known: dict[str, Position]) -> None:
    event_id = Reading(known).id
    query = "&".join(f"topic={quote(topic)}" for topic in known)

    assert parse_query(query.encode(), event_id.encode()).positions == known


# Frames


def test_the_id_moves_with_each_publication(reading: Reading) -> None:
    ids = []
    for offset in (6, 7):
        assert reading.take(frame("publication", offset=offset, data=[])) is Verdict.NEXT
        ids.append(reading.id)

    assert ids == ["room.1=e:6", "room.1=e:7"]


def test_a_skipped_publication_moves_it_too(reading: Reading) -> None:
    assert reading.take(frame("publication", offset=6, skipped=True)) is Verdict.NEXT
    assert reading.id == "room.1=e:6"


def test_the_answer_to_a_subscription_moves_it(reading: Reading) -> None:
    reading.take('{"type":"subscribed","id":-1,"topic":"a&b","position":"f:1","publications":[]}')
    reading.take('{"type":"subscribed","id":-1,"topic":"volatile","publications":[]}')

    assert dict(parse_qsl(reading.id)) == {"room.1": "e:5", "a&b": "f:1"}


def test_a_gap_moves_it_to_where_the_topic_goes_on(reading: Reading) -> None:
    assert reading.take(frame("gap", position="f:2", reason="epoch")) is Verdict.NEXT
    assert reading.take(frame("publication", offset=3, data=1)) is Verdict.NEXT
    assert reading.id == "room.1=f:3"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (frame("publication", offset=7, data=1), Verdict.HOLE),
        (frame("publication", offset=5, data=1), Verdict.SEEN),
        (frame("publication", data=1), Verdict.NEXT),
        ('{"type":"publication","topic":"other","offset":1,"data":1}', Verdict.HOLE),
        (frame("position", position="e:5", presence=7), Verdict.NEXT),
        (frame("position", position="e:4"), Verdict.NEXT),
        (frame("position", position="e:6"), Verdict.HOLE),
        (frame("position", position="f:5"), Verdict.HOLE),
        (frame("position", position="e:5", presence=8), Verdict.HOLE),
        (frame("presence", version=8, joined={}, left=[]), Verdict.NEXT),
        (frame("presence", version=7, joined={}, left=[]), Verdict.SEEN),
        (frame("presence", version=9, joined={}, left=[]), Verdict.HOLE),
        ('{"type":"presence","topic":"other","version":1}', Verdict.HOLE),
        ('{"type":"ping"}', Verdict.NEXT),
        (frame("error", id=-1, code="denied", message="no"), Verdict.NEXT),
        ('{"type":"hello","version":1,"client":"me"}', Verdict.NEXT),
    ],
)
def test_a_frame_is_next_or_seen_or_behind_a_hole(
    reading: Reading, text: str, verdict: Verdict
) -> None:
    assert reading.take(text) is verdict


def test_what_a_publication_holds_is_not_looked_at(reading: Reading) -> None:
    text = frame("publication", offset=6, data={"type": "gap", "position": "f:1", "presence": "x"})

    assert reading.take(text) is Verdict.NEXT
    assert reading.id == "room.1=e:6"

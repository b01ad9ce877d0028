"""What a broker of topics publishes, as bytes."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.history.position import MAX_OFFSET, Position
from channels_redis import _pushes
from channels_redis._envelope import EnvelopeError, UnknownVersionError
from channels_redis._pushes import Kind, RawChange

EPOCHS = st.text("abcXYZ019", min_size=1, max_size=32)


@given(st.sampled_from(Kind), st.binary(max_size=200))
def test_a_push_comes_back_as_it_was_packed(kind: Kind, rest: bytes) -> None:
    assert _pushes.unpack(kind.head + rest) == (kind, rest)


@given(EPOCHS, st.integers(0, MAX_OFFSET), st.binary(max_size=200))
def test_a_publication_has_its_position_in_front(epoch: str, offset: int, body: bytes) -> None:
    position = Position(epoch, offset)

    assert _pushes.read_publication(f"{position} ".encode() + body) == (position, body)


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_the_documented_error_alone(data: bytes) -> None:
    for read in (_pushes.unpack, _pushes.read_publication, _pushes.read_change):
        with contextlib.suppress(EnvelopeError):
            read(data)


def test_an_unknown_version_is_told_from_foreign_bytes() -> None:
    with pytest.raises(UnknownVersionError) as caught:
        _pushes.unpack(b"\x02p")

    assert caught.value.reason == "version"


@pytest.mark.parametrize("empty", [{}, []])
def test_an_empty_table_of_lua_may_be_a_map_or_a_list(empty: object) -> None:
    change = msgpack.packb([7, empty, empty])

    assert _pushes.read_change(change) == RawChange(7, [], [])


def test_a_change_names_who_has_come_with_what_is_shown_and_who_has_gone() -> None:
    change = msgpack.packb([2**52, [b"ann", b"\xff\x00", "\u00fc", b"{}"], [b"bob"]])

    assert _pushes.read_change(change) == RawChange(
        2**52, [("ann", b"\xff\x00"), ("\u00fc", b"{}")], ["bob"]
    )

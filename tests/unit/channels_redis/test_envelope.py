"""The bytes around a message on its way through Redis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_redis import _envelope
from channels_redis._envelope import Envelope, EnvelopeError, Kind, UnknownVersionError

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=255)


@given(st.sampled_from(Kind), NAMES, st.binary(max_size=500))
def test_an_envelope_comes_back_as_it_was_packed(kind: Kind, name: str, payload: bytes) -> None:
    assert _envelope.unpack(_envelope.pack(kind, name, payload)) == Envelope(kind, name, payload)


@given(st.binary(max_size=300))
def test_foreign_bytes_raise_the_documented_error_alone(data: bytes) -> None:
    try:
        envelope = _envelope.unpack(data)
    except EnvelopeError:
        return
    assert _envelope.pack(*envelope) == data


def test_an_unknown_version_is_told_from_foreign_bytes() -> None:
    newer = b"\x02" + _envelope.pack(Kind.GROUP, "room", b"payload")[1:]

    with pytest.raises(UnknownVersionError, match="envelope of version 2; expected 1") as caught:
        _envelope.unpack(newer)

    assert caught.value.reason == "version"


@pytest.mark.parametrize("length", range(7))
def test_an_envelope_that_is_cut_short_is_refused(length: int) -> None:
    whole = _envelope.pack(Kind.CHANNEL, "name", b"payload")

    with pytest.raises(EnvelopeError, match=r"expected an envelope|ends after") as caught:
        _envelope.unpack(whole[:length])

    assert caught.value.reason == "envelope"


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="envelope of kind 99 with a bad address"):
        _envelope.unpack(b"\x01\x63\x00")

"""Bytes as topics keep them in Redis."""

from __future__ import annotations

import time

import pytest
from cryptography.fernet import InvalidToken
from hypothesis import given
from hypothesis import strategies as st

from channels_redis._sealing import Seal


@given(st.binary(max_size=100), st.text(max_size=100))
def test_without_keys_bytes_stay_as_they_are(data: bytes, text: str) -> None:
    seal = Seal(None)

    assert seal.seal(data) == seal.open(data) == data
    assert seal.seal_marked(text, "topic") == text.encode()
    assert seal.open_marked(text.encode()) == text


@pytest.mark.parametrize("key", ["key", b"key"])
def test_what_was_sealed_is_opened_by_any_key_however_old(
    key: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = Seal([key]).seal(b"body")
    marked = Seal([key]).seal_marked("text", "topic", "ann")
    later = time.time() + 10 * 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)

    rotated = Seal(["new", key])

    assert rotated.open(sealed) == b"body"
    assert rotated.open_marked(marked) == "text"
    assert b"body" not in sealed
    assert b"text" not in marked
    with pytest.raises(InvalidToken):
        Seal(["other"]).open(sealed)


def test_a_mark_tells_texts_and_members_apart_and_nothing_else() -> None:
    seal = Seal(["key"])

    def mark(text: str, *context: str) -> bytes:
        return seal.seal_marked(text, *context)[: seal.significant]

    assert mark("text", "topic", "ann") == mark("text", "topic", "ann")
    others = [
        mark("other", "topic", "ann"),
        mark("text", "topic", "bob"),
        mark("text", "other", "ann"),
        Seal(["other"]).seal_marked("text", "topic", "ann")[: seal.significant],
    ]
    assert len({mark("text", "topic", "ann"), *others}) == 5
    assert Seal(None).significant == -1

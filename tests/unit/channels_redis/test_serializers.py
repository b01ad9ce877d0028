"""Messages as bytes, and back."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import sys
import time
import uuid
from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from django.utils.functional import lazy
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from channels_redis.serializers import (
    BaseMessageSerializer,
    JSONSerializer,
    MsgPackSerializer,
    SerializerDoesNotExist,
    SerializersRegistry,
    registry,
)

PINNED = {"k": [1, None, "\N{LATIN SMALL LETTER E WITH ACUTE}"], "ok": True}
DJANGO_VALUES = st.one_of(
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(width=64),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_json_is_what_the_standard_library_writes() -> None:
    data = JSONSerializer().serialize(PINNED)

    assert data == b'{"k": [1, null, "\\u00e9"], "ok": true}'
    assert JSONSerializer().deserialize(data) == PINNED


def test_msgpack_is_what_every_language_reads() -> None:
    data = MsgPackSerializer().serialize(PINNED)

    assert data == bytes.fromhex("82a16b9301c0a2c3a9a26f6bc3")
    assert MsgPackSerializer().deserialize(data) == PINNED


@given(PLAIN)
def test_plain_values_come_back_from_both(value: Any) -> None:
    for serializer in (JSONSerializer(), MsgPackSerializer()):
        assert repr(serializer.deserialize(serializer.serialize({"v": value}))) == repr(
            {"v": value}
        )


@given(DJANGO_VALUES)
def test_values_of_django_projects_come_back_from_msgpack_as_they_were(value: Any) -> None:
    serializer = MsgPackSerializer()

    received = serializer.deserialize(serializer.serialize({"v": [value]}))["v"][0]

    assert received == value
    assert type(received) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC), "2026-03-01T12:30:00Z"),
        (datetime.date(2026, 3, 1), "2026-03-01"),
        (datetime.timedelta(hours=1), "P0DT01H00M00S"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_of_django_projects_are_text_in_json(value: Any, text: str) -> None:
    assert json.loads(JSONSerializer().serialize([value])) == [text]


@pytest.mark.parametrize("serializer", [JSONSerializer(), MsgPackSerializer()])
def test_a_lazy_or_a_safe_string_comes_back_as_a_string(serializer: Any) -> None:
    values = [lazy(lambda: "later", str)(), mark_safe("<b>")]

    received = serializer.deserialize(serializer.serialize(values))

    assert received == ["later", "<b>"]
    assert {type(each) for each in received} == {str}


@pytest.mark.parametrize(
    ("serializer", "value", "what"),
    [
        (JSONSerializer(), b"bytes", "a message in JSON cannot hold a bytes; expected strings"),
        (JSONSerializer(), object(), "a message in JSON cannot hold a object; expected strings"),
        (MsgPackSerializer(), {1}, "a message in msgpack cannot hold a set; expected strings"),
    ],
)
def test_what_cannot_be_sent_is_named(serializer: Any, value: Any, what: str) -> None:
    with pytest.raises(TypeError, match=what):
        serializer.serialize({"v": value})


def test_an_integer_beyond_64_bits_is_refused_by_msgpack() -> None:
    with pytest.raises(OverflowError):
        MsgPackSerializer().serialize(2**64)


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"bytes", datetime.date(2026, 1, 2)])
def test_a_key_need_not_be_text_over_msgpack(key: object) -> None:
    serializer = MsgPackSerializer()

    assert serializer.deserialize(serializer.serialize({"v": {key: 2}})) == {"v": {key: 2}}


def test_a_tuple_as_a_key_would_be_a_list_and_is_refused_when_it_is_read() -> None:
    with pytest.raises(ValueError, match="unhashable type: 'list'"):
        MsgPackSerializer().deserialize(MsgPackSerializer().serialize({(1, 2): 3}))


@given(st.binary(max_size=60))
def test_foreign_bytes_raise_value_error_alone(data: bytes) -> None:
    for serializer in (JSONSerializer(), MsgPackSerializer()):
        with contextlib.suppress(ValueError):
            serializer.deserialize(data)


@pytest.mark.parametrize("length", range(1, 13))
def test_a_truncated_message_raises_value_error(length: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        MsgPackSerializer().deserialize(MsgPackSerializer().serialize(PINNED)[:length])


def test_an_unknown_extension_passes_as_it_is() -> None:
    import msgpack

    data = msgpack.packb(msgpack.ExtType(99, b"theirs"))

    assert MsgPackSerializer().deserialize(data) == msgpack.ExtType(99, b"theirs")


# The prefix and encryption


@pytest.mark.parametrize(("length", "extra"), [(-1, 0), (0, 0), (1, 1), (12, 12)])
def test_a_random_prefix_is_put_before_the_message_and_taken_off(length: int, extra: int) -> None:
    serializer = MsgPackSerializer(random_prefix_length=length)
    bare = len(MsgPackSerializer().serialize(PINNED))

    first, second = serializer.serialize(PINNED), serializer.serialize(PINNED)

    assert len(first) == bare + extra
    assert serializer.deserialize(first) == PINNED
    assert (first == second) is (length < 2 and first == second)


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    old = MsgPackSerializer(["old"])
    both = MsgPackSerializer(["new", b"old"])
    new = MsgPackSerializer(["new"])

    assert both.deserialize(old.serialize(PINNED)) == PINNED
    assert new.deserialize(both.serialize(PINNED)) == PINNED
    with pytest.raises(InvalidToken):
        old.deserialize(both.serialize(PINNED))


@pytest.mark.parametrize(
    ("expiry", "age", "is_read"), [(5, 14, True), (5, 17, False), (None, 9e6, True)]
)
def test_a_message_older_than_its_expiry_and_ten_seconds_is_refused(
    monkeypatch: pytest.MonkeyPatch, expiry: int | None, age: float, is_read: bool
) -> None:
    serializer = MsgPackSerializer(["key"], expiry=expiry)
    now = time.time()
    monkeypatch.setattr("cryptography.fernet.time.time", lambda: now - age)
    data = serializer.serialize(PINNED)
    monkeypatch.undo()

    if is_read:
        assert serializer.deserialize(data) == PINNED
    else:
        with pytest.raises(InvalidToken):
            serializer.deserialize(data)


@pytest.mark.parametrize("keys", [None, []])
def test_without_keys_nothing_is_encrypted(keys: Any) -> None:
    assert MsgPackSerializer(keys).crypter is None


@pytest.mark.parametrize("keys", ["one key", b"one key"])
def test_one_key_in_place_of_a_list_is_refused(keys: Any) -> None:
    with pytest.raises(ValueError, match="must be a list of possible keys, not one key"):
        MsgPackSerializer(keys)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)

    with pytest.raises(ValueError, match=r'cryptography: pip install "seaway\[encryption\]"'):
        MsgPackSerializer(["key"])


# The registry


class Reversing:
    """Neither derived nor much of a serializer."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def serialize(self, message: Any) -> bytes:
        return json.dumps(message).encode()[::-1]

    def deserialize(self, message: bytes) -> Any:
        return json.loads(message[::-1])


def test_a_class_with_both_methods_can_be_registered_and_replaced() -> None:
    mine = SerializersRegistry()
    mine.register_serializer("mine", MsgPackSerializer)
    mine.register_serializer("mine", Reversing)

    made = mine.get_serializer("mine", symmetric_encryption_keys=None)

    assert isinstance(made, Reversing)
    assert made.options == {"symmetric_encryption_keys": None}


@pytest.mark.parametrize("wrong", [Reversing(), object, "json", None])
def test_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(AssertionError, match="a serializer is a subclass of BaseMessageSerializer"):
        SerializersRegistry().register_serializer("wrong", wrong)


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(
        SerializerDoesNotExist, match="format 'xml'; registered: json, msgpack"
    ) as e:
        registry.get_serializer("xml")

    assert isinstance(e.value, KeyError)


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseMessageSerializer()  # type: ignore[abstract]

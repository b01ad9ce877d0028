"""Messages as bytes: msgpack or JSON, encrypted where keys are given.

What JSON and msgpack know passes as they write it, byte for byte. Beyond that, values that Django
projects send pass too: dates, times, ``timedelta``, ``Decimal``, ``UUID`` and lazy strings. Over
msgpack they come back as what they were, a lazy string as ``str``; over JSON as the strings of
``DjangoJSONEncoder``.
"""

from __future__ import annotations

import abc
import base64
import datetime
import decimal
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import msgpack  # type: ignore[import-untyped]
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import Promise

Key = str | bytes


class SerializerDoesNotExist(KeyError):  # noqa: N818 - a name of the contract
    """No serializer is registered for the format asked for."""


class Serializer(Protocol):
    """What the registry's classes make."""

    def serialize(self, message: Any) -> bytes:
        """Return the bytes of ``message``."""
        ...

    def deserialize(self, message: bytes) -> Any:
        """Return the message of these bytes."""
        ...


class BaseMessageSerializer(abc.ABC):
    """Adds a random prefix and encryption to the bytes of a format.

    Args:
        symmetric_encryption_keys: Encrypt with the first, decrypt with any; none is no encryption.
        random_prefix_length: Random bytes before the message; 0 or less is none.
        expiry: Seconds after which, with 10 more for clocks, an encrypted message is refused.

    Attributes:
        crypter: A ``MultiFernet``, or ``None``.

    Raises:
        ValueError: The keys are not a list, or the package ``cryptography`` is missing.
    """

    def __init__(
        self,
        symmetric_encryption_keys: Sequence[Key] | None = None,
        random_prefix_length: int = 0,
        expiry: int | None = None,
    ) -> None:
        self.random_prefix_length = random_prefix_length
        self.expiry = expiry
        self.crypter: Any = None
        if symmetric_encryption_keys:
            self._setup_encryption(symmetric_encryption_keys)

    @abc.abstractmethod
    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        """Return the bytes of ``message`` in this format."""

    @abc.abstractmethod
    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        """Return the message of these bytes in this format."""

    def serialize(self, message: Any) -> bytes:
        """Return the bytes that are sent for ``message``.

        Raises:
            TypeError: A value has a type that the format does not take.
            OverflowError: An integer needs more than 64 bits (msgpack).
        """
        data = self.as_bytes(message)
        if self.random_prefix_length > 0:
            data = os.urandom(self.random_prefix_length) + data
        if self.crypter is not None:
            data = self.crypter.encrypt(data)
        return data

    def deserialize(self, message: bytes) -> Any:
        """Return the message that ``serialize`` gave these bytes for.

        Raises:
            ValueError: They are of another format, or cut short.
            cryptography.fernet.InvalidToken: No key fits, or the message is too old.
        """
        data = message
        if self.crypter is not None:
            ttl = self.expiry if self.expiry is None else self.expiry + 10
            data = self.crypter.decrypt(data, ttl)
        if self.random_prefix_length > 0:
            data = data[self.random_prefix_length :]
        return self.from_bytes(data)

    def make_fernet(self, key: Key) -> Any:
        """Return a ``Fernet`` for a key of any length."""
        from cryptography.fernet import Fernet

        digest = hashlib.sha256(key.encode() if isinstance(key, str) else key).digest()
        return Fernet(base64.urlsafe_b64encode(digest))

    def _setup_encryption(self, keys: Sequence[Key]) -> None:
        if isinstance(keys, str | bytes):
            raise ValueError(
                "symmetric_encryption_keys must be a list of possible keys, not one key"
            )
        try:
            from cryptography.fernet import MultiFernet
        except ImportError as error:
            raise ValueError(
                "symmetric_encryption_keys needs the package cryptography: "
                'pip install "seaway[encryption]"'
            ) from error
        self.crypter = MultiFernet([self.make_fernet(key) for key in keys])


class JSONSerializer(BaseMessageSerializer):
    """UTF-8 JSON, as ``json.dumps`` writes it. Bytes are refused."""

    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        """Return the JSON of ``message``."""
        return json.dumps(message, *args, default=_for_json, **kwargs).encode("utf-8")

    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        """Return the message of this JSON.

        Raises:
            ValueError: It is none.
        """
        try:
            return json.loads(message, *args, **kwargs)
        except RecursionError as error:
            raise ValueError("JSON is nested too deep") from error


class MsgPackSerializer(BaseMessageSerializer):
    """Msgpack with its type for bytes, and extension types for values that Django projects send."""

    def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
        """Return the msgpack of ``message``."""
        data: bytes = msgpack.packb(message, default=_for_msgpack)
        return data

    def from_bytes(self, message: bytes, *args: Any, **kwargs: Any) -> Any:
        """Return the message of this msgpack.

        Raises:
            ValueError: It is none, is cut short, or has a list or a dict as a key.
        """
        try:
            # Any key that a dict may have, as in memory. msgpack is strict to spare a reader keys
            # that were chosen to collide; what comes here was written by the site's own processes.
            return msgpack.unpackb(message, ext_hook=_from_extension, strict_map_key=False)
        except ValueError:
            raise
        except Exception as error:
            # What msgpack raises for foreign bytes has no base but Exception.
            raise ValueError(f"not a message in msgpack: {error!r}") from error


class SerializersRegistry:
    """Serializer classes by the name of their format."""

    def __init__(self) -> None:
        self._registry: dict[Any, Callable[..., Serializer]] = {}

    def register_serializer(self, format: Any, serializer_class: Any) -> None:
        """Make ``format`` mean ``serializer_class``, in place of what it meant.

        Raises:
            AssertionError: It is not a class, or has not both ``serialize`` and ``deserialize``.
        """
        is_serializer = isinstance(serializer_class, type) and (
            issubclass(serializer_class, BaseMessageSerializer)
            or (hasattr(serializer_class, "serialize") and hasattr(serializer_class, "deserialize"))
        )
        if not is_serializer:
            raise AssertionError(
                "a serializer is a subclass of BaseMessageSerializer or a class with 'serialize' "
                f"and 'deserialize', not {serializer_class!r}"
            )
        self._registry[format] = cast("Callable[..., Serializer]", serializer_class)

    def get_serializer(self, format: Any, *args: Any, **kwargs: Any) -> Serializer:
        """Return a new serializer for ``format``.

        Raises:
            SerializerDoesNotExist: None is registered.
        """
        try:
            serializer_class = self._registry[format]
        except KeyError:
            known = ", ".join(sorted(map(str, self._registry)))
            raise SerializerDoesNotExist(
                f"no serializer for the format {format!r}; registered: {known}"
            ) from None
        return serializer_class(*args, **kwargs)


def _for_json(value: Any) -> Any:
    try:
        return DjangoJSONEncoder().default(value)
    except TypeError:
        raise _unknown(value, "JSON", "strings, numbers, None, lists and dicts") from None


def _for_msgpack(value: Any) -> Any:
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, int):
        raise OverflowError(f"a message in msgpack holds integers of 64 bits, not {value}")
    # A subclass such as datetime comes before its base, date.
    for code, (kind, write, _) in EXTENSIONS.items():
        if isinstance(value, kind):
            return msgpack.ExtType(code, write(value).encode())
    raise _unknown(value, "msgpack", "strings, bytes, numbers, None, lists and dicts")


def _from_extension(code: int, data: bytes) -> Any:
    extension = EXTENSIONS.get(code)
    if extension is None:
        return msgpack.ExtType(code, data)
    return extension[2](data.decode())


def _unknown(value: object, name: str, accepted: str) -> TypeError:
    return TypeError(
        f"a message in {name} cannot hold a {type(value).__name__}; expected {accepted}, dates, "
        "times, Decimal, UUID or lazy strings"
    )


def _write_timedelta(value: datetime.timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _read_timedelta(text: str) -> datetime.timedelta:
    return datetime.timedelta(*map(int, text.split()))


EXTENSIONS: Final[Mapping[int, tuple[type, Callable[[Any], str], Callable[[str], Any]]]] = {
    1: (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    2: (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    3: (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    4: (datetime.timedelta, _write_timedelta, _read_timedelta),
    5: (decimal.Decimal, str, decimal.Decimal),
    6: (uuid.UUID, str, uuid.UUID),
}
"""Codes of msgpack's extension type: the type, and its text there and back."""

registry: SerializersRegistry = SerializersRegistry()
registry.register_serializer("json", JSONSerializer)
registry.register_serializer("msgpack", MsgPackSerializer)

r"""What stands around a message on its way through Redis.

::

    version   1 byte     b"\x01"; a reader skips and counts what it does not know
    kind      1 byte     one of ``Kind``
    length    1 byte     of the name
    name      ASCII      the group or channel that the message is for
    payload   the rest   what the serializer made; for JOIN and LEAVE the channel's name
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, NamedTuple

VERSION: Final = 1
HEADER: Final = 3


class Kind(enum.IntEnum):
    """What a node does with an envelope."""

    GROUP = 1
    """Deliver to the members of the group ``name`` here."""
    CHANNEL = 2
    """Deliver to the channel ``name``."""
    JOIN = 3
    """Put the channel ``payload``, which is one of this node, into the group ``name``."""
    LEAVE = 4
    """Take it out."""
    BELL = 5
    """The normal channel ``name`` has messages."""


class Envelope(NamedTuple):
    """One message with its address."""

    kind: Kind
    name: str
    payload: bytes


class EnvelopeError(ValueError):
    """The bytes are no envelope of ours.

    Attributes:
        reason: For ``telemetry.MessageRejected``.
    """

    reason: ClassVar[str] = "envelope"


class UnknownVersionError(EnvelopeError):
    """The envelope is of a release that this one does not know."""

    reason = "version"


def pack(kind: Kind, name: str, payload: bytes) -> bytes:
    """Return the bytes of an envelope; ``name`` has at most 255 ASCII characters."""
    return bytes((VERSION, kind, len(name))) + name.encode("ascii") + payload


def unpack(data: bytes) -> Envelope:
    """Read an envelope.

    Raises:
        UnknownVersionError: Its first byte is not ``VERSION``.
        EnvelopeError: It is cut short, or of a kind that does not exist.
    """
    if not data:
        raise EnvelopeError("expected an envelope, got no bytes")
    if data[0] != VERSION:
        raise UnknownVersionError(f"envelope of version {data[0]}; expected {VERSION}")
    if len(data) < HEADER or len(data) < (end := HEADER + data[2]):
        raise EnvelopeError(f"envelope ends after {len(data)} bytes, within its address")
    try:
        return Envelope(_KINDS[data[1]], data[HEADER:end].decode("ascii"), data[end:])
    except (KeyError, UnicodeDecodeError) as error:
        raise EnvelopeError(f"envelope of kind {data[1]} with a bad address") from error


_KINDS: Final = {kind.value: kind for kind in Kind}

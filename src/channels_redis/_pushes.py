r"""What a broker publishes to those who listen, as bytes.

::

    version   1 byte     b"\x01"; a reader skips and counts what it does not know
    kind      1 byte     one of ``Kind``
    rest                 PUBLICATION: ``epoch:offset``, a space, the body
                         VOLATILE, SIGNAL: the body
                         CHANGE: msgpack of [version, [key, shown, ...], [key, ...]]
"""

from __future__ import annotations

import enum
from typing import Any, Final, NamedTuple

import msgpack  # type: ignore[import-untyped]

from channels.history.position import Position
from channels_redis._envelope import EnvelopeError, UnknownVersionError

VERSION: Final = b"\x01"


class Kind(enum.Enum):
    """What was published."""

    PUBLICATION = b"p"
    """One that is kept."""
    VOLATILE = b"v"
    """One that is not."""
    CHANGE = b"c"
    """Somebody has come or gone."""
    SIGNAL = b"s"
    """For every process."""

    @property
    def head(self) -> bytes:
        """The bytes before the rest."""
        return VERSION + self.value


class RawChange(NamedTuple):
    """One change of presence.

    Attributes:
        version: Its number.
        joined: Key and what is shown of each that has come.
        left: Keys of those that have gone.
    """

    version: int
    joined: list[tuple[str, bytes]]
    left: list[str]


def unpack(data: bytes) -> tuple[Kind, bytes]:
    """Return the kind and the rest.

    Raises:
        UnknownVersionError: It is of another version.
        EnvelopeError: It is of a kind that does not exist.
    """
    if data[:1] != VERSION:
        raise UnknownVersionError(f"push of version {data[:1]!r}; expected {VERSION!r}")
    try:
        return _KINDS[data[1:2]], data[2:]
    except KeyError as error:
        raise EnvelopeError(f"push of kind {data[1:2]!r}") from error


def read_publication(rest: bytes) -> tuple[Position, bytes]:
    """Return the position and the body of a publication.

    Raises:
        EnvelopeError: It has no position.
    """
    position, _, body = rest.partition(b" ")
    try:
        return Position.parse(position.decode("ascii")), body
    except ValueError as error:
        raise EnvelopeError("publication without a position") from error


def read_change(rest: bytes) -> RawChange:
    """Return a change of presence.

    Raises:
        EnvelopeError: It is none.
    """
    try:
        version, joined, left = msgpack.unpackb(rest, raw=True)
        # An empty table of Lua is an empty map or an empty list.
        words: list[Any] = list(joined)
        keys = [key.decode() for key in words[::2]]
        shown = [bytes(each) for each in words[1::2]]
        return RawChange(
            int(version), list(zip(keys, shown, strict=True)), [key.decode() for key in left]
        )
    except Exception as error:
        # What msgpack raises for foreign bytes has no base but Exception.
        raise EnvelopeError(f"no change of presence: {error!r}") from error


_KINDS: Final = {kind.value: kind for kind in Kind}

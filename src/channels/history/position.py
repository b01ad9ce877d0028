"""Positions in the history of a topic, and what stands there. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_OFFSET: Final = 2**53 - 1
"""The largest whole number that every client can hold."""

_POSITION: Final = re.compile(r"([A-Za-z0-9]{1,32}):(0|[1-9][0-9]{0,15})\Z", re.ASCII)


class Position(NamedTuple):
    """Everything up to publication ``offset`` of the history ``epoch`` is known.

    ``str(position)`` is its form on the wire, ``"<epoch>:<offset>"``.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: object) -> Position:
        """Read the wire's form.

        Raises:
            ValueError: It is none.
        """
        found = _POSITION.match(text) if isinstance(text, str) else None
        if found is None or (offset := int(found[2])) > MAX_OFFSET:
            raise ValueError(f"expected a position such as 'c9f0a1:42', got {text!r}")
        return cls(found[1], offset)


class Publication(NamedTuple):
    """One message of a topic.

    Attributes:
        offset: Its number in the topic's history, from 1; 0 in a volatile topic.
        body: What the publisher made of it; opaque here.
    """

    offset: int
    body: bytes


class Excerpt(NamedTuple):
    """A stretch of a topic's history, read at one instant.

    Attributes:
        position: Where the topic stood.
        publications: Those after the offset that was asked for which are still kept, in order and
            without holes up to ``position.offset``.
    """

    position: Position
    publications: list[Publication]


class Retention(NamedTuple):
    """How much of a reliable topic is kept; whatever bound is reached first holds.

    Attributes:
        entries: Most publications; at least 1.
        max_bytes: Most bytes of their bodies together. The latest is kept whatever its size.
        ttl: Seconds after which a publication is dropped, and after the last of which the topic
            itself may be forgotten: then its next publication begins a new epoch.
    """

    entries: int
    max_bytes: int
    ttl: float

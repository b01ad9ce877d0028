"""What one reader of server-sent events asks for, and up to where it has everything. Pure.

A reader cannot ask again while its response is open. So whatever leaves a hole, or says that there
is one, ends the response; the reader comes back with its latest id, which names its positions.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs, parse_qsl, quote

import msgspec

from channels.history.position import MAX_OFFSET, Position

MOST_FIELDS: Final = 1000
"""Fields of a query or an id; more are read from nobody."""

_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,16}\Z", re.ASCII)


class Query(NamedTuple):
    """What the reader asks for.

    Attributes:
        topics: Their names, each once, in order.
        positions: Up to where it knows some of them.
        client: Its id, if it has one.
        recent: How many publications it wants without a position, or after a gap.
    """

    topics: list[str]
    positions: dict[str, Position]
    client: str | None
    recent: int


def parse_query(query: bytes, last_event_id: bytes) -> Query:
    """Read a query, and the header ``Last-Event-ID``, which goes before ``position``.

    Raises:
        ValueError: Something is wrong or missing; its text is for the client.
    """
    fields = parse_qs(
        _text_of(query, "the query"),
        keep_blank_values=True,
        errors="strict",
        max_num_fields=MOST_FIELDS,
    )
    topics = list(dict.fromkeys(fields.get("topic", ())))
    if not topics:
        raise ValueError("expected a topic in the query: ?topic=<name>&topic=<name>")
    client = _last(fields, "client")
    if client is not None and not _CLIENT.match(client):
        raise ValueError(f"client: expected 1 to 64 of A-Z a-z 0-9 _ -, got {client!r}")
    recent = _last(fields, "recent") or "0"
    if not _COUNT.match(recent) or int(recent) > MAX_OFFSET:
        raise ValueError(f"recent: expected a whole number, got {recent!r}")
    known = _positions(_last(fields, "position") or "", "position")
    known |= _positions(_text_of(last_event_id, "Last-Event-ID"), "Last-Event-ID")
    positions = {topic: known[topic] for topic in topics if topic in known}
    return Query(topics, positions, client, int(recent))


class Verdict(enum.Enum):
    """What to do with a frame.

    Attributes:
        NEXT: Send it.
        SEEN: Leave it out; the reader has it.
        HOLE: Send no more; the reader has missed something.
    """

    NEXT = enum.auto()
    SEEN = enum.auto()
    HOLE = enum.auto()


class Reading:
    """Up to where a reader has everything.

    Args:
        known: Positions that it came with.
    """

    def __init__(self, known: Mapping[str, Position]) -> None:
        self._positions: dict[str, Position] = dict(known)
        self._versions: dict[str, int] = {}
        self._parts: dict[str, str] = {}
        for topic, position in known.items():
            self._stand(topic, position)

    @property
    def id(self) -> str:
        """The positions of all reliable topics, as ``topic=position`` joined by ``&``."""
        return "&".join(self._parts.values())

    def take(self, text: str) -> Verdict:
        """Note a frame that is about to be sent, and say whether to."""
        frame = _decoder.decode(text)
        if frame.type == "publication" and frame.offset:
            return self._publication(frame.topic, frame.offset)
        if frame.type == "presence":
            return self._presence(frame.topic, frame.version)
        if frame.type == "position":
            return self._announcement(frame)
        if frame.type in ("subscribed", "gap") and frame.position is not None:
            self._stand(frame.topic, Position.parse(frame.position))
        if isinstance(frame.presence, _Present):
            self._versions[frame.topic] = frame.presence.version
        return Verdict.NEXT

    def _publication(self, topic: str, offset: int) -> Verdict:
        position = self._positions.get(topic)
        if position is None or offset > position.offset + 1:
            return Verdict.HOLE
        if offset <= position.offset:
            return Verdict.SEEN
        self._stand(topic, Position(position.epoch, offset))
        return Verdict.NEXT

    def _presence(self, topic: str, version: int) -> Verdict:
        known = self._versions.get(topic)
        if known is None or version > known + 1:
            return Verdict.HOLE
        if version <= known:
            return Verdict.SEEN
        self._versions[topic] = version
        return Verdict.NEXT

    def _announcement(self, frame: _Head) -> Verdict:
        if frame.position is not None:
            position, known = Position.parse(frame.position), self._positions.get(frame.topic)
            if known is None or position.epoch != known.epoch or position.offset > known.offset:
                return Verdict.HOLE
        if isinstance(frame.presence, int) and frame.presence != self._versions.get(frame.topic):
            return Verdict.HOLE
        return Verdict.NEXT

    def _stand(self, topic: str, position: Position) -> None:
        self._positions[topic] = position
        self._parts[topic] = f"{quote(topic, safe='')}={position}"


class _Present(msgspec.Struct):
    version: int


class _Head(msgspec.Struct):
    type: str
    topic: str = ""
    offset: int = 0
    version: int = 0
    position: str | None = None
    presence: _Present | int | None = None


_decoder: Final[msgspec.json.Decoder[_Head]] = msgspec.json.Decoder(_Head)


def _last(fields: Mapping[str, list[str]], name: str) -> str | None:
    return fields[name][-1] if name in fields else None


def _text_of(data: bytes, name: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected everything beyond ASCII percent-encoded") from error


def _positions(text: str, name: str) -> dict[str, Position]:
    """Read ``topic=position`` joined by ``&``."""
    try:
        pairs = (
            parse_qsl(text, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS)
            if text
            else []
        )
        return {topic: Position.parse(position) for topic, position in pairs}
    except ValueError as error:
        raise ValueError(f"{name}: expected topic=position joined by &: {error}") from error

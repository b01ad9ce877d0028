"""The frames of the topics protocol, version 1: ``protocol/README.md``. Pure.

What a client sends is parsed into one of the structs here or refused with ``FrameError``; what the
server sends is built as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from channels.exceptions import ChannelsError
from channels.history.position import MAX_OFFSET, Position, Publication
from channels.presence.state import Change
from channels.topics.body import Body

SUBPROTOCOL: Final = "channels.topics.v1"
VERSION: Final = 1
LONGEST_TOKEN: Final = 8192

Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Client = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Token = Annotated[str, msgspec.Meta(max_length=LONGEST_TOKEN)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first frame."""

    client: Client | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class Subscribe(msgspec.Struct, tag="subscribe", frozen=True):
    """Subscribe, or recover."""

    id: Id
    topic: Name
    position: str | UnsetType = UNSET
    recent: Count = 0


class Unsubscribe(msgspec.Struct, tag="unsubscribe", frozen=True):
    """End a subscription."""

    id: Id
    topic: Name


class Call(msgspec.Struct, tag="call", frozen=True):
    """Ask a topic to do something."""

    id: Id
    topic: Name
    name: Name
    data: msgspec.Raw = msgspec.Raw(b"{}")
    timeout: Seconds | UnsetType = UNSET


class Refresh(msgspec.Struct, tag="token", frozen=True):
    """Give a fresh token."""

    id: Id
    token: Token


class Ping(msgspec.Struct, tag="ping", frozen=True):
    """Ask for a sign of life."""

    id: Id | UnsetType = UNSET


Frame = Hello | Subscribe | Unsubscribe | Call | Refresh | Ping
Request = Subscribe | Unsubscribe | Call

# One encoder for all: json.dumps makes a new one for each call with options.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decoder: Final[msgspec.json.Decoder[Frame]] = msgspec.json.Decoder(Frame)


class FrameError(ChannelsError):
    """A request that is refused; the socket lives.

    Attributes:
        code: As ``protocol/README.md`` lists them.
        message: What was expected, in words.
        id: Of the request, if it had one.
        topic: Of the request, if it had one.
    """

    def __init__(
        self, code: str, message: str, *, id: int | None = None, topic: str | None = None
    ) -> None:
        """Keep what the client is told."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.id = id
        self.topic = topic


def parse(text: str) -> Frame:
    """Read a frame from a client.

    Raises:
        FrameError: It is none: ``invalid_frame``.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        # Of the types here, a wrong value is a DecodeError as well as broken JSON.
        raise _refusal(text, error) from error


def parse_position(request: Subscribe) -> Position | None:
    """Return the position that a request names.

    Raises:
        FrameError: It is none: ``invalid_frame``.
    """
    if request.position is UNSET:
        return None
    try:
        return Position.parse(request.position)
    except ValueError as error:
        raise FrameError("invalid_frame", str(error), id=request.id, topic=request.topic) from error


def encode(value: Any) -> str:
    """Return a frame, or a value in one, as text."""
    return _encode(value)


def publication(topic: str, offset: int, text: str) -> str:
    """Return the frame of a publication; ``offset`` is 0 in a volatile topic."""
    numbered = f'"offset":{offset},' if offset else ""
    return f'{{"type":"publication","topic":"{topic}",{numbered}"data":{text}}}'


def skipped(topic: str, offset: int) -> str:
    """Return the frame of a publication for the client that it excludes."""
    return f'{{"type":"publication","topic":"{topic}","offset":{offset},"skipped":true}}'


def one(topic: str, each: Publication, client: str) -> str:
    """Return the frame of a reliable publication, as ``client`` may see it."""
    body = body_for(each, client)
    if body is None:
        return skipped(topic, each.offset)
    return publication(topic, each.offset, body.text)


def body_for(each: Publication, client: str) -> Body | None:
    """Return what ``client`` may see of a publication; nothing of what is none of ours."""
    try:
        body = Body.unpack(each.body)
    except ValueError:
        return None
    return None if body.exclude and body.exclude == client else body


def reply(request_id: int, data: str) -> str:
    """Return the answer to a call, whose ``data`` is JSON text."""
    return f'{{"type":"reply","id":{request_id},"data":{data}}}'


def subscribed(
    request_id: int,
    topic: str,
    publications: Iterable[str],
    *,
    position: Position | None = None,
    gap: str | None = None,
    recovered: bool = False,
    presence: str | None = None,
) -> str:
    """Return the answer to ``subscribe``; ``publications`` are items, see ``item``."""
    frame = f'{{"type":"subscribed","id":{request_id},"topic":"{topic}"'
    if position is not None:
        frame += f',"position":"{position}","recovered":{json.dumps(recovered)}'
        if gap is not None:
            frame += f',"gap":"{gap}"'
    if presence is not None:
        frame += f',"presence":{presence}'
    return f'{frame},"publications":[{",".join(publications)}]}}'


def item(each: Publication, client: str) -> str:
    """Return a publication as an item of ``publications``, as ``client`` may see it."""
    body = body_for(each, client)
    if body is None:
        return f'{{"offset":{each.offset},"skipped":true}}'
    return f'{{"offset":{each.offset},"data":{body.text}}}'


def members(version: int, shown: Mapping[str, str]) -> str:
    """Return the ``presence`` of ``subscribed``."""
    return f'{{"version":{version},"members":{_members(shown)}}}'


def presence(topic: str, change: Change) -> str:
    """Return the frame of a change of presence."""
    return (
        f'{{"type":"presence","topic":"{topic}","version":{change.version},'
        f'"joined":{_members(change.joined)},"left":{encode(list(change.left))}}}'
    )


def error(refusal: FrameError) -> str:
    """Return the frame of an error."""
    frame: dict[str, Any] = {"type": "error", "code": refusal.code, "message": refusal.message}
    if refusal.id is not None:
        frame["id"] = refusal.id
    if refusal.topic is not None:
        frame["topic"] = refusal.topic
    return encode(frame)


def _members(shown: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{encode(key)}:{text}" for key, text in shown.items()) + "}"


def _refusal(text: str, error: Exception) -> FrameError:
    message = str(error)
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return FrameError("invalid_frame", f"not a JSON object: {message}")
    if not isinstance(frame, dict):
        return FrameError("invalid_frame", f"expected a JSON object: {message}")
    request_id, topic = frame.get("id"), frame.get("topic")
    return FrameError(
        "invalid_frame",
        message,
        id=request_id if type(request_id) is int and 0 <= request_id <= MAX_OFFSET else None,
        topic=topic if isinstance(topic, str) and 0 < len(topic) <= 100 else None,
    )

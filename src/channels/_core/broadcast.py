"""A frame or close for every client of a group: built once, shared by all, never changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from channels._core.copying import copier
from channels._core.outbox import SlowConsumer
from channels.typing import Event, Message

SEND: Final = "websocket.send"
CLOSE: Final = "websocket.close"
KINDS: Final = frozenset({SEND, CLOSE})
"""Types of messages that go to the client as they are, unless the consumer handles them."""
MOST_JOINED: Final = 16384
"""Characters or bytes of frames that are worth a copy to be written at once."""


class Broadcast(dict[str, Any]):
    """An ASGI event, ``websocket.send`` or ``websocket.close``, that many connections share.

    It holds only what ASGI knows of; ``message`` returns all that was sent.

    Attributes:
        key: What the message is about, if it said so: a later one with this key replaces it in
            the outbox of a slow client that keeps only the latest.
        slow_consumer: What happens to it where a client reads too slowly; ``None`` leaves that to
            the consumer's class.
        frames: The bytes of the frame, kept by a server for its next socket; the keys are its own.
        message: Makes an independent copy of the message as it was sent.
    """

    __slots__ = ("frames", "key", "message", "slow_consumer")

    def __init__(self, message: Message, slow_consumer: SlowConsumer | None = None) -> None:
        super().__init__(_event(message))
        self.slow_consumer: SlowConsumer | None = slow_consumer
        self.key: Any = _require_key(message.get("key"))
        self.frames: dict[Any, bytes] = {}
        self.message: Callable[[], Message] = copier(message)

    def __call__(self) -> Broadcast:
        """Return itself: where another message is copied for each member, they share this one."""
        return self

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(
            f"this {self['type']} goes to a whole group and must not change; copy it: dict(event)"
        )

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse


class Joined:
    """Frames for the same clients, one after the other, each client's to be written at once.

    Attributes:
        parts: The frames.
        frames: The bytes of all of them, as in a ``Broadcast``.
    """

    __slots__ = ("frames", "parts")

    def __init__(self, parts: Sequence[Broadcast]) -> None:
        self.parts: tuple[Broadcast, ...] = tuple(parts)
        self.frames: dict[Any, bytes] = {}


def join(parts: Sequence[Broadcast]) -> Joined | None:
    """Return frames as one, unless they are too large for that to pay."""
    size = sum(len(part.get("text") or part.get("bytes") or "") for part in parts)
    return Joined(parts) if size <= MOST_JOINED else None


def is_broadcast(message: Message) -> bool:
    """Return whether ``message`` goes to the client as it is."""
    try:
        return message.get("type") in KINDS
    except TypeError:  # not hashable
        return False


def copies_of(message: Message) -> Callable[[], Message]:
    """Return what makes the message of each receiver: independent copies, or one shared broadcast.

    Raises:
        TypeError: A value cannot be copied; or it is a broadcast whose payload is of a wrong type.
        ValueError: It is a broadcast without a payload, with two, or with a lone surrogate.
    """
    if not is_broadcast(message):
        return copier(message)
    return Broadcast(message)


def _event(message: Message) -> Event:
    if message["type"] == CLOSE:
        return {key: message[key] for key in ("type", "code", "reason") if key in message}
    text, data = message.get("text"), message.get("bytes")
    if (text is None) == (data is None):
        raise ValueError(
            f"a message of type {SEND!r} goes to clients as one frame; expected either 'text' or "
            f"'bytes', got {'neither' if text is None else 'both'}"
        )
    if text is not None:
        if not _require(text, str, "text").isascii():
            # No frame can carry a lone surrogate: its sender learns of it, before anybody has it.
            text.encode()
        return {"type": SEND, "text": text}
    return {"type": SEND, "bytes": _require(data, bytes, "bytes")}


def _require_key(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        raise TypeError(
            f"'key' of a message of type {SEND!r} must be hashable, such as a str, "
            f"not {type(key).__name__}"
        ) from None
    return key


def _require(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(
            f"{name!r} of a message of type {SEND!r} must be {kind.__name__}, "
            f"not {type(value).__name__}"
        )
    return value

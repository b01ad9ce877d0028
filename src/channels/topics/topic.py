"""What people subclass: one class for each kind of topics, as one path for each kind of pages."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Awaitable
from typing import Any, ClassVar

from channels._core.outbox import SlowConsumer
from channels.exceptions import UnknownTopicError
from channels.history.broker import Retention
from channels.topics.calls import Accepted, accepted_by
from channels.topics.pattern import Pattern, is_name
from channels.typing import Scope


@dataclasses.dataclass(frozen=True, slots=True)
class Volatile:
    """Whoever is subscribed gets it now; what is missed is missed."""

    retention: ClassVar[None] = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reliable:
    """What was published is numbered and kept, so that clients catch up.

    Whatever bound is reached first holds; a client whose position is older is told so.

    Args:
        history: Most publications kept of one topic.
        ttl: Seconds for which they are kept.
        max_bytes: Most bytes kept of one topic.

    Raises:
        ValueError: A bound is not above 0.
    """

    history: int = 100
    ttl: float = 86_400.0
    max_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("history", "ttl", "max_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"Reliable({name}={getattr(self, name)!r}): expected above 0")

    @property
    def retention(self) -> Retention:
        """The bounds, as brokers know them."""
        return Retention(self.history, self.max_bytes, self.ttl)


class Topic:
    """One subscription of one connection to one topic.

    ::

        class Room(Topic, pattern="room.<int:pk>"):
            delivery = Reliable(history=200)
            presence = True
            pk: int

            async def authorize(self) -> bool:
                who = self.user
                return who.is_authenticated and await who.rooms.filter(pk=self.pk).aexists()

            @call
            async def say(self, text: str) -> None:
                await apublish(self.name, {"text": text, "by": self.user.username})

    The parts of the pattern become attributes. Methods may be sync, and then run in a thread.

    Args:
        name: Of the topic.
        parts: Of its pattern.
        scope: Of the connection.
        user: Who is connected.
        connection: The client's id, which a publication may exclude.

    Attributes:
        delivery: ``Volatile()`` or ``Reliable(...)``.
        slow_consumer: What becomes of publications for a client that reads too slowly; in a
            reliable topic, it recovers what was dropped.
        presence: Whether clients see who is there.
        presence_grace: Seconds for which a member whose connection was lost is still there.
        call_timeout: Most seconds that a call may take.
        max_calls: Most calls of one connection that may wait.
    """

    pattern: ClassVar[Pattern]
    calls: ClassVar[dict[str, Accepted]] = {}
    delivery: ClassVar[Volatile | Reliable] = Volatile()
    slow_consumer: ClassVar[SlowConsumer | str] = SlowConsumer.DROP_NEWEST
    presence: ClassVar[bool] = False
    presence_grace: ClassVar[float] = 5.0
    call_timeout: ClassVar[float] = 30.0
    max_calls: ClassVar[int] = 16

    name: str
    scope: Scope
    user: Any
    connection: str

    def __init_subclass__(cls, *, pattern: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.calls = accepted_by(cls)
        cls.slow_consumer = SlowConsumer(cls.slow_consumer)
        if not isinstance(cls.delivery, Volatile | Reliable):
            raise TypeError(
                f"{cls.__name__}: expected delivery to be Volatile() or Reliable(...), "
                f"not {cls.delivery!r}"
            )
        if pattern is not None:
            cls.pattern = Pattern(pattern)
            for name in cls.pattern.names:
                if hasattr(cls, name) or name in Topic.__annotations__:
                    raise TypeError(f"{cls.__name__}: a topic has an attribute {name!r} already")
            _register(cls)

    def __init__(
        self, name: str, parts: dict[str, Any], *, scope: Scope, user: Any, connection: str
    ) -> None:
        self.name = name
        self.scope = scope
        self.user = user
        self.connection = connection
        for part, value in parts.items():
            setattr(self, part, value)

    @classmethod
    def topic_name(cls, **parts: Any) -> str:
        """Return the name of the topic with these parts of the pattern."""
        return cls.pattern.name(**parts)

    def authorize(self) -> bool | Awaitable[bool]:
        """Return whether the user may subscribe; nobody may until this is overridden."""
        return False

    def member(self) -> str:
        """Return who this is in presence: the user's key, else the connection."""
        key = getattr(self.user, "pk", None)
        if key is not None:
            return str(key)
        # Everybody sees it, and a client's id is its own.
        return f"anonymous:{hashlib.sha256(self.connection.encode()).hexdigest()[:16]}"

    def shown(self) -> Any | Awaitable[Any]:
        """Return what presence shows of the member: anything that JSON can hold."""
        return {"name": self.user.get_username()} if self.user is not None else {}


def find(name: object) -> tuple[type[Topic], dict[str, Any]]:
    """Return the class of a topic, and the parts of its name. O(1) for names in use.

    Raises:
        UnknownTopicError: No class has it.
    """
    found = _find(name) if isinstance(name, str) else None
    if found is None:
        raise UnknownTopicError(name, sorted(_classes))
    return found


def has_topics() -> bool:
    """Return whether the site has any topic class."""
    return bool(_classes)


def alike() -> list[list[type[Topic]]]:
    """Return the classes whose patterns match the same names; the first of each has them."""
    found: dict[str, list[type[Topic]]] = {}
    for cls in _classes.values():
        found.setdefault(cls.pattern.shape, []).append(cls)
    return [classes for classes in found.values() if len(classes) > 1]


_classes: dict[str, type[Topic]] = {}
"""By the text of the pattern: a module that is loaded again puts its classes in place."""


@functools.lru_cache(maxsize=4096)
def _find(name: str) -> tuple[type[Topic], dict[str, Any]] | None:
    if is_name(name):
        # Names that are written out go before patterns that fit them, too.
        for cls in sorted(_classes.values(), key=lambda one: len(one.pattern.names)):
            parts = cls.pattern.match(name)
            # One topic has one name: room.007 is not room.7.
            if parts is not None and cls.pattern.name(**parts) == name:
                return cls, parts
    return None


def _register(cls: type[Topic]) -> None:
    there = _classes.get(cls.pattern.text)
    # A module may be loaded again; two of a kind would hide one another's authorize().
    if there is not None and (there.__module__, there.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise TypeError(
            f"{cls.__module__}.{cls.__qualname__} has the pattern {cls.pattern.text!r} of "
            f"{there.__module__}.{there.__qualname__}; expected one of its own"
        )
    _classes[cls.pattern.text] = cls
    _find.cache_clear()

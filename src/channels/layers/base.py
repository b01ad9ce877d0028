"""The contract of a channel layer, documented once."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from channels._core import names
from channels.exceptions import (
    ChannelFull,
    InvalidNameError,
    MessageTooLarge,
)
from channels.layers.inbox import Inbox
from channels.typing import Message

Capacities = list[tuple[Any, int]]


@runtime_checkable
class AttachingLayer(Protocol):
    """A layer that hands messages straight to a consumer's inbox, without a ``receive`` each.

    A class with a ``receive`` of its own has its own ``attach`` too, or consumers ask the former.
    """

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel`` an inbox on the running event loop; ``wake`` is called on arrival."""
        ...

    def detach(self, channel: str) -> None:
        """Forget ``channel``: its inbox and every membership. Idempotent, no I/O."""
        ...


def has_inboxes(layer: object) -> bool:
    """Return whether consumers take their messages from an inbox of ``layer``.

    Not where a subclass or the instance has a ``receive`` put before the layer's ``attach``: then
    it is asked for each message.
    """
    # Asked of the classes: a proxy or a mock answers to every name.
    for cls in type(layer).__mro__:
        if "attach" in vars(cls):
            return "receive" not in getattr(layer, "__dict__", ())
        if "receive" in vars(cls):
            return False
    return False


class BaseChannelLayer:
    """What every channel layer does.

    Delivery is at most once and to one reader; per channel it is in order for one sender and one
    reader. A message may be lost, never doubled.

    Args:
        expiry: Seconds after which an unread message is dropped.
        capacity: Most unread messages in one channel.
        channel_capacity: Capacities by channel name: globs, or objects with ``match``, in order
            of precedence.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge

    MAX_NAME_LENGTH: ClassVar[int] = names.MAX_NAME_LENGTH
    channel_name_regex: ClassVar[re.Pattern[str]] = names.CHANNEL_NAME
    group_name_regex: ClassVar[re.Pattern[str]] = names.GROUP_NAME
    invalid_name_error: ClassVar[str] = names.INVALID_NAME

    extensions: list[str] = []  # noqa: RUF012 - a plain list by contract

    def __init__(
        self,
        expiry: int = 60,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
    ) -> None:
        self.expiry = expiry
        self.capacity = capacity
        self.channel_capacity: Capacities = self.compile_capacities(channel_capacity or {})

    def compile_capacities(self, channel_capacity: Mapping[Any, int]) -> Capacities:
        """Turn ``{glob or pattern: capacity}`` into ``[(pattern, capacity)]``, in order."""
        return [
            (re.compile(fnmatch.translate(key)) if isinstance(key, str) else key, capacity)
            for key, capacity in channel_capacity.items()
        ]

    def get_capacity(self, channel: str) -> int:
        """Return the capacity of a channel: the first pattern that matches its full name."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    def match_type_and_length(self, name: object) -> bool:
        """Return whether ``name`` is a string short enough to be a name."""
        return isinstance(name, str) and len(name) < self.MAX_NAME_LENGTH

    def require_valid_channel_name(self, name: str, receive: bool = False) -> bool:
        """Return ``True`` if ``name`` is a channel name.

        Args:
            name: 1-99 characters of ``[A-Za-z0-9._-]``, optionally one ``!`` after the first.
            receive: Require a name with ``!`` to end there.

        Raises:
            InvalidNameError: It is not; this is a ``TypeError``.
        """
        if (
            self.match_type_and_length(name)
            and self.channel_name_regex.match(name)
            and not (receive and "!" in name and not name.endswith("!"))
        ):
            return True
        raise InvalidNameError(self.invalid_name_error.format("Channel"), name=name)

    def require_valid_group_name(self, name: str) -> bool:
        """Return ``True`` if ``name`` is 1-99 characters of ``[A-Za-z0-9._-]``.

        Raises:
            InvalidNameError: It is not; this is a ``TypeError``.
        """
        if self.match_type_and_length(name) and self.group_name_regex.match(name):
            return True
        raise InvalidNameError(self.invalid_name_error.format("Group"), name=name)

    def valid_channel_names(self, names: list[str], receive: bool = False) -> bool:
        """Return ``True`` if ``names`` is a non-empty list of channel names.

        Raises:
            AssertionError: It is not a non-empty list.
            InvalidNameError: One of them is no channel name.
        """
        if not names or type(names) is not list:
            raise AssertionError(f"expected a non-empty list of channel names, not {names!r}")
        return all(self.require_valid_channel_name(name, receive=receive) for name in names)

    def non_local_name(self, name: str) -> str:
        """Return ``name`` up to and including its first ``!``, or all of it without one."""
        return names.non_local(name)

    def valid_channel_name(self, channel_name: str, receive: bool = False) -> bool:
        """Forward to ``require_valid_channel_name``; deprecated, and ``receive`` is ignored."""
        _warn("valid_channel_name")
        return self.require_valid_channel_name(channel_name)

    def valid_group_name(self, group_name: str) -> bool:
        """Forward to ``require_valid_group_name``; deprecated."""
        _warn("valid_group_name")
        return self.require_valid_group_name(group_name)

    async def send(self, channel: str, message: Message) -> None:
        """Queue ``message`` for the reader of ``channel``; never wait for space.

        Raises:
            InvalidNameError: ``channel`` is no channel name. Nothing was sent.
            ChannelFull: The channel is at capacity. Nothing was sent.
        """
        raise NotImplementedError("send() should be implemented by the channel layer")

    async def receive(self, channel: str) -> Message:
        """Wait for the next message of ``channel`` and take it.

        Cancelling it takes nothing.
        """
        raise NotImplementedError("receive() should be implemented by the channel layer")

    async def new_channel(self) -> str:
        """Return a unique name that only this process reads."""
        raise NotImplementedError("new_channel() should be implemented by the channel layer")

    async def flush(self) -> None:
        """Drop every message and every group."""
        raise NotImplementedError("flush() not implemented (flush extension)")

    async def group_add(self, group: str, channel: str) -> None:
        """Put ``channel`` into ``group``, or refresh its membership. Idempotent."""
        raise NotImplementedError("group_add() not implemented (groups extension)")

    async def group_discard(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``. Idempotent."""
        raise NotImplementedError("group_discard() not implemented (groups extension)")

    async def group_send(self, group: str, message: Message) -> None:
        """Send ``message`` to every channel that is in ``group`` now.

        One of type ``websocket.send``, with ``text`` or ``bytes``, goes to the client of every
        consumer in the group as it is, without a handler; so does ``websocket.close``. A consumer
        whose class defines ``websocket_send`` or ``websocket_close`` gets it instead.

        A member over its capacity misses this message alone; that is counted as
        ``telemetry.MessageDropped`` and never raised.
        """
        raise NotImplementedError("group_send() not implemented (groups extension)")


def _warn(name: str) -> None:
    warnings.warn(
        f"{name} is deprecated, use require_{name} instead.",
        DeprecationWarning,
        stacklevel=3,
    )

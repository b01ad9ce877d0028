"""A channel layer inside one process."""

from __future__ import annotations

import asyncio
import os
import string
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from channels import telemetry
from channels._core.broadcast import copies_of
from channels._core.copying import copier
from channels._core.mailbox import Mailbox
from channels._core.membership import Groups
from channels.exceptions import ChannelFull
from channels.history.broker import Listener, TopicBroker
from channels.history.memory import MemoryTopics
from channels.layers.base import BaseChannelLayer
from channels.layers.hub import Hub
from channels.layers.inbox import Backlog, Inbox
from channels.layers.leaving import leave, unfinished, wait_for
from channels.stepping import is_stepping
from channels.typing import Message

LETTER_OF_BYTE: Final = bytes(
    ord(string.ascii_letters[byte % len(string.ascii_letters)]) for byte in range(256)
)


class InMemoryChannelLayer(BaseChannelLayer):
    """Messages and groups of one process, without a broker.

    Sending, joining and leaving work from any thread and any event loop of the process.
    Messages to other processes do not exist: use a Redis layer for more than one.

    Args:
        expiry: Seconds after which an unread message is dropped.
        group_expiry: Seconds after which a membership ends that no running consumer holds.
        capacity: Most unread messages in one channel.
        channel_capacity: Capacities by channel name; see ``BaseChannelLayer``.
        **kwargs: None are accepted; here so that the error can name them.

    Raises:
        TypeError: There is an unknown option.
    """

    extensions: list[str] = ["groups", "flush"]  # noqa: RUF012 - a plain list by contract

    _has_own_send: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_own_send = cls.send is not InMemoryChannelLayer.send

    def __init__(
        self,
        expiry: int = 60,
        group_expiry: int = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(
                f"InMemoryChannelLayer has no option {', '.join(sorted(kwargs))}; "
                "expected expiry, group_expiry, capacity or channel_capacity"
            )
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=channel_capacity)
        self.group_expiry = group_expiry
        self._hub = Hub(group_expiry, self._new_mailbox)
        self._topics = MemoryTopics()

    def topic_broker(self, listener: Listener) -> TopicBroker:
        """Return what topics are published and kept by, for the running event loop."""
        return self._topics.open(listener)

    @property
    def channels(self) -> dict[str, Inbox | Backlog]:
        """Full channel name to what holds its messages; those of running consumers included."""
        return self._hub.channels

    @channels.setter
    def channels(self, channels: Any) -> None:
        """Replace them, by none or by what was there before.

        Raises:
            TypeError: It is no dict, or has something else in it.
        """
        if not isinstance(channels, dict) or not all(
            isinstance(box, Inbox | Backlog) for box in channels.values()
        ):
            raise TypeError(
                f"channels must be an empty dict, or one that this has been, not {channels!r}"
            )
        self._hub.replace_channels(channels)

    @property
    def groups(self) -> Groups:
        """Group name to its members and when each joined, in seconds since the epoch."""
        return self._hub.membership.groups

    @groups.setter
    def groups(self, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Replace every membership."""
        self._hub.replace_groups(groups)

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel`` to a consumer on the running event loop."""
        return self._hub.attach(channel, wake)

    def detach(self, channel: str) -> None:
        """Forget ``channel``: its inbox and every membership. Idempotent."""
        self._hub.detach(channel)

    async def send(self, channel: str, message: Message) -> None:
        """Queue an independent copy of ``message``. O(size of the message).

        Raises:
            AssertionError: ``message`` is not a dict, or has a key ``__asgi_channel__``.
            InvalidNameError: ``channel`` is no channel name. Nothing was sent.
            TypeError: The message cannot be copied. Nothing was sent.
            ValueError: It is a ``websocket.send`` without payload, or with two. Nothing was sent.
            ChannelFull: The channel is at capacity. Nothing was sent.
        """
        copies = _copies(message)
        if type(channel) is not str or channel not in self._hub.channels:
            self.require_valid_channel_name(channel)
            self._hub.sweep()
        if (before := unfinished(self)) is not None:
            await wait_for(before)
        if not self._hub.deliver(channel, copies()):
            raise ChannelFull(channel, self.get_capacity(channel))

    async def receive(self, channel: str) -> Message:
        """Wait for the next message of ``channel`` and take it. Cancelling takes nothing."""
        self.require_valid_channel_name(channel)
        self._hub.sweep()
        return await self._hub.receive(channel)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a new name, ``{prefix}.inmemory!{12 letters}``."""
        return f"{prefix}.inmemory!{os.urandom(12).translate(LETTER_OF_BYTE).decode()}"

    async def flush(self) -> None:
        """Drop every message, group and topic; running consumers keep their channels."""
        if (before := unfinished(self)) is not None:
            await wait_for(before)
        self._hub.flush()
        self._topics.flush()

    async def close(self) -> None:
        """Do nothing; here so that every layer can be closed."""

    async def group_add(self, group: str, channel: str) -> None:
        """Put ``channel`` into ``group``, or refresh its membership. O(1).

        Raises:
            InvalidNameError: A name breaks the grammar. Nothing was joined.
        """
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        self._hub.join(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``. O(1).

        Raises:
            InvalidNameError: A name breaks the grammar.
        """
        self.require_valid_channel_name(channel)
        self.require_valid_group_name(group)
        if (before := unfinished(self)) is not None:
            await wait_for(before)
        self._hub.leave(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        """Put an independent copy of ``message`` into the inbox of every member. O(members).

        A subclass with a ``send`` of its own is asked to send to each.

        All have it when this returns. Within a handler it may return sooner, for a group of more
        than 64; nothing that the handler then sends, or what it calls or starts, overtakes it.

        Raises:
            AssertionError: ``message`` is not a dict.
            InvalidNameError: ``group`` is no group name. Nothing was sent.
            TypeError: The message cannot be copied. Nothing was sent.
            ValueError: It is a ``websocket.send`` without payload, or with two. Nothing was sent.
        """
        copies = _copies(message)
        if type(group) is not str or group not in self._hub.membership.groups:
            self.require_valid_group_name(group)
        if (before := unfinished(self, group)) is not None:
            await wait_for(before)
        self._hub.sweep()
        if self._has_own_send:
            await self._send_to_each(group, copier(message))
            return
        fan = self._hub.fan_out(group, copies, may_leave=is_stepping)
        if fan.is_left:
            leave(fan, self)
        elif fan.done is not None:
            await fan.done

    async def _send_to_each(self, group: str, copies: Callable[[], Message]) -> None:
        members = self._hub.members(group)
        await asyncio.gather(*(self._send_to_member(member, copies()) for member in members))

    async def _send_to_member(self, channel: str, message: Message) -> None:
        try:
            await self.send(channel, message)
        except ChannelFull:
            telemetry.emit(telemetry.MessageDropped(channel, "full"))

    def _new_mailbox(self, channel: str) -> Mailbox[Message]:
        return Mailbox(self.get_capacity(channel), self.expiry)

    def _clean_expired(self) -> None:
        self._hub.sweep()
        self._hub.expire_memberships()

    def _remove_from_groups(self, channel: str) -> None:
        self._hub.leave_all(channel)


def _copies(message: Message) -> Callable[[], Message]:
    if not isinstance(message, dict):
        raise AssertionError(f"a message is a dict, not {type(message).__name__}")
    if "__asgi_channel__" in message:
        raise AssertionError("a message must not have the key '__asgi_channel__'")
    return copies_of(message)

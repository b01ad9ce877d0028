"""What layers over a broker share: this process's hub, and what the broker must know of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from channels import telemetry
from channels._core.broadcast import Broadcast, copies_of, is_broadcast
from channels._core.mailbox import Mailbox
from channels._core.membership import Groups
from channels.layers.base import BaseChannelLayer
from channels.layers.fan_out import FanOut
from channels.layers.hub import Hub
from channels.layers.inbox import Backlog, Inbox
from channels.typing import Message

Register = Callable[[str], "asyncio.Future[Any]"]


class Registrations:
    """Which groups the broker sends to this process, on the event loop that talks to the broker.

    The first member of a group registers it and every member waits for that; when the last has
    left, the group is unregistered a turn of the loop later, unless somebody has joined again.

    Args:
        has_members: Whether a group has members in this process.
        register: Asks the broker for a group's messages.
        unregister: Tells it that no more are wanted.
        lifetime: Seconds after which a new member registers its group again.
    """

    def __init__(
        self,
        has_members: Callable[[str], bool],
        register: Register,
        unregister: Callable[[str], None],
        *,
        lifetime: float = float("inf"),
    ) -> None:
        self._lifetime = lifetime
        self._has_members = has_members
        self._register = register
        self._unregister = unregister
        self._registered: dict[str, tuple[float, asyncio.Future[Any]]] = {}

    async def require(self, group: str) -> None:
        """Return when the broker knows that ``group`` is wanted here.

        Raises:
            LayerUnavailableError: It does not answer. The group is not registered.
        """
        now = asyncio.get_running_loop().time()
        entry = self._registered.get(group)
        if entry is None or now - entry[0] > self._lifetime:
            entry = self._registered[group] = now, asyncio.ensure_future(self._register(group))
        if not entry[1].done():
            await asyncio.wait([entry[1]])
        try:
            entry[1].result()
        except BaseException:
            if self._registered.get(group) is entry:
                del self._registered[group]
            raise

    def settle(self, groups: set[str]) -> None:
        """Unregister those of ``groups`` that have no member any more."""
        for group in groups:
            if not self._has_members(group):
                self._registered.pop(group, None)
                self._unregister(group)

    def forget(self) -> None:
        """Take it that the broker knows of no group."""
        self._registered.clear()

    def is_registered(self, group: str) -> bool:
        """Return whether ``group`` is registered, or about to be."""
        return group in self._registered


class BrokeredChannelLayer(BaseChannelLayer):
    """A channel layer whose messages come from a broker into this process's hub.

    A backend says how this process listens (``_listen``) and what happens when a group has lost
    its last member here (``_settle``), and hands what arrives to ``_arrived_for_*``. The class that
    has its ``receive`` names ``attach`` again: without that, consumers would ask ``receive``.

    Args:
        logger: Where drops are logged.
        expiry: Seconds after which an unread message is dropped.
        group_expiry: Seconds after which a membership ends that no running consumer holds.
        capacity: Most unread messages in one channel.
        channel_capacity: Capacities by channel name; see ``BaseChannelLayer``.
    """

    extensions: list[str] = ["groups", "flush"]  # noqa: RUF012 - a plain list by contract

    def __init__(
        self,
        logger: logging.Logger,
        *,
        expiry: int,
        group_expiry: int,
        capacity: int,
        channel_capacity: Mapping[Any, int] | None,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=channel_capacity)
        self.group_expiry = group_expiry
        self._logger = logger
        self._start_hub()

    @property
    def channels(self) -> dict[str, Inbox | Backlog]:
        """What holds the messages that have reached this process, by full channel name."""
        return self._hub.channels

    @property
    def groups(self) -> Groups:
        """Group name to its members in this process and when each joined."""
        return self._hub.membership.groups

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel`` to a consumer on the running event loop. No I/O."""
        inbox = self._hub.attach(channel, wake)
        self._listen()
        return inbox

    def detach(self, channel: str) -> None:
        """Forget ``channel``: its inbox and every membership. Idempotent, no I/O."""
        self._hub.detach(channel)

    def _start_hub(self) -> None:
        """Begin without channels and groups, as a process does."""
        self._hub: Hub = Hub(self.group_expiry, self._new_mailbox, self._group_emptied)
        self._emptied: set[str] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def _listen(self) -> None:
        """Have this process read what the broker has for it, from now on."""

    @abstractmethod
    def _settle(self, take: Callable[[], set[str]]) -> None:
        """Arrange that the registrations settle what ``take`` gives, on their event loop.

        Called in any thread, under the hub's lock.
        """

    def _require_message(self, message: object) -> None:
        """Return if ``message`` can go to a group.

        Raises:
            AssertionError: It is not a dict, or has a key ``__asgi_channel__``.
            TypeError: It is a broadcast whose payload is of a wrong type.
            ValueError: It is a broadcast without a payload, or with two.
        """
        if not isinstance(message, dict):
            raise AssertionError(f"a message is a dict, not {type(message).__name__}")
        if "__asgi_channel__" in message:
            raise AssertionError("a message must not have the key '__asgi_channel__'")
        if is_broadcast(message):
            Broadcast(message)

    def _arrived_for_group(
        self, group: str, message: Message, age: float = 0.0
    ) -> asyncio.Future[Any] | None:
        """Hand a message to the members here; read no more until what this returns is done."""
        # Nothing is left in line: what the reader has next may be of the same sender.
        fan = self._hub.fan_out(group, copies_of(message), age, ended=self._fan_out_ended)
        # The reader waits, but what fails is not for it: that is counted.
        fan.is_left = fan.done is not None
        self._hub.sweep()
        return fan.done

    def _fan_out_ended(self, fan: FanOut) -> None:
        if fan.dropped:
            over = "%s of %s channels over capacity in group %s"
            self._logger.info(over, fan.dropped, fan.delivered + fan.dropped, fan.group)

    def _arrived_for_channel(self, channel: str, message: Message, age: float = 0.0) -> None:
        if not self._hub.deliver(channel, message, age):
            self._logger.info("Channel %s is over capacity; dropped a message.", channel)
            telemetry.emit(telemetry.MessageDropped(channel, "full"))
        self._hub.sweep()

    def _has_members(self, group: str) -> bool:
        return group in self._hub.membership.groups

    def _group_emptied(self, group: str) -> None:
        with self._lock:
            is_first = not self._emptied
            self._emptied.add(group)
        if is_first:
            self._settle(self._take_emptied)

    def _take_emptied(self) -> set[str]:
        with self._lock:
            emptied, self._emptied = self._emptied, set()
        return emptied

    def _new_mailbox(self, channel: str) -> Mailbox[Message]:
        return Mailbox(self.get_capacity(channel), self.expiry)

"""Where the messages of one channel wait for their reader."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from channels import telemetry
from channels._core.broadcast import SEND, Broadcast, Joined
from channels._core.mailbox import Mailbox
from channels.stepping import may_begin
from channels.typing import Message


class Readers:
    """Those who wait for a message of a consumer's, besides it.

    Args:
        wake: Wakes the consumer.

    Attributes:
        count: How many they are.
        arrived: Set by each arrival.
        are_alone: Whether the consumer has gone.
        wake: See above.
    """

    __slots__ = ("are_alone", "arrived", "count", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.count: int = 0
        self.arrived: asyncio.Event = asyncio.Event()
        self.are_alone: bool = False
        self.wake: Callable[[], None] = wake


class Inbox:
    """The unread messages of one consumer, all on the consumer's event loop.

    Nothing here locks: senders on other loops go through the hub.

    Args:
        channel: The consumer's channel name.
        mailbox: Where the messages are kept.
        wake: Called after each arrival.

    Attributes:
        express: Takes a frame for the client at once. There only while its consumer is idle, and
            then nothing is unread.
        begin: Begins the handler of a message at once; ``False`` if it cannot. There only then,
            and not to be called within a step of another handler (``stepping``).
        mailbox: Where the messages are kept.
        on_the_way: Messages that other loops have sent and that have not arrived yet.
        readers: Who else waits for a message, if anybody does. Then the consumer sets neither
            ``express`` nor ``begin``.
    """

    __slots__ = (
        "_wake",
        "begin",
        "channel",
        "express",
        "loop",
        "mailbox",
        "on_the_way",
        "readers",
    )

    def __init__(self, channel: str, mailbox: Mailbox[Message], wake: Callable[[], None]) -> None:
        self.channel: str = channel
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.express: Callable[[Broadcast | Joined], None] | None = None
        self.begin: Callable[[Message], bool] | None = None
        self.on_the_way: int = 0
        self.mailbox: Mailbox[Message] = mailbox
        self._wake = wake
        self.readers: Readers | None = None

    def put(self, message: Message, now: float) -> bool:
        """Deliver without waiting; ``False`` means the reader is too slow."""
        if may_begin():
            if self.express is not None and type(message) is Broadcast and message["type"] == SEND:
                self.express(message)
                return True
            if self.begin is not None and self.begin(message):
                return True
        accepted = self.mailbox.put(message, now)
        if accepted:
            self._wake()
        return accepted

    def take(self) -> Message | None:
        """Remove and return the next message, or ``None``; those who wait in ``get`` come first."""
        return None if self.readers is not None else self._take()

    def _take(self) -> Message | None:
        mailbox = self.mailbox
        if not len(mailbox):
            return None
        message = mailbox.take(time.monotonic())
        if mailbox.expired:
            count_expired(self.channel, mailbox)
        return message

    async def get(self) -> Message | None:
        """Wait for the next message, before the consumer. Cancelling takes nothing.

        Returns:
            The message; ``None`` if the consumer has gone, which leaves the rest to the hub.

        Raises:
            RuntimeError: This is not the consumer's event loop.
        """
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError(
                f"channel {self.channel!r} is read by its consumer; "
                "expected to be asked on the event loop of that"
            )
        readers = self.readers
        if readers is None:
            readers = self.readers = Readers(self._wake)
            self._wake = readers.arrived.set
            self.express = self.begin = None
        readers.count += 1
        try:
            while not readers.are_alone:
                if (message := self._take()) is not None:
                    return _of_its_own(message)
                readers.arrived.clear()
                await readers.arrived.wait()
            return None
        finally:
            readers.count -= 1
            if not readers.count:
                self.readers, self._wake = None, readers.wake
                # What else has come is the consumer's.
                self._wake()

    def leave_readers(self) -> bool:
        """Send those who wait in ``get`` back to the hub; return whether there are any."""
        # Those of a loop that has closed wait for nothing any more.
        if self.readers is None or self.loop.is_closed():
            return False
        self.readers.are_alone = True
        self.readers.arrived.set()
        return True

    def has_room(self, now: float, count: int = 1) -> bool:
        """Return whether ``count`` messages from other loops fit; safe in any thread."""
        mailbox = self.mailbox
        return mailbox.count_live(now) + self.on_the_way + count <= mailbox.capacity

    def qsize(self) -> int:
        """Count the unread messages."""
        return len(self.mailbox)

    def clear(self) -> int:
        """Drop every unread message and return how many those were."""
        dropped = self.mailbox.clear()
        count_expired(self.channel, self.mailbox)
        return dropped


class Backlog:
    """The unread messages of a channel that no consumer here owns.

    Any thread and any event loop may send to it and receive from it, so it locks.

    Attributes:
        mailbox: Where the messages are kept.
        readers: How many read it now; whoever hands it out counts them.
    """

    __slots__ = ("_lock", "_waiters", "channel", "mailbox", "readers")

    def __init__(self, channel: str, mailbox: Mailbox[Message]) -> None:
        self.channel: str = channel
        self.readers: int = 0
        self.mailbox: Mailbox[Message] = mailbox
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._lock = threading.Lock()

    def put(self, message: Message, now: float) -> bool:
        """Keep ``message`` for a reader; ``False`` means the channel is full."""
        with self._lock:
            accepted = self.mailbox.put(message, now)
            if accepted:
                self._wake_one()
        count_expired(self.channel, self.mailbox)
        return accepted

    async def get(self) -> Message:
        """Wait for the next message. Cancelling takes nothing."""
        while True:
            with self._lock:
                message = self.mailbox.take(time.monotonic())
                if message is None:
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
            count_expired(self.channel, self.mailbox)
            if message is not None:
                return _of_its_own(message)
            try:
                await waiter
            except BaseException:
                self._give_up(waiter)
                raise

    def has_room(self, now: float, count: int = 1) -> bool:
        """Return whether ``count`` more messages fit."""
        return self.mailbox.count_live(now) + count <= self.mailbox.capacity

    @property
    def expiry(self) -> float:
        """Seconds after which an unread message is dropped."""
        return self.mailbox.expiry

    def drop_expired(self, now: float) -> int:
        """Drop what has expired and return how many messages that were."""
        with self._lock:
            dropped = self.mailbox.drop_expired(now)
        count_expired(self.channel, self.mailbox)
        return dropped

    def next_deadline(self) -> float | None:
        """Return when the oldest message expires, or ``None`` when there is none."""
        return self.mailbox.next_deadline()

    def is_idle(self) -> bool:
        """Return whether nothing is unread and nobody reads."""
        return not len(self.mailbox) and not self.readers

    def qsize(self) -> int:
        """Count the unread messages."""
        return len(self.mailbox)

    def clear(self) -> int:
        """Drop every unread message and return how many those were."""
        with self._lock:
            dropped = self.mailbox.clear()
        count_expired(self.channel, self.mailbox)
        return dropped

    def _give_up(self, waiter: asyncio.Future[None]) -> None:
        # A reader that was woken and then cancelled passes its turn on.
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif len(self.mailbox):
                self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            loop = waiter.get_loop()
            if loop.is_closed():
                continue
            loop.call_soon_threadsafe(_wake, waiter)
            return


def count_expired(channel: str, mailbox: Mailbox[Message]) -> None:
    """Count the messages that ``mailbox`` has dropped unread since the last time."""
    if mailbox.expired:
        dropped, mailbox.expired = mailbox.expired, 0
        telemetry.emit(telemetry.MessageDropped(channel, "expired", dropped))


def _of_its_own(message: Message) -> Message:
    """Return what whoever reads it may change."""
    return message.message() if type(message) is Broadcast else message


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

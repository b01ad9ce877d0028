"""One message to every member of a group, in slices that leave the event loop to others.

A fan-out begins at once and mostly ends at once; what a message's handler sends that has itself
been begun (``stepping``) goes out in the next turn of the loop. One that takes longer than
``SLICE`` goes on in every other turn, of each of which all that go on share one slice; so a timer
waits for one slice and not for two. What is sent to the same group meanwhile stands in line behind
it, so every member gets the messages of a group in the same order.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from channels import telemetry
from channels._core.broadcast import SEND, Broadcast
from channels.layers.inbox import Backlog, Inbox
from channels.stepping import may_begin
from channels.typing import Message

SLICE: Final = 0.002
"""Seconds that a fan-out may hold the event loop at a time."""
LOOK: Final = 16
"""Members between two looks at the clock."""

Put = Callable[["FanOut", str], bool]
"""Delivers to a member that has no inbox on this loop; ``False`` if it is full."""
Ended = Callable[["FanOut"], object]
Loop = asyncio.AbstractEventLoop


def call_after_others(loop: Loop, callback: Callable[..., object], *args: Any) -> None:
    """Go on with a next slice: after what became due during this one, and whoever that wakes."""
    loop.call_soon(loop.call_soon, callback, *args)


def call_soon(loop: Loop, callback: Callable[..., object], *args: Any) -> None:
    """Go on in the loop's next turn."""
    loop.call_soon(callback, *args)


class FanOut:
    """One message on its way.

    Args:
        group: Where it goes.
        members: The channels in it.
        channels: What holds their messages.
        copies: Makes the message of each.
        sent_at: When it was sent, on the monotonic clock.

    Attributes:
        group: Where it goes.
        copies: Makes the message of each member.
        sent_at: When it was sent.
        delivered: Members that have it.
        dropped: Members that were over their capacity.
    """

    __slots__ = (
        "_channels",
        "_index",
        "_loop",
        "_members",
        "copies",
        "delivered",
        "done",
        "dropped",
        "group",
        "sent_at",
    )

    def __init__(
        self,
        group: str,
        members: tuple[str, ...],
        *,
        channels: Mapping[str, Inbox | Backlog],
        copies: Callable[[], Message],
        sent_at: float,
    ) -> None:
        self.group: str = group
        self._members = members
        self._channels = channels
        self.copies: Callable[[], Message] = copies
        self.sent_at: float = sent_at
        self._loop = asyncio.get_running_loop()
        self._index = 0
        self.delivered: int = 0
        self.dropped: int = 0
        # Made for whoever waits for the end.
        self.done: asyncio.Future[None] | None = None

    @property
    def is_done(self) -> bool:
        """Whether every member has had its turn."""
        return self._index >= len(self._members)

    def advance(self, put: Put, until: float) -> None:
        """Put a copy into the next members' inboxes.

        Args:
            put: Delivers to a channel that is not an inbox of this loop.
            until: When to stop, on the monotonic clock, after ``LOOK`` members at least.
        """
        members, channels, copies = self._members, self._channels, self.copies
        sent_at, loop = self.sent_at, self._loop
        frame = copies if type(copies) is Broadcast and copies["type"] == SEND else None
        while not self.is_done:
            start = self._index
            self._index = min(start + LOOK, len(members))
            dropped = 0
            for channel in members[start : self._index]:
                box = channels.get(channel)
                if type(box) is Inbox and box.loop is loop:
                    if frame is not None and (express := box.express) is not None:
                        express(frame)
                        continue
                    message, begin = copies(), box.begin
                    is_in = (begin is not None and begin(message)) or box.put(message, sent_at)
                else:
                    is_in = put(self, channel)
                if not is_in:
                    dropped += 1
                    telemetry.emit(telemetry.MessageDropped(channel, "full"))
            self.dropped += dropped
            self.delivered += self._index - start - dropped
            if time.monotonic() > until:
                return

    def end(self, error: BaseException | None = None) -> None:
        """Let whoever waits go on."""
        self._index = len(self._members)
        if self.done is not None and not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)


class FanOuts:
    """Those of one hub, in line by group.

    Args:
        put: Delivers to a channel that is not an inbox of the running loop.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        # Each loop has lines of its own, and only it looks at them.
        self._lines: dict[tuple[Loop, str], list[FanOut]] = {}
        # The groups whose fan-outs go on, in the order of their turns, by loop.
        self._going_on: dict[Loop, deque[str]] = {}

    def start(self, fan: FanOut) -> asyncio.Future[Any] | None:
        """Begin, or stand in line; return what is done at the end, if that has not come yet.

        Raises:
            Exception: The message cannot be delivered at all.
        """
        key = (fan._loop, fan.group)
        line = self._lines.get(key)
        if line is not None:
            line.append(fan)
            fan.done = fan._loop.create_future()
            return fan.done
        line = self._lines[key] = [fan]
        if not may_begin():
            # Within a message's handler that has been begun, the members' cannot begin.
            fan.done = fan._loop.create_future()
            self._go_on_later(fan, call_soon)
            return fan.done
        try:
            fan.advance(self._put, time.monotonic() + SLICE)
        except BaseException:
            fan.end()
            raise
        finally:
            if fan.is_done:
                del line[0]
            else:
                fan.done = fan._loop.create_future()
            if line:
                self._go_on_later(fan, call_after_others)
            else:
                del self._lines[key]
        return fan.done

    def _go_on_later(self, fan: FanOut, call: Callable[..., None]) -> None:
        loop = fan._loop
        waiting = self._going_on.get(loop)
        if waiting is None:
            waiting = self._going_on[loop] = deque()
            call(loop, self._go_on, loop)
        waiting.append(fan.group)

    def _go_on(self, loop: Loop) -> None:
        waiting = self._going_on[loop]
        until = time.monotonic() + SLICE
        # Each has a turn at most, so that those behind a long one come before it does again.
        for _ in range(len(waiting)):
            if self._advance(loop, group := waiting.popleft(), until):
                waiting.append(group)
            if time.monotonic() > until:
                break
        if waiting:
            call_after_others(loop, self._go_on, loop)
        else:
            del self._going_on[loop]

    def _advance(self, loop: Loop, group: str, until: float) -> bool:
        """Let the first fan-out of a line go on; return whether there is more to do."""
        key = (loop, group)
        line = self._lines[key]
        fan = line[0]
        try:
            fan.advance(self._put, until)
        except Exception as error:
            fan.end(error)
        if fan.is_done:
            del line[0]
            fan.end()
        if not line:
            del self._lines[key]
        return bool(line)

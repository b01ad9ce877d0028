"""One message to every member of a group, in slices that leave the event loop to others.

A fan-out mostly begins at once and ends at once; what a message's handler sends that has itself
been begun (``stepping``) goes out in the next turn of the loop. One that takes longer than
``SLICE`` goes on in every other turn, of each of which all that go on share one slice; so a timer
waits for one slice and not for two. What is sent to the same group meanwhile stands in line behind
it, so every member gets the messages of a group in the same order.

Messages that stand in line together go together: a member gets all of them, then the next member
does, and each client's frames are one write. So that they come together, what a handler sends to a
``LARGE`` group stands in line first, and its sender goes on (``leaving``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from channels import telemetry
from channels._core.broadcast import SEND, Broadcast, Joined, join
from channels.layers.inbox import Backlog, Inbox
from channels.stepping import may_begin
from channels.typing import Message

SLICE: Final = 0.002
"""Seconds that a fan-out may hold the event loop at a time."""
LOOK: Final = 16
"""Messages between two looks at the clock."""
LARGE: Final = 64
"""Members; a message to more may wait a turn of the loop for others."""
MOST_TOGETHER: Final = 8
"""Messages of a group that go together, and that stand in line while their senders go on."""

logger: logging.Logger = logging.getLogger("channels.layers")

Ended = Callable[["FanOut"], object]
Loop = asyncio.AbstractEventLoop
Line = tuple[Loop, str]


class Boxes(Protocol):
    """Where members' messages go: the hub.

    Attributes:
        channels: What holds the messages of each channel.
    """

    channels: dict[str, Inbox | Backlog]

    def put_for_member(self, fan: FanOut, channel: str) -> bool:
        """Deliver to a member that has no inbox on this loop; ``False`` if it is full."""
        ...


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
        copies: Makes the message of each.

    Attributes:
        loop: The event loop it is on.
        group: Where it goes.
        members: The channels in it.
        copies: Makes the message of each member.
        sent_at: When it was sent, on the monotonic clock; whoever makes it sets this.
        ended: Called when every member has had its turn, if whoever makes it sets this.
        dropped: Members that were over their capacity.
        failure: Why it does not reach the other members.
        done: Done at the end, for whoever waits.
        is_left: Its sender does not wait, or is not to be told what fails.
    """

    # Without keywords: with them, Python makes an object in twice the time.
    def __init__(self, group: str, members: tuple[str, ...], copies: Callable[[], Message]) -> None:
        self.group: str = group
        self.members: tuple[str, ...] = members
        self.copies: Callable[[], Message] = copies
        self.loop: Loop = asyncio.get_running_loop()

    # Most keep these.
    sent_at: float = 0.0
    ended: Ended | None = None
    dropped: int = 0
    failure: BaseException | None = None
    done: asyncio.Future[None] | None = None
    is_left: bool = False
    _index = 0

    @property
    def is_over(self) -> bool:
        """Whether every member has had its turn, or gets none."""
        return self._index >= len(self.members) or self.failure is not None

    @property
    def delivered(self) -> int:
        """Members that have it."""
        return self._index - self.dropped

    def stand_behind(self, last: FanOut) -> None:
        """Share the members of ``last``, if they are the same; O(members)."""
        if self.members == last.members:
            self.members = last.members

    def goes_with(self, first: FanOut) -> bool:
        """Return whether its next members are just those of ``first``. O(1)."""
        return self._index == first._index and self.members is first.members

    def advance(self, boxes: Boxes, until: float, others: Sequence[FanOut] = ()) -> None:
        """Put a copy into the next members' inboxes.

        Args:
            boxes: Where the members' messages go.
            until: When to stop, on the monotonic clock, after ``LOOK`` messages at least.
            others: Go with it; each member gets theirs right behind.
        """
        members, start = self.members, self._index
        together: Sequence[FanOut] = (self, *others)
        frame = _frame_of(together)
        while True:
            end = min(start + LOOK // len(together), len(members))
            left = _deliver(together, frame, members[start:end], boxes=boxes)
            if left is not together:
                together, frame = left, _frame_of(left)
            for fan in together:
                fan._index = end
            if end == len(members) or not together or time.monotonic() > until:
                return
            start = end

    def fail(self, error: Exception, channel: str) -> None:
        """Note why ``channel``, which is one of the next members, and those behind it get none."""
        self.failure, self._index = error, self.members.index(channel, self._index)

    def end(self) -> None:
        """Let whoever waits go on."""
        if self.done is not None and not self.done.done():
            if self.failure is None or self.is_left:
                self.done.set_result(None)
            else:
                self.done.set_exception(self.failure)
        if self.failure is not None and self.is_left:
            missed = len(self.members) - self._index
            what = "A message to group %s did not reach %s of its members."
            logger.error(what, self.group, missed, exc_info=self.failure)
            telemetry.emit(telemetry.MessageDropped(self.group, "failed", missed))
        elif self.failure is None and self.ended is not None:
            try:
                self.ended(self)
            except Exception:
                # The group's other messages go on.
                logger.exception("What follows a message to group %s failed.", self.group)


class FanOuts:
    """Those of one hub, in line by group.

    Args:
        boxes: Where members' messages go.
    """

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        # Each loop has lines of its own, and only it looks at them.
        self._lines: dict[Line, list[FanOut]] = {}
        # The lines that go on, in the order of their turns, by loop.
        self._going_on: dict[Loop, deque[Line]] = {}

    def start(self, fan: FanOut, may_leave: Callable[[], bool]) -> None:
        """Begin, or stand in line; if it is not over then, ``fan.done`` says when it is.

        Args:
            fan: Has not begun.
            may_leave: Whether its sender need not wait, if the group is large.

        Raises:
            Exception: The message cannot be delivered at all.
        """
        key = (fan.loop, fan.group)
        line = self._lines.get(key)
        leaves = len(fan.members) > LARGE and may_leave()
        if line is None and not leaves and may_begin():
            if self._begin(fan, key):
                return
        elif line is None:
            # Within a message's handler that has been begun, the members' cannot begin.
            line = self._lines[key] = [fan]
            self._go_on_later(key, call_soon)
        else:
            if line:
                fan.stand_behind(line[-1])
            line.append(fan)
        fan.done = fan.loop.create_future()
        fan.is_left = leaves and line is not None and len(line) <= MOST_TOGETHER

    def _begin(self, fan: FanOut, key: Line) -> bool:
        """Let ``fan`` go; return whether it is over."""
        line = self._lines[key] = [fan]
        try:
            fan.advance(self._boxes, time.monotonic() + SLICE)
        except BaseException as error:
            fan.failure = error
        if is_over := fan.is_over:
            del line[0]
            fan.end()
        if line:
            self._go_on_later(key, call_after_others)
        else:
            del self._lines[key]
        if fan.failure is not None:
            raise fan.failure
        return is_over

    def _go_on_later(self, key: Line, call: Callable[..., None]) -> None:
        loop = key[0]
        waiting = self._going_on.get(loop)
        if waiting is None:
            self._forget_closed()
            waiting = self._going_on[loop] = deque()
            call(loop, self._go_on, loop)
        waiting.append(key)

    def _forget_closed(self) -> None:
        """Count what was on its way on event loops that have closed meanwhile."""
        # Other threads change it meanwhile, and may find the same.
        for loop in [loop for loop in tuple(self._going_on) if loop.is_closed()]:
            for key in self._going_on.pop(loop, ()):
                for fan in self._lines.pop(key):
                    missed = len(fan.members) - fan._index
                    telemetry.emit(telemetry.MessageDropped(fan.group, "closed", missed))

    def _go_on(self, loop: Loop) -> None:
        waiting = self._going_on[loop]
        until = time.monotonic() + SLICE
        # Each has a turn at most, so that those behind a long one come before it does again.
        for _ in range(len(waiting)):
            if self._advance(key := waiting.popleft(), until):
                waiting.append(key)
            if time.monotonic() > until:
                break
        if waiting:
            call_after_others(loop, self._go_on, loop)
        else:
            del self._going_on[loop]

    def _advance(self, key: Line, until: float) -> bool:
        """Let the first of a line go on, and all who go with it; return whether more is to do."""
        line = self._lines[key]
        first = line[0]
        others = _followers(first, line) if len(line) > 1 else ()
        try:
            first.advance(self._boxes, until, others)
        except Exception as error:
            # A frame that cannot be sent.
            for fan in (first, *others):
                fan.failure = error
        if first.is_over or others:
            for fan in (first, *others):
                if fan.is_over:
                    line.remove(fan)
                    fan.end()
        if line:
            return True
        del self._lines[key]
        return False


def _deliver(
    together: Sequence[FanOut],
    frame: Broadcast | Joined | None,
    members: tuple[str, ...],
    *,
    boxes: Boxes,
) -> Sequence[FanOut]:
    """Put copies of all that go together into the next ``members``' inboxes.

    Args:
        together: Those.
        frame: See ``_frame_of``.
        members: At most ``LOOK``.
        boxes: Where their messages go.

    Returns:
        Those that can go on; the others have failed.
    """
    channels, loop = boxes.channels, together[0].loop
    for channel in members:
        box = channels.get(channel)
        inbox = box if type(box) is Inbox and box.loop is loop else None
        if frame is not None and inbox is not None and inbox.express is not None:
            try:
                inbox.express(frame)
            except Exception as error:
                for fan in together:
                    fan.fail(error, channel)
                return ()
            continue
        for fan in together:
            try:
                if inbox is None:
                    is_in = boxes.put_for_member(fan, channel)
                else:
                    message = fan.copies()
                    if inbox.begin is not None and inbox.begin(message):
                        continue
                    is_in = inbox.put(message, fan.sent_at)
            except Exception as error:
                fan.fail(error, channel)
                together = [other for other in together if other is not fan]
                frame = _frame_of(together)
                continue
            if not is_in:
                fan.dropped += 1
                telemetry.emit(telemetry.MessageDropped(channel, "full"))
    return together


def _followers(first: FanOut, line: list[FanOut]) -> list[FanOut]:
    found = []
    for fan in line[1:MOST_TOGETHER]:
        if not fan.goes_with(first):
            break
        found.append(fan)
    return found


def _frame_of(together: Sequence[FanOut]) -> Broadcast | Joined | None:
    """Return what an idle client gets without a handler, if all that go together are frames."""
    frames: list[Broadcast] = []
    for fan in together:
        if type(fan.copies) is not Broadcast or fan.copies["type"] != SEND:
            return None
        frames.append(fan.copies)
    return join(frames) if len(frames) > 1 else next(iter(frames), None)

"""The inboxes and memberships of one process, and the fan-out between them.

A message for a consumer on the running event loop goes straight into its inbox: no lock, no task.
Consumers on other loops get theirs in one batch per loop. Joining, leaving, channels without a
consumer and other loops share one lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import threading
import time
from collections.abc import Callable, Mapping

from channels import telemetry
from channels._core.mailbox import Mailbox
from channels._core.membership import Membership
from channels.layers.fan_out import SLICE, Ended, FanOut, FanOuts, call_after_others, call_soon
from channels.layers.inbox import Backlog, Inbox
from channels.typing import Message

Arrival = tuple[Inbox, Message, float]


class Hub:
    """Inboxes and memberships of one channel layer in this process.

    Args:
        group_expiry: Seconds until a membership ends that no consumer here keeps alive.
        new_mailbox: Makes the mailbox of a channel.
        emptied: Called in any thread with each group that has no member here any more. It must
            not call the hub.
    """

    def __init__(
        self,
        group_expiry: float,
        new_mailbox: Callable[[str], Mailbox[Message]],
        emptied: Callable[[str], None] = lambda group: None,
    ) -> None:
        self.channels: dict[str, Inbox | Backlog] = {}
        self.membership: Membership = Membership(group_expiry, emptied)
        self._new_mailbox = new_mailbox
        # When to look into a channel without a consumer next: one entry each, the soonest first.
        self._due: list[tuple[float, str]] = []
        self._watched: set[str] = set()
        self._arrivals: dict[asyncio.AbstractEventLoop, list[Arrival]] = {}
        self._lock = threading.RLock()
        self._fan_outs = FanOuts(self)

    def attach(self, channel: str, wake: Callable[[], None]) -> Inbox:
        """Give ``channel``, and what waits there, to a consumer on the running event loop."""
        with self._lock:
            box = self.channels.get(channel)
            mailbox = box.mailbox if isinstance(box, Backlog) else self._new_mailbox(channel)
            inbox = self.channels[channel] = Inbox(channel, mailbox, wake)
        return inbox

    def detach(self, channel: str) -> None:
        """Forget ``channel``, its unread messages and its memberships. Idempotent.

        Where somebody waits in ``receive``, the unread messages are his.
        """
        with self._lock:
            self.membership.leave_all(channel)
            box = self.channels.pop(channel, None)
            if isinstance(box, Inbox) and box.leave_readers():
                unread = self._keep(box)
            else:
                unread = 0 if box is None else self._clear(box)
        if unread:
            telemetry.emit(telemetry.MessageDropped(channel, "closed", unread))

    def join(self, group: str, channel: str) -> None:
        """Put ``channel`` into ``group``, or refresh its membership. O(1)."""
        with self._lock:
            self.membership.add(group, channel, time.time())

    def leave(self, group: str, channel: str) -> None:
        """Take ``channel`` out of ``group``. O(1)."""
        with self._lock:
            self.membership.discard(group, channel)

    def leave_all(self, channel: str) -> None:
        """Take ``channel`` out of its groups. O(its groups)."""
        with self._lock:
            self.membership.leave_all(channel)

    def replace_channels(self, channels: dict[str, Inbox | Backlog]) -> None:
        """Let ``channels`` be what there is; what was there before is forgotten, not changed."""
        with self._lock:
            self.channels = channels

    def replace_groups(self, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Let ``groups`` be the memberships, and no others."""
        with self._lock:
            self.membership.replace(groups)

    def deliver(self, channel: str, message: Message, age: float = 0.0) -> bool:
        """Put ``message``, sent ``age`` seconds ago, into an inbox; ``False`` means it is full."""
        now = time.monotonic() - age
        box = self.channels.get(channel)
        if isinstance(box, Inbox) and box.loop is asyncio.get_running_loop():
            return box.put(message, now)
        return self._put_elsewhere(channel, message, now)

    def has_room(self, channel: str, count: int = 1) -> bool:
        """Return whether ``count`` more messages fit into ``channel`` now. O(its messages)."""
        box = self.channels.get(channel)
        if box is None:
            return count <= self._new_mailbox(channel).capacity
        return box.has_room(time.monotonic(), count)

    def fan_out(
        self,
        group: str,
        copies: Callable[[], Message],
        age: float = 0.0,
        *,
        ended: Ended | None = None,
        may_leave: Callable[[], bool] = lambda: False,
    ) -> FanOut:
        """Put a copy into the inbox of every member; a full one drops it, counted. O(members).

        Args:
            group: Whose members.
            copies: Makes the message of each.
            age: Seconds since it was sent.
            ended: Called when every member has had its turn.
            may_leave: Asked if the group is large: whether the sender need not wait, because the
                event loop goes on and nothing that it sends next may overtake.

        Returns:
            The fan-out: if it ``is_left`` the sender need not wait, else for ``done``, if any.
        """
        fan = FanOut(group, self.members(group), copies)
        fan.sent_at = time.monotonic() - age
        fan.ended = ended
        self._fan_outs.start(fan, may_leave)
        return fan

    def fan_out_to(
        self, group: str, members: tuple[str, ...], copies: Callable[[], Message]
    ) -> FanOut:
        """Put a copy into the inboxes of these members, behind what the group got before.

        Returns:
            The fan-out, as that of ``fan_out``.
        """
        fan = FanOut(group, members, copies)
        fan.sent_at = time.monotonic()
        self._fan_outs.start(fan, lambda: False)
        return fan

    async def receive(self, channel: str) -> Message:
        """Wait for the next message of a channel.

        While somebody waits for one of a consumer's channel, that gets none. Once the consumer has
        gone, the channel is read as one that nobody owns.

        Cancelling takes nothing.

        Raises:
            RuntimeError: It is the channel of a consumer on another event loop.
        """
        while True:
            with self._lock:
                box = self.channels.get(channel)
                if not isinstance(box, Inbox):
                    backlog = self._backlog(channel)
                    backlog.readers += 1
                    break
            if (message := await box.get()) is not None:
                return message
        try:
            return await backlog.get()
        finally:
            with self._lock:
                backlog.readers -= 1
                self._drop_if_idle(backlog)

    def sweep(self) -> None:
        """Drop what has expired in channels without a consumer, and their memberships.

        O(1) when none is due; O(log channels) for each that is.
        """
        # Every send asks: most have nothing to look at, and none takes the lock for that.
        if not self._due:
            return
        now = time.monotonic()
        with contextlib.suppress(IndexError):  # another thread may empty the list meanwhile
            if self._due[0][0] > now:
                return
        with self._lock:
            while self._due and self._due[0][0] <= now:
                channel = heapq.heappop(self._due)[1]
                self._watched.discard(channel)
                box = self.channels.get(channel)
                if isinstance(box, Backlog):
                    self._clean(box, now)

    def expire_memberships(self) -> None:
        """End the memberships that are too old, in every group. O(groups).

        Sending to a group does this for that group alone.
        """
        now = time.time()
        with self._lock:
            for group in tuple(self.membership.groups):
                self.membership.expire(group, now, self._is_attached)

    def flush(self) -> None:
        """Drop every message and membership; consumers keep their inboxes."""
        with self._lock:
            self.membership.clear()
            for box in tuple(self.channels.values()):
                self._clear(box)
                if isinstance(box, Backlog):
                    self._drop_if_idle(box)

    def members(self, group: str) -> tuple[str, ...]:
        """Return who is in ``group`` now, without those whose membership has ended. O(members)."""
        members = self.membership.groups[group]
        snapshot = tuple(members)
        now = time.time()
        if not snapshot or members.get(snapshot[0], now) + self.membership.expiry > now:
            return snapshot
        with self._lock:
            self.membership.expire(group, now, self._is_attached)
            return tuple(self.membership.groups[group])

    def _is_attached(self, channel: str) -> bool:
        return isinstance(self.channels.get(channel), Inbox)

    def put_for_member(self, fan: FanOut, channel: str) -> bool:
        """Deliver to a member that has no inbox on this loop; ``False`` if it is full."""
        if channel not in self.channels and channel not in self.membership.groups[fan.group]:
            # It has gone since the message was sent.
            telemetry.emit(telemetry.MessageDropped(channel, "closed"))
            return True
        return self._put_elsewhere(channel, fan.copies(), fan.sent_at)

    def _put_elsewhere(self, channel: str, message: Message, now: float) -> bool:
        """Put a message into an inbox of another loop, or keep it for a reader."""
        with self._lock:
            # Looked up again: in another thread its consumer may have come or gone meanwhile.
            box = self.channels.get(channel)
            if isinstance(box, Inbox):
                return self._post(box, message, now)
            backlog = self._backlog(channel)
            self._watch(channel, now + backlog.expiry)
            return backlog.put(message, now)

    def _backlog(self, channel: str) -> Backlog:
        box = self.channels.get(channel)
        if not isinstance(box, Backlog):
            box = self.channels[channel] = Backlog(channel, self._new_mailbox(channel))
        return box

    # The lock is held from here on.

    def _watch(self, channel: str, deadline: float) -> None:
        if channel not in self._watched:
            self._watched.add(channel)
            heapq.heappush(self._due, (deadline, channel))

    def _clean(self, backlog: Backlog, now: float) -> None:
        if backlog.drop_expired(now):
            self.membership.leave_all(backlog.channel)
        deadline = backlog.next_deadline()
        if deadline is None:
            self._drop_if_idle(backlog)
        else:
            self._watch(backlog.channel, deadline)

    def _drop_if_idle(self, backlog: Backlog) -> None:
        if backlog.is_idle() and self.channels.get(backlog.channel) is backlog:
            del self.channels[backlog.channel]

    def _clear(self, box: Inbox | Backlog) -> int:
        """Drop what is in ``box`` or on its way there; return how many messages that is."""
        dropped = box.clear()
        if isinstance(box, Inbox):
            dropped += len(self._stop_on_the_way(box))
        return dropped

    def _keep(self, inbox: Inbox) -> int:
        """Keep what is in ``inbox`` or on its way there for a reader; return what has no room."""
        if (deadline := inbox.mailbox.next_deadline()) is not None:
            self.channels[inbox.channel] = Backlog(inbox.channel, inbox.mailbox)
            self._watch(inbox.channel, deadline)
        late = self._stop_on_the_way(inbox)
        return sum(not self._put_elsewhere(inbox.channel, each[1], each[2]) for each in late)

    def _stop_on_the_way(self, inbox: Inbox) -> list[Arrival]:
        """Return what other loops have sent to ``inbox`` and has not arrived, which it will not."""
        if not inbox.on_the_way:
            return []
        inbox.on_the_way = 0
        batch = self._arrivals[inbox.loop]
        stopped = [arrival for arrival in batch if arrival[0] is inbox]
        batch[:] = [arrival for arrival in batch if arrival[0] is not inbox]
        if not batch and inbox.loop.is_closed():
            del self._arrivals[inbox.loop]
        return stopped

    def _post(self, inbox: Inbox, message: Message, now: float) -> bool:
        if not inbox.has_room(now) and not inbox.loop.is_closed():
            return False
        inbox.on_the_way += 1
        is_first = inbox.loop not in self._arrivals
        self._arrivals.setdefault(inbox.loop, []).append((inbox, message, now))
        try:
            if is_first or inbox.loop.is_closed():
                inbox.loop.call_soon_threadsafe(self._land, inbox.loop)
        except RuntimeError:
            # The loop has closed, and its consumer died with it before it could say so.
            self.detach(inbox.channel)
        return True

    def _land(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            batch, self._arrivals[loop] = self._arrivals.get(loop, []), []
            for inbox, _, _ in batch:
                inbox.on_the_way -= 1
        until = time.monotonic() + SLICE
        landed = 0
        try:
            for inbox, message, now in batch:
                landed += 1
                if not inbox.put(message, now):
                    telemetry.emit(telemetry.MessageDropped(inbox.channel, "full"))
                if time.monotonic() > until:
                    break
        finally:
            self._go_on_landing(loop, batch[landed:])

    def _go_on_landing(self, loop: asyncio.AbstractEventLoop, rest: list[Arrival]) -> None:
        """Let the rest of a batch, and what has come meanwhile, land in a later turn."""
        with self._lock:
            here = [each for each in rest if self.channels.get(each[0].channel) is each[0]]
            for inbox, _, _ in here:
                inbox.on_the_way += 1
            # As long as there is an entry, a landing is due.
            self._arrivals[loop][:0] = here
            if not self._arrivals[loop]:
                del self._arrivals[loop]
            elif rest:
                call_after_others(loop, self._land, loop)
            else:
                call_soon(loop, self._land, loop)
        for inbox, _, _ in rest:
            if self.channels.get(inbox.channel) is not inbox:
                telemetry.emit(telemetry.MessageDropped(inbox.channel, "closed"))

"""Topics within one process: what is kept in memory ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from channels.history.broker import Listener, Retention
from channels.history.position import Excerpt, Position, Publication
from channels.history.recovery import Log
from channels.presence.members import Members
from channels.presence.state import Change, Present

DEDUPLICATION: Final = 60.0
"""Seconds for which the id of a publication is remembered."""
ABANDONED: Final = 600.0
"""Seconds after which a topic that nobody is in may count its changes anew."""
MOST_IDS: Final = 100_000
"""Ids remembered at once."""
UNPUBLISHED: Final = Retention(entries=1, max_bytes=0, ttl=86_400.0)
"""Of a topic that was only read."""


class MemoryTopics:
    """The topics of one layer in this process. Any thread and event loop may use it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._logs: dict[str, Log] = {}
        self._ends: dict[str, float] = {}
        self._members: dict[str, Members] = {}
        self._members_end: dict[str, float] = {}
        self._published: dict[str, tuple[Position, float]] = {}
        self._brokers: dict[MemoryTopicBroker, set[str]] = {}

    def open(self, listener: Listener) -> MemoryTopicBroker:
        """Return a broker for the running event loop."""
        broker = MemoryTopicBroker(self, listener)
        with self._lock:
            for dead in [one for one in self._brokers if one.loop.is_closed()]:
                del self._brokers[dead]
            self._brokers[broker] = set()
        return broker

    def publish(
        self, topic: str, body: bytes, *, retention: Retention | None, publication_id: str
    ) -> Position | None:
        """Keep it, and hand it to every broker that listens."""
        with self._lock:
            if retention is None:
                self._tell(topic, lambda one: one.arrived(topic, "", Publication(0, body)))
                return None
            now = time.monotonic()
            self._expire(now)
            if (seen := self._published.get(publication_id)) is not None:
                return seen[0]
            log = self._log(topic, now, retention)
            publication = Publication(log.position.offset + 1, body)
            log.append(publication, now)
            position = log.position
            self._remember(publication_id, position, now)
            self._tell(topic, lambda one: one.arrived(topic, position.epoch, publication))
            return position

    def read(self, topic: str, after: int) -> Excerpt:
        """Return what is kept after an offset."""
        with self._lock:
            now = time.monotonic()
            self._expire(now)
            kept = self._logs.get(topic)
            # Whoever reads it has it open: its position must not be forgotten under them.
            log = self._log(topic, now, UNPUBLISHED if kept is None else kept.retention)
            log.trim(now)
            return log.after(after)

    def forget(self, topic: str) -> None:
        """Erase the history of a topic, and who is there."""
        with self._lock:
            self._logs.pop(topic, None)
            self._ends.pop(topic, None)
            if topic in self._members:
                self.change(topic, lambda members, now: members.clear())
            for broker in self._brokers:
                broker.note_forgotten(topic)

    def flush(self) -> None:
        """Erase every topic."""
        with self._lock:
            for topic in {*self._logs, *self._members}:
                self.forget(topic)

    def change(self, topic: str, what: Callable[[Members, float], Change | None]) -> None:
        """Change who is in a topic, and tell whoever listens."""
        with self._lock:
            now = time.monotonic()
            change = what(self._members_of(topic, now), now)
            if change is not None:
                self._tell(topic, lambda one: one.presence_changed(topic, change))

    def present(self, topic: str) -> Present:
        """Return who is in a topic."""
        with self._lock:
            self.change(topic, Members.expire)
            return self._members[topic].present()

    def listen(self, broker: MemoryTopicBroker, topic: str) -> None:
        """Tell ``broker`` of a topic."""
        with self._lock:
            self._brokers.setdefault(broker, set()).add(topic)

    def unlisten(self, broker: MemoryTopicBroker, topic: str) -> None:
        """Tell it no more."""
        with self._lock:
            self._brokers.get(broker, set()).discard(topic)

    def signal(self, body: bytes) -> None:
        """Tell every broker."""
        with self._lock:
            for broker in self._brokers:
                broker.post(lambda one: one.signalled(body))

    def close(self, broker: MemoryTopicBroker) -> None:
        """Forget a broker."""
        with self._lock:
            self._brokers.pop(broker, None)

    def _tell(self, topic: str, what: Callable[[Listener], Any]) -> None:
        # Under the lock, so that every listener hears everything in the same order.
        for broker, topics in self._brokers.items():
            if topic in topics:
                broker.post(what)

    def _log(self, topic: str, now: float, retention: Retention) -> Log:
        log = self._logs.get(topic)
        if log is None:
            log = self._logs[topic] = Log(retention, Position(secrets.token_hex(4), 0))
        log.retention = retention
        # Those whose end is near stand first, as far as their lifetimes are alike.
        self._ends.pop(topic, None)
        self._ends[topic] = now + retention.ttl
        return log

    def _members_of(self, topic: str, now: float) -> Members:
        self._expire(now)
        members = self._members.pop(topic, None)
        if members is None:
            # The count begins with the time, so as never to use a number again that somebody knows.
            members = Members(int(time.time() * 1000))
        # The ones that were used last stand last.
        self._members[topic] = members
        self._members_end[topic] = now + ABANDONED
        return members

    def _expire(self, now: float) -> None:
        while self._ends:
            topic, end = next(iter(self._ends.items()))
            if end > now:
                break
            del self._ends[topic], self._logs[topic]
        while self._members:
            topic, members = next(iter(self._members.items()))
            if len(members) or self._members_end[topic] > now:
                break
            del self._members[topic], self._members_end[topic]
        while self._published:
            publication_id, (_, end) = next(iter(self._published.items()))
            if end > now:
                break
            del self._published[publication_id]

    def _remember(self, publication_id: str, position: Position, now: float) -> None:
        self._published[publication_id] = position, now + DEDUPLICATION
        if len(self._published) > MOST_IDS:
            del self._published[next(iter(self._published))]


class MemoryTopicBroker:
    """The topics of one process, seen from one event loop; see ``TopicBroker``.

    Attributes:
        loop: That loop.
        node: Its id.
        forgotten: Topics with members here that were forgotten since their leases were renewed.
        is_closed: Whether it was closed.
    """

    def __init__(self, topics: MemoryTopics, listener: Listener) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.node: str = secrets.token_hex(8)
        self.forgotten: set[str] = set()
        self.is_closed: bool = False
        self._topics = topics
        self._listener = listener
        self._heard: deque[Callable[[Listener], Any]] = deque()
        self._busy: asyncio.Future[Any] | None = None
        # Who entered here, by topic and connection, for a topic that was forgotten meanwhile.
        self._entered: dict[str, dict[str, tuple[str, str]]] = {}

    def post(self, what: Callable[[Listener], Any]) -> None:
        """Have the listener hear of something on its own loop, in the order of the calls."""
        if self.loop.is_closed():
            return  # nobody is there to hear of it
        self._heard.append(what)
        if self.loop is asyncio._get_running_loop():
            # Whose broker is this one hears of it before that, as soon as the topics are unlocked.
            self.loop.call_soon(self._hear)
        else:
            with contextlib.suppress(RuntimeError):  # it has closed meanwhile
                self.loop.call_soon_threadsafe(self._hear)

    def note_forgotten(self, topic: str) -> None:
        """Let those who are in a topic here enter again, when it is renewed."""
        if topic in self._entered:
            self.forgotten.add(topic)

    async def publish(
        self, topic: str, body: bytes, *, retention: Retention | None, publication_id: str
    ) -> Position | None:
        """Keep it and hand it out. No waiting."""
        position = self._topics.publish(
            topic, body, retention=retention, publication_id=publication_id
        )
        self._hear()
        if self._busy is not None and not self._busy.done():
            # As fast as subscribers are served, and no faster.
            await asyncio.wait([self._busy])
        return position

    async def read(self, topic: str, after: int) -> Excerpt:
        """Return what is kept after an offset. No waiting."""
        return self._topics.read(topic, after)

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        """Return where each topic stands. No waiting."""
        return [self._topics.read(topic, 2**53).position for topic in topics]

    async def forget(self, topic: str) -> None:
        """Erase what is kept, and who is there."""
        self._topics.forget(topic)
        self._hear()

    async def hear_signals(self) -> None:
        """Do nothing: signals are heard from the beginning."""

    async def listen(self, topic: str) -> None:
        """Hear of a topic."""
        self._topics.listen(self, topic)

    def unlisten(self, topic: str) -> None:
        """Hear of it no more."""
        self._topics.unlisten(self, topic)

    async def signal(self, body: bytes) -> None:
        """Give a signal to every event loop of this process."""
        self._topics.signal(body)
        self._hear()

    async def enter(self, topic: str, connection: str, key: str, *, shown: str) -> None:
        """Note that a connection is in a topic."""
        self._entered.setdefault(topic, {})[connection] = key, shown
        self._enter(topic, connection, key, shown=shown)

    async def leave(self, topic: str, connection: str) -> None:
        """Note that it has left."""
        entered = self._entered.get(topic, {})
        entered.pop(connection, None)
        if not entered:
            self._entered.pop(topic, None)
            self.forgotten.discard(topic)
        self._change(topic, lambda members, now: members.leave((self.node, connection)))

    async def renew(self, topics: Sequence[str], lease: float) -> None:
        """Renew the lease, and end those that have run out; members of a forgotten topic enter."""
        for topic in topics:
            if topic in self.forgotten:
                self.forgotten.discard(topic)
                for connection, (key, shown) in self._entered.get(topic, {}).items():
                    self._enter(topic, connection, key, shown=shown)
            self._change(topic, lambda members, now: self._renew(members, now, lease))

    async def present(self, topic: str) -> Present:
        """Return who is in a topic. No waiting."""
        present = self._topics.present(topic)
        self._hear()
        return present

    async def close(self) -> None:
        """Hear of nothing more."""
        self.is_closed = True
        self._topics.close(self)

    def _change(self, topic: str, what: Callable[[Members, float], Change | None]) -> None:
        self._topics.change(topic, what)
        self._hear()

    def _enter(self, topic: str, connection: str, key: str, *, shown: str) -> None:
        me = (self.node, connection)
        self._change(topic, lambda members, now: members.enter(me, key, shown))

    def _renew(self, members: Members, now: float, lease: float) -> Change | None:
        members.renew(self.node, now + lease)
        return members.expire(now)

    def _hear(self) -> None:
        # What another thread has posted before comes first; its own call then finds nothing.
        while self._heard:
            later = self._heard.popleft()(self._listener)
            if later is not None:
                self._busy = later

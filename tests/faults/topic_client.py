"""A client of the topics protocol that writes down what it saw, for load and faults.

It does what ``protocol/README.md`` asks of one: it keeps a position for each topic, ignores what it
has seen, recovers what it missed, and comes back after a random while.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from channels.history.position import Position
from tests.faults.checking import Began, Gap, Story, Took
from tests.faults.topic_socket import TopicSocket

Address = tuple[str, int]

FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 30.0
SUCCESS: Final = 5.0
"""Seconds for which a connection must have lived to count as one."""
OPENING: Final = 30.0
PATIENCE: Final = 10.0
"""Seconds within which a handshake, and a ``subscribe``, must be answered, as in browsers."""
AGAIN: Final = frozenset({"unavailable", "rate_limited", "timeout", "failed"})


class Feed:
    """One topic of a client.

    Attributes:
        topic: Its name.
        position: Up to where the client knows it; ``None`` in a volatile topic.
        story: What happened, if it is reliable.
        seen: What arrived, by data.
    """

    __slots__ = (
        "asked",
        "attempts",
        "is_subscribed",
        "position",
        "seen",
        "story",
        "timer",
        "topic",
    )

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.position: Position | None = None
        self.story: Story = []
        self.seen: Counter[str] = Counter()
        self.is_subscribed = False
        # The id of the request that has no answer, and what happens without one.
        self.asked: int | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.attempts = 0

    def stop_waiting(self) -> None:
        """Forget the request."""
        self.asked = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Client:
    """One page: a connection at a time to one of the servers, and its topics.

    Args:
        name: Its id.
        topics: Names of its topics.
        addresses: Gives the servers that it may go to.
        counts: What happened, added up over all clients.

    Attributes:
        name: Its id.
        feeds: Its topics by name.
        recovered_at: When all its topics were answered after the latest connection, on the
            monotonic clock; ``None`` until then.
    """

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        addresses: Callable[[], Sequence[Address]],
        counts: Counter[str],
    ) -> None:
        self.name = name
        self.feeds = {topic: Feed(topic) for topic in topics}
        self.recovered_at: float | None = None
        self._addresses = addresses
        self._counts = counts
        self._numbers = 0
        self._attempts = 0
        self._greeted_at: float | None = None
        self._heard_at = 0.0
        self._silence = 2 * PATIENCE
        self._socket: TopicSocket | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether all its topics are subscribed now."""
        return all(feed.is_subscribed and feed.asked is None for feed in self.feeds.values())

    def start(self) -> None:
        """Connect, again and again."""
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Cut the connection and stay away."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._connect_once()
            self._counts["connections lost"] += 1
            if self._greeted_at is not None and time.monotonic() - self._greeted_at >= SUCCESS:
                self._attempts = 0
            longest = min(LAST_PAUSE, FIRST_PAUSE * 2**self._attempts)
            self._attempts += 1
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - jitter

    async def _connect_once(self) -> None:
        """Connect, and return when the connection is gone."""
        address = random.choice(self._addresses())  # noqa: S311 - any
        self._greeted_at = None
        self.recovered_at = None
        socket = TopicSocket(self._greet, self._take, self._loop)
        self._socket = socket
        try:
            async with asyncio.timeout(OPENING):
                await self._loop.create_connection(lambda: socket, *address)
        except OSError as error:
            late = isinstance(error, TimeoutError)
            self._counts["connects too late" if late else "connects refused"] += 1
            return
        self._heard_at = time.monotonic()
        try:
            await self._watch(socket)
        finally:
            socket.abort()
            for feed in self.feeds.values():
                feed.stop_waiting()
                feed.is_subscribed = False

    async def _watch(self, socket: TopicSocket) -> None:
        """Return when the connection is gone, or has been silent for too long."""
        while not socket.closed.done():
            limit = OPENING if self._greeted_at is None else self._silence
            left = self._heard_at + limit - time.monotonic()
            if left <= 0:
                what = "greetings too late" if self._greeted_at is None else "silences"
                self._counts[what] += 1
                return
            await asyncio.wait([socket.closed], timeout=left)

    def _greet(self) -> None:
        self._send({"type": "hello", "client": self.name})
        for feed in self.feeds.values():
            self._subscribe(feed)

    def _send(self, frame: dict[str, Any]) -> None:
        if self._socket is not None:
            self._socket.send(json.dumps(frame))

    def _subscribe(self, feed: Feed) -> None:
        feed.stop_waiting()
        self._numbers += 1
        feed.asked = self._numbers
        feed.timer = self._loop.call_later(PATIENCE, self._ask_again, feed)
        frame = {"type": "subscribe", "id": self._numbers, "topic": feed.topic}
        if feed.position is not None:
            frame["position"] = str(feed.position)
        self._send(frame)

    def _ask_again(self, feed: Feed) -> None:
        self._counts["answers too late"] += 1
        self._subscribe(feed)

    def _take(self, text: str) -> None:
        self._heard_at = time.monotonic()
        frame = json.loads(text)
        if (handle := HANDLERS.get(frame["type"])) is not None:
            handle(self, frame)

    def _hello(self, frame: dict[str, Any]) -> None:
        self._greeted_at = self._heard_at
        self._silence = 2 * frame["ping"]

    def _ping(self, frame: dict[str, Any]) -> None:
        self._send({"type": "ping"})

    def _subscribed(self, frame: dict[str, Any]) -> None:
        feed = self.feeds[frame["topic"]]
        if frame["id"] != feed.asked:
            return
        feed.stop_waiting()
        feed.is_subscribed = True
        feed.attempts = 0
        if "position" in frame:
            self._go_on(feed, frame)
        if self.recovered_at is None and self.is_ready:
            self.recovered_at = self._heard_at

    def _go_on(self, feed: Feed, frame: dict[str, Any]) -> None:
        position = Position.parse(frame["position"])
        known = feed.position
        if known is None:
            feed.position = position
            feed.story.append(Began(position))
        elif "gap" in frame:
            self._note_gap(feed, position, frame["gap"])
        else:
            self._counts["recovered"] += len(frame["publications"])
            for each in frame["publications"]:
                self._note(feed, Position(position.epoch, each["offset"]), each["data"])
            if feed.position != position or not frame["recovered"]:
                self._counts["answers without an end"] += 1

    def _publication(self, frame: dict[str, Any]) -> None:
        feed = self.feeds[frame["topic"]]
        if "offset" not in frame:
            feed.seen[frame["data"]] += 1
            return
        at = feed.position
        if feed.asked is not None or at is None or frame["offset"] <= at.offset:
            self._counts["ignored"] += 1
        elif frame["offset"] == at.offset + 1:
            self._note(feed, Position(at.epoch, frame["offset"]), frame["data"])
        else:
            self._counts["holes"] += 1
            self._subscribe(feed)

    def _position(self, frame: dict[str, Any]) -> None:
        feed = self.feeds[frame["topic"]]
        if feed.asked is not None or feed.position is None or "position" not in frame:
            return
        position = Position.parse(frame["position"])
        if position.epoch != feed.position.epoch or position.offset > feed.position.offset:
            self._counts["found behind"] += 1
            self._subscribe(feed)

    def _gap(self, frame: dict[str, Any]) -> None:
        feed = self.feeds[frame["topic"]]
        if feed.asked is None:
            self._note_gap(feed, Position.parse(frame["position"]), frame["reason"])

    def _error(self, frame: dict[str, Any]) -> None:
        self._counts[f"error {frame['code']}"] += 1
        feed = self.feeds.get(frame.get("topic", ""))
        if feed is None or frame.get("id") != feed.asked or frame["code"] not in AGAIN:
            return
        feed.stop_waiting()
        # Not before there is an answer.
        feed.asked = 0
        longest = min(LAST_PAUSE, FIRST_PAUSE * 2**feed.attempts)
        feed.attempts += 1
        pause = random.uniform(0, longest)  # noqa: S311 - jitter
        feed.timer = self._loop.call_later(pause, self._subscribe, feed)

    def _note(self, feed: Feed, position: Position, data: str) -> None:
        feed.position = position
        feed.story.append(Took(position, data))
        feed.seen[data] += 1

    def _note_gap(self, feed: Feed, position: Position, reason: str) -> None:
        self._counts[f"gap {reason}"] += 1
        feed.position = position
        feed.story.append(Gap(position, reason))


HANDLERS: Final[dict[str, Callable[[Client, dict[str, Any]], None]]] = {
    "hello": Client._hello,
    "ping": Client._ping,
    "subscribed": Client._subscribed,
    "publication": Client._publication,
    "position": Client._position,
    "gap": Client._gap,
    "error": Client._error,
}


async def stop_all(clients: Sequence[Client]) -> None:
    """Cut every connection."""
    for client in clients:
        if client._task is not None:
            client._task.cancel()
    for client in clients:
        with contextlib.suppress(asyncio.CancelledError):
            await client.stop()

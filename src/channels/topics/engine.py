"""The topics of one process, on one event loop: from the broker to the connections.

A topic is *open* here while somebody is subscribed, and a little longer. Then the broker tells of
it, and its feed holds what clients may have to be given again: it is read from the broker once, and
again whenever something was missed, however many clients there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Protocol, cast

from channels import telemetry
from channels._core.broadcast import Broadcast
from channels.exceptions import InvalidChannelLayerError, LayerUnavailableError
from channels.history.broker import Change, Present, TopicBroker
from channels.history.position import Position, Publication
from channels.history.recovery import GapReason
from channels.presence.state import apply
from channels.topics import protocol
from channels.topics.attendance import Attendance
from channels.topics.body import Body
from channels.topics.ending import Ended, Holders, key_of
from channels.topics.local import EVERYBODY, LocalLayer
from channels.topics.open_topic import OpenTopic, frame_of
from channels.topics.topic import Topic

logger: logging.Logger = logging.getLogger("django.channels.topics")

READS_AT_ONCE: Final = 32
"""Topics whose state is read from the broker at the same time."""
LINGER: Final = 5.0
"""Seconds for which a topic stays open when its last subscriber has left."""
PATIENCE: Final = 5.0
"""Seconds for which a client waits until what it asks for has been read."""
FIRST_RETRY: Final = 0.05
LAST_RETRY: Final = 2.0
"""Seconds before the second and before every late attempt to read a topic's state."""


class Connected(Protocol):
    """One connection, as its engine knows it."""

    channel: str
    client: str
    user: Any

    @property
    def session_digest(self) -> str | None:
        """What stands for the key of its session, if it has one."""
        ...

    async def send(self, text: str) -> None:
        """Send a frame; nothing is done for a client that has gone."""
        ...

    async def clean_up(self) -> None:
        """Close database connections that are too old, after user code has run."""
        ...

    def signalled(self, ended: Ended) -> None:
        """Take a signal that names its user or its session."""
        ...


class Engine:
    """Open topics, and the connections that have them.

    Args:
        layer: The channel layer whose broker the topics have.
        upkeep: What is to be done from time to time, as long as there are connections.

    Attributes:
        layer: That layer.
        local: Hands frames to the connections of this process.
        broker: The topics of the site.
        topics: Open topics by name.
        connections: Those of this event loop.
        attendance: Who of them is in presence.
    """

    def __init__(self, layer: Any, upkeep: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        self.layer: Any = layer
        self.local: LocalLayer = LocalLayer()
        self.broker: TopicBroker = _open_broker(layer, self)
        self.topics: dict[str, OpenTopic] = {}
        self.connections: dict[str, Connected] = {}
        self.attendance: Attendance = Attendance(self.broker)
        self._upkeep = upkeep
        self._keeping_up: asyncio.Task[None] | None = None
        self._holders = Holders()
        self._by_client: dict[str, set[str]] = {}
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    # Connections

    def connect(self, connection: Connected) -> None:
        """Know of a connection: from now on it hears signals."""
        # First: a lazy user may raise.
        self._note_holder(connection)
        self.connections[connection.channel] = connection
        if self._keeping_up is None or self._keeping_up.done():
            # In a context of its own, not in that of the connection which happens to be first.
            self._keeping_up = self._loop.create_task(
                self._upkeep(self), context=contextvars.Context()
            )

    def greet(self, connection: Connected) -> None:
        """Know a connection by its client's id and its user, and let it hear pings."""
        self._note_holder(connection)
        self._by_client.setdefault(connection.client, set()).add(connection.channel)
        self.local.join(EVERYBODY, connection.channel)

    def disconnect(self, connection: Connected) -> None:
        """Forget it."""
        self.connections.pop(connection.channel, None)
        self._holders.forget(connection.channel)
        self.local.leave(EVERYBODY, connection.channel)
        channels = self._by_client.get(connection.client)
        if channels is not None:
            channels.discard(connection.channel)
            if not channels:
                del self._by_client[connection.client]

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done in a task of its own."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(
        self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.TimerHandle:
        """Have something done in so many seconds."""
        return self._loop.call_later(seconds, lambda: self.start(work()))

    # Topics

    @contextlib.asynccontextmanager
    async def opened(self, name: str, cls: type[Topic]) -> AsyncIterator[OpenTopic]:
        """Give a topic whose state is known, and keep it open. One read, for all who wait for it.

        Raises:
            LayerUnavailableError: The broker did not answer, or not within ``PATIENCE``.
        """
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = OpenTopic(name, cls)
            topic.loading = self._loop.create_task(self._load(topic))
        topic.holders += 1
        try:
            # A topic that is catching up has a state already.
            if not _has_state(topic):
                await _read(topic)
            yield topic
        finally:
            topic.holders -= 1
            self._close_later(topic)

    async def reach(self, topic: OpenTopic, position: Position) -> None:
        """Read what is missing if a client has heard more elsewhere than this process has yet.

        Raises:
            LayerUnavailableError: The broker did not answer within ``PATIENCE``.
        """
        asked_at = time.monotonic()
        # A read that is under way may be too old.
        while topic.read_at < asked_at and topic.is_overtaken(position, asked_at):
            self.catch_up(topic)
            await _read(topic)

    def join(self, topic: OpenTopic, channel: str) -> None:
        """Give the connection what is published from now on."""
        topic.subscribers.add(channel)
        self.local.join(topic.name, channel)

    def leave(self, topic: OpenTopic, channel: str) -> None:
        """Give it no more."""
        topic.subscribers.discard(channel)
        self.local.leave(topic.name, channel)
        self._close_later(topic)

    def close_unused(self, topic: OpenTopic) -> None:
        """Close a topic that nobody here has any more."""
        if topic.is_unused and self.topics.get(topic.name) is topic:
            del self.topics[topic.name]
            if topic.loading is not None:
                topic.loading.cancel()
            self.broker.unlisten(topic.name)

    # What the broker tells

    def arrived(
        self, topic: str, epoch: str, publication: Publication
    ) -> asyncio.Future[Any] | None:
        """Hand a publication to the subscribers, if it is the next; else read what is missing."""
        here = self.topics.get(topic)
        if here is None:
            return None
        if here.feed is None or here.feed.take(epoch, publication, time.monotonic()):
            return self._hand_out(here, publication)
        if here.feed.is_behind:
            self.catch_up(here)
        return None

    def presence_changed(self, topic: str, change: Change) -> None:
        """Tell the subscribers, if it is the next change; else read who is there."""
        here = self.topics.get(topic)
        if here is None:
            return
        if here.loading is not None and not here.loading.done():
            # What is being read may be older than this.
            here.is_stale = True
        if here.present is None:
            return
        after = apply(here.present, change)
        if after is None:
            here.present = None
            self.catch_up(here)
        elif after is not here.present:
            here.present = after
            self._tell(here, protocol.presence(topic, change))

    def signalled(self, body: bytes) -> None:
        """Pass a signal on to the connections that it names."""
        self.end(Ended.unpack(body))

    def end(self, ended: Ended) -> None:
        """End the connections here that a signal names. O(those)."""
        for channel in self._holders.named_by(ended):
            self.connections[channel].signalled(ended)

    def interrupted(self) -> None:
        """Read what may have been missed in every topic."""
        for topic in self.topics.values():
            self.catch_up(topic)

    def tell(self, topic: OpenTopic, text: str) -> None:
        """Give a frame to every subscriber here."""
        self.local.hand_out(topic.name, frame_of(text))

    # Inside

    def _note_holder(self, connection: Connected) -> None:
        self._holders.note(
            connection.channel, user=key_of(connection.user), session=connection.session_digest
        )

    def _hand_out(self, topic: OpenTopic, publication: Publication) -> asyncio.Future[Any] | None:
        topic.has_stirred = True
        try:
            body = Body.unpack(publication.body)
        except ValueError:
            logger.exception("Skipped a publication of %s that is none of ours.", topic.name)
            telemetry.emit(telemetry.MessageRejected(topic.name, "payload"))
            if not publication.offset:
                return None
            # Its number must not be missing.
            return self.local.hand_out(
                topic.name, frame_of(protocol.skipped(topic.name, publication.offset))
            )
        text = protocol.publication(topic.name, publication.offset, body.text)
        message: dict[str, Any] = {"type": "websocket.send", "text": text, "topic": topic.name}
        if publication.offset:
            message["offset"] = publication.offset
        if body.key:
            message["key"] = f"{topic.name}\n{body.key}"
        # A topic's class has made it one.
        frame = Broadcast(message, cast("Any", topic.cls.slow_consumer))
        if body.exclude and body.exclude in self._by_client:
            return self._hand_out_without(topic, frame, publication.offset, client=body.exclude)
        return self.local.hand_out(topic.name, frame)

    def _hand_out_without(
        self, topic: OpenTopic, frame: Broadcast, offset: int, *, client: str
    ) -> asyncio.Future[Any] | None:
        excluded = [one for one in self._by_client[client] if one in topic.subscribers]
        for channel in excluded:
            self.local.leave(topic.name, channel)
        try:
            later = self.local.hand_out(topic.name, frame)
        finally:
            for channel in excluded:
                self.local.join(topic.name, channel)
        if not offset or not excluded:
            return later
        # Behind those that stand in line before it.
        skipped = frame_of(protocol.skipped(topic.name, offset))
        return self.local.hand_out_to(topic.name, excluded, skipped) or later

    def _tell(self, topic: OpenTopic, text: str) -> None:
        topic.has_stirred = True
        self.tell(topic, text)

    def catch_up(self, topic: OpenTopic) -> None:
        """Read what is missing in a topic."""
        topic.is_stale = True
        if topic.loading is None or topic.loading.done():
            topic.loading = self._loop.create_task(self._go_on(topic))

    def _close_later(self, topic: OpenTopic) -> None:
        if topic.is_unused:
            self._loop.call_later(LINGER, self.close_unused, topic)

    async def _load(self, topic: OpenTopic) -> None:
        """Have the broker tell of a topic, and read its state."""
        try:
            async with self._reads:
                await self.broker.listen(topic.name)
                if topic.feed is not None:
                    topic.read_at = time.monotonic()
                    topic.feed.begin(await self.broker.read(topic.name, 0), time.monotonic())
                if topic.cls.presence:
                    topic.present = await self.broker.present(topic.name)
        except BaseException:
            if self.topics.get(topic.name) is topic:
                del self.topics[topic.name]
            self.broker.unlisten(topic.name)
            raise
        if topic.is_stale or (topic.feed is not None and topic.feed.is_behind):
            # Its state will do for those who wait; what is missing follows.
            self._loop.call_soon(self.catch_up, topic)

    async def _go_on(self, topic: OpenTopic) -> None:
        """Read what was missed, however long the broker takes, until nothing is missing."""
        delay = FIRST_RETRY
        while True:
            topic.is_stale = False
            try:
                async with self._reads:
                    await self._read_missing(topic)
            except Exception as error:
                # Whatever it is, those who have the topic must not miss anything for it.
                unexpected = None if isinstance(error, LayerUnavailableError) else error
                logger.warning(
                    "Cannot read topic %s: %r; trying again.",
                    topic.name,
                    error,
                    exc_info=unexpected,
                )
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY)
                continue
            is_behind = topic.feed is not None and topic.feed.is_behind
            if not topic.is_stale and not is_behind:
                return

    async def _read_missing(self, topic: OpenTopic) -> None:
        feed = topic.feed
        if feed is not None and feed.position is not None:
            # What arrives meanwhile waits.
            feed.is_behind = True
            topic.read_at = time.monotonic()
            excerpt = await self.broker.read(topic.name, feed.position.offset)
            recovery = feed.catch_up(excerpt, time.monotonic())
            for publication in recovery.publications if recovery.gap is None else ():
                self._hand_out(topic, publication)
            if recovery.gap is None and recovery.publications:
                count = len(recovery.publications)
                telemetry.emit(telemetry.TopicCaughtUp(topic.name, count))
            if recovery.gap is not None:
                feed.begin(await self.broker.read(topic.name, 0), time.monotonic())
                self._tell_gap(topic, recovery.gap)
        if topic.cls.presence:
            self._note_present(topic, await self.broker.present(topic.name))

    def _tell_gap(self, topic: OpenTopic, reason: GapReason) -> None:
        telemetry.emit(telemetry.GapTold(topic.name, reason.value))
        frame = {"type": "gap", "topic": topic.name, "position": str(topic.position)}
        self._tell(topic, protocol.encode({**frame, "reason": reason.value}))

    def _note_present(self, topic: OpenTopic, present: Present) -> None:
        before = topic.present
        if before is not None and before.version > present.version:
            return  # changes have come since it was read
        topic.present = present
        if before is None or before.version != present.version:
            # Of what came between, clients know nothing; they take the whole again.
            standing = topic.standing()
            if standing is not None:
                self._tell(topic, standing)


def _has_state(topic: OpenTopic) -> bool:
    is_known = topic.feed is None or topic.feed.position is not None
    return is_known and (topic.present is not None or not topic.cls.presence)


async def _read(topic: OpenTopic) -> None:
    """Wait until a topic that is being read has been.

    Raises:
        LayerUnavailableError: The broker did not answer.
    """
    if topic.loading is None:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            # Whoever waits may be cancelled, without the others.
            await asyncio.shield(topic.loading)
    except TimeoutError as error:
        message = f"topic {topic.name} could not be read within {PATIENCE:g} s"
        raise LayerUnavailableError(message) from error


def _open_broker(layer: Any, listener: Engine) -> TopicBroker:
    open_broker: Callable[[Any], TopicBroker] | None = getattr(layer, "topic_broker", None)
    if open_broker is None:
        name = "none is configured" if layer is None else f"{type(layer).__name__} cannot keep them"
        raise InvalidChannelLayerError(
            f"topics need a channel layer that keeps them, but {name}; expected "
            "InMemoryChannelLayer, or one of channels_redis, as 'default' in CHANNEL_LAYERS"
        )
    return open_broker(listener)

"""One topic of one connection: its requests, one at a time and in order.

Requests of different topics run side by side, each in a task that lives while there are some, so
that a topic which is slow to authorize or to answer holds up only itself.

A call that has begun when its client leaves goes on for the grace period of consumers' handlers:
what it has stored, it can still publish.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from channels import telemetry
from channels.conf import channels_settings
from channels.db import database_sync_to_async
from channels.eviction import Eviction
from channels.exceptions import LayerUnavailableError
from channels.history.position import Position
from channels.history.recovery import Recovery
from channels.topics import protocol
from channels.topics.attendance import Place
from channels.topics.calls import CallError, encode_data
from channels.topics.engine import Connected, Engine
from channels.topics.open_topic import OpenTopic
from channels.topics.protocol import Call, FrameError, Request, Subscribe, Unsubscribe
from channels.topics.topic import Topic
from channels.utils import name_that_thing

logger: logging.Logger = logging.getLogger("django.channels.topics")


class Subscription:
    """What one connection has to do with one topic.

    Args:
        connection: Whose.
        engine: The topics of this process.
        topic: The instance that serves it.
        ended: Called with this when nothing is left to do.

    Attributes:
        topic: The instance that serves it.
        opened: The topic in this process, while subscribed.
    """

    __slots__ = (
        "_connection",
        "_ended",
        "_engine",
        "_eviction",
        "_has_ended",
        "_place",
        "_requests",
        "_running",
        "_sync",
        "_task",
        "_thread_id",
        "opened",
        "topic",
    )

    def __init__(
        self,
        connection: Connected,
        engine: Engine,
        topic: Topic,
        *,
        ended: Callable[[Subscription], None],
    ) -> None:
        self.topic: Topic = topic
        self.opened: OpenTopic | None = None
        self._connection = connection
        self._engine = engine
        self._ended = ended
        self._has_ended = False
        self._place: Place | None = None
        self._requests: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        # The call that runs, and its end once its client has left.
        self._running: str | None = None
        self._eviction: Eviction | None = None
        # Whether a plain function runs, and in which thread: for the log of an eviction.
        self._sync = False
        self._thread_id: int | None = None

    def ask(self, request: Request) -> None:
        """Do what is asked, after what was asked before.

        Raises:
            FrameError: It is a call, and as many as may wait are waiting.
        """
        if not isinstance(request, Call):
            self._supersede(request)
        elif len(self._requests) >= self.topic.max_calls:
            raise FrameError(
                "too_many_calls",
                f"at most {self.topic.max_calls} requests of one topic may wait",
                id=request.id,
                topic=request.topic,
            )
        self._requests.append(request)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def _supersede(self, request: Subscribe | Unsubscribe) -> None:
        """Do not do what waits and asks for the same: the later one says all."""
        kind = type(request)
        for one in self._requests:
            if isinstance(one, Unsubscribe) and kind is Unsubscribe:
                answer = self._refuse(one, "not_subscribed", "a later request does the same")
                self._engine.start(answer)
        # A subscribe is the same, of an older position.
        self._requests = deque(one for one in self._requests if type(one) is not kind)

    def end(self, *, at_once: bool = False) -> asyncio.Task[None] | None:
        """Drop what waits, and leave; the client may come back.

        Args:
            at_once: Cancel a call that runs, too. Else it has ``DISCONNECT_GRACE`` seconds.

        Returns:
            What runs the call that goes on, if one does.
        """
        self._has_ended = True
        self._requests.clear()
        self._leave(self.topic.presence_grace)
        if self._task is None:
            return None
        if at_once or self._running is None:
            self._task.cancel()
            return None
        self._eviction = Eviction(
            self,
            self._task,
            grace=channels_settings().disconnect_grace,
            call=f"{name_that_thing(type(self.topic))}.{self._running}",
        )
        self._eviction.start()
        return self._task

    async def _work(self) -> None:
        try:
            while self._requests:
                await self._answer(self._requests.popleft())
        finally:
            self._task = None
            if self._eviction is not None:
                self._eviction.stop()
            if self.opened is None:
                self._ended(self)

    async def _answer(self, request: Request) -> None:
        try:
            match request:
                case Subscribe():
                    await self._subscribe(request)
                case Call():
                    await self._call(request)
                case _:
                    await self._unsubscribe(request.id)
        except FrameError as refusal:
            await self._refuse(request, refusal.code, refusal.message)
        except LayerUnavailableError as error:
            logger.warning("%s cannot be served now: %s", self.topic.name, error)
            await self._refuse(request, "unavailable", "the broker cannot be reached; try again")
        except Exception:
            what = type(request).__name__.lower()
            logger.exception("A %s of topic %s failed.", what, self.topic.name)
            await self._refuse(request, "failed", "the server failed")
        finally:
            await self._connection.clean_up()

    async def _refuse(self, request: Request, code: str, message: str) -> None:
        refusal = FrameError(code, message, id=request.id, topic=request.topic)
        await self._connection.send(protocol.error(refusal))

    # Subscribing

    async def _subscribe(self, request: Subscribe) -> None:
        position = protocol.parse_position(request)
        topic, engine = self.topic, self._engine
        if not await self._run(topic.authorize):
            # Also one who was allowed before.
            self._leave()
            logger.info("Denied a subscription to topic %s: %s.", topic.name, _why_not(topic))
            raise FrameError("denied", "you may not subscribe to this topic")
        async with engine.opened(topic.name, type(topic)) as opened:
            if topic.presence:
                shown = encode_data(await self._run(topic.shown))
                place = await engine.attendance.enter(topic, self._connection.channel, shown)
                if self._place not in (None, place):
                    self._leave_presence()
                self._place = place
            try:
                if position is not None:
                    await engine.reach(opened, position)
                await self._join(opened, request, position)
            finally:
                if self.opened is None or self._has_ended:
                    self._leave_presence()

    async def _join(self, opened: OpenTopic, request: Subscribe, position: Position | None) -> None:
        channel = self._connection.channel
        if self.opened is not None and opened.feed is not None:
            # What comes from now on is part of the answer.
            self._engine.leave(self.opened, channel)
        recovery = self._recover(opened, request, position)
        await self._connection.send(self._subscribed(opened, request, recovery))
        # What has come while that was sent follows it, before what comes from now on.
        while opened.feed is not None and opened.position != recovery.position:
            recovery = opened.feed.since(recovery.position)
            await self._send_following(recovery)
        # User code may have swallowed the cancellation of a connection that has ended.
        if not self._has_ended:
            self.opened = opened
            self._engine.join(opened, channel)

    def _recover(
        self, opened: OpenTopic, request: Subscribe, position: Position | None
    ) -> Recovery:
        feed, now = opened.feed, time.monotonic()
        if feed is None or feed.position is None:
            return Recovery(None, [])  # type: ignore[arg-type] # a volatile topic has no position
        if position is not None:
            recovery = feed.since(position)
            if recovery.gap is None:
                return recovery
            telemetry.emit(telemetry.GapTold(opened.name, recovery.gap.value))
            latest = feed.latest(request.recent, now)
            return Recovery(feed.position, latest, recovery.gap)
        return Recovery(feed.position, feed.latest(request.recent, now))

    def _subscribed(self, opened: OpenTopic, request: Subscribe, recovery: Recovery) -> str:
        presence = None
        if opened.present is not None:
            presence = protocol.members(opened.present.version, opened.present.members)
        return protocol.subscribed(
            request.id,
            opened.name,
            [protocol.item(each, self._connection.client) for each in recovery.publications],
            position=recovery.position if opened.feed is not None else None,
            gap=None if recovery.gap is None else recovery.gap.value,
            recovered=request.position is not UNSET and recovery.gap is None,
            presence=presence,
        )

    async def _send_following(self, recovery: Recovery) -> None:
        name = self.topic.name
        if recovery.gap is not None:
            telemetry.emit(telemetry.GapTold(name, recovery.gap.value))
            frame = {"type": "gap", "topic": name, "position": str(recovery.position)}
            await self._connection.send(protocol.encode({**frame, "reason": recovery.gap.value}))
            return
        for each in recovery.publications:
            await self._connection.send(protocol.one(name, each, self._connection.client))

    async def _unsubscribe(self, request_id: int) -> None:
        if self.opened is None:
            raise FrameError("not_subscribed", "you are not subscribed to this topic")
        self._leave()
        frame = {"type": "unsubscribed", "id": request_id, "topic": self.topic.name}
        await self._connection.send(protocol.encode(frame))

    def _leave(self, grace: float = 0.0) -> None:
        self._leave_presence(grace)
        if self.opened is not None:
            self._engine.leave(self.opened, self._connection.channel)
            self.opened = None

    def _leave_presence(self, grace: float = 0.0) -> None:
        if self._place is not None:
            self._engine.attendance.leave(self._place, self._connection.channel, grace)
            self._place = None

    # Calls

    async def _call(self, request: Call) -> None:
        if self.opened is None:
            raise FrameError("not_subscribed", "subscribe to the topic before you call it")
        topic = self.topic
        accepted = topic.calls.get(request.name)
        if accepted is None:
            known = ", ".join(sorted(topic.calls)) or "none"
            raise FrameError("unknown_call", f"no call {request.name!r}; expected one of: {known}")
        try:
            arguments = accepted.decode(request.data)
        except msgspec.DecodeError as error:
            raise FrameError("invalid_data", str(error)) from error
        limit = min(request.timeout or topic.call_timeout, topic.call_timeout)
        self._running = request.name
        try:
            async with asyncio.timeout(limit) as timer:
                result = await self._run(getattr(topic, request.name), **arguments)
        except TimeoutError as error:
            if not timer.expired():
                raise  # the call's own
            raise FrameError("timeout", f"no answer within {limit:g} s") from error
        except CallError as error:
            raise FrameError(error.code, error.message) from error
        finally:
            self._running = None
        await self._connection.send(protocol.reply(request.id, encode_data(result)))

    async def _run(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Run a method of the topic, a plain function in a thread."""
        if inspect.iscoroutinefunction(method):
            return await method(**arguments)
        self._sync = True
        try:
            outcome = await database_sync_to_async(self._run_in_thread)(method, arguments)
        finally:
            self._sync = False
        return await outcome if inspect.isawaitable(outcome) else outcome

    def _run_in_thread(self, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        self._thread_id = threading.get_ident()
        try:
            return method(**arguments)
        finally:
            self._thread_id = None


def _why_not(topic: Topic) -> str:
    name = name_that_thing(type(topic))
    if type(topic).authorize is Topic.authorize:
        return f"{name} has no authorize(), so nobody may"
    return f"{name}.authorize() did not allow it"

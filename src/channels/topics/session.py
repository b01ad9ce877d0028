"""One connection's side of the protocol: frames in, requests to its topics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from channels import telemetry
from channels.exceptions import ChannelsError, UnknownTopicError
from channels.topics import protocol
from channels.topics.ending import Ended, auth_of, digest_of
from channels.topics.engine import Engine
from channels.topics.protocol import (
    Call,
    FrameError,
    Hello,
    Ping,
    Refresh,
    Request,
    Subscribe,
    Unsubscribe,
)
from channels.topics.subscription import Subscription
from channels.topics.topic import find
from channels.topics.upkeep import PING_INTERVAL
from channels.typing import Scope

logger: logging.Logger = logging.getLogger("django.channels.topics")

NO_CLIENT: Final = 3400
SIGNED_OUT: Final = 3401
TOKEN_EXPIRED: Final = 3403
RESTART: Final = 1012
TRY_AGAIN: Final = 1013
"""Close codes, of protocol/README.md and RFC 6455."""
HELLO_TIMEOUT: Final = 10.0
"""Seconds that a client has for its hello."""
FAREWELL: Final = 5.0
"""Seconds for which a goodbye waits for a client that does not read."""


class Limits(NamedTuple):
    """What one connection may ask for.

    Attributes:
        topics: Most subscriptions at once.
        frame_bytes: Most bytes of a frame from the client.
        frame_rate: Frames a second that it may send on average.
        frame_burst: Frames that it may send at once.
    """

    topics: int = 100
    frame_bytes: int = 65_536
    frame_rate: float = 50.0
    frame_burst: int = 200


class Identity(NamedTuple):
    """Who a token stands for.

    Attributes:
        user: The user.
        expires: Seconds until a fresh token is needed, or ``None`` for never.
    """

    user: Any
    expires: float | None = None


class Refused(ChannelsError):  # noqa: N818 - raised by sites, named for what it says
    """Raised in ``authenticate``: the token is not accepted."""


class Session:
    """What one client asks for, and what it is told.

    Args:
        engine: The topics of this process.
        channel: Of the connection.
        scope: Of the connection.
        send: Sends a text frame.
        close: Closes the connection with a code and a reason.
        clean_up: Closes database connections that are too old.
        authenticate: Returns who a token stands for.
        limits: What it may ask for.

    Attributes:
        channel: Of the connection.
        client: The client's id.
        user: Who is connected.
        is_response: Whether its frames go into an HTTP response.
    """

    def __init__(
        self,
        engine: Engine,
        channel: str,
        scope: Scope,
        *,
        send: Callable[[str], Awaitable[Any]],
        close: Callable[[int, str], Awaitable[None]],
        clean_up: Callable[[], Awaitable[None]],
        authenticate: Callable[[str], Awaitable[Identity]],
        limits: Limits,
    ) -> None:
        self.channel: str = channel
        self.client: str = ""
        self.user: Any = scope.get("user")
        self.is_response: bool = scope.get("type") == "http"
        self._engine = engine
        self._scope = scope
        self._send = send
        self._close = close
        self._clean_up = clean_up
        self._authenticate = authenticate
        self._limits = limits
        self._topics: dict[str, Subscription] = {}
        self._allowance = float(limits.frame_burst)
        self._counted_at = time.monotonic()
        self._has_greeted = False
        self._has_ended = False
        # Those whose call goes on, and what runs it, once this has ended.
        self._going_on: dict[Subscription, asyncio.Task[None]] = {}
        engine.connect(self)
        # Until it has said hello; then, until its token must be fresh.
        self._expiry: asyncio.TimerHandle | None = engine.later(
            HELLO_TIMEOUT,
            lambda: self.say_goodbye("expected_hello", "no hello has come", NO_CLIENT),
        )

    # What the engine and the subscriptions need

    async def send(self, text: str) -> None:
        """Send a frame; nothing is done for a client that has gone."""
        if not self._has_ended:
            await self._send(text)

    async def clean_up(self) -> None:
        """Close database connections that are too old."""
        await self._clean_up()

    @property
    def session_digest(self) -> str | None:
        """What stands for the key of its session, if it has one."""
        key = getattr(self._scope.get("session"), "session_key", None)
        return None if key is None else digest_of(key)

    def signalled(self, ended: Ended) -> None:
        """End the connection: a signal names its user or its session."""
        if ended.auth is None:
            self._engine.start(
                self.say_goodbye("signed_out", "you are signed out", SIGNED_OUT, is_revoked=True)
            )
        elif ended.auth != auth_of(self.user):
            self._engine.start(
                self.say_goodbye(
                    "token_expired",
                    "the password has changed",
                    TOKEN_EXPIRED,
                    reconnect=True,
                    is_revoked=True,
                )
            )

    # What the client sends

    async def receive(self, text: str) -> None:
        """Do what a frame asks for; what is wrong with it is answered, and ends nothing."""
        if self._has_ended:
            # Read before the client saw our close.
            return
        try:
            self._judge(text)
            frame = protocol.parse(text)
        except FrameError as refusal:
            await self.send(protocol.error(refusal))
        else:
            await self.do(frame)

    async def do(self, frame: protocol.Frame) -> None:
        """Do what a frame asks for that was read already."""
        try:
            await self._do(frame)
        except FrameError as refusal:
            await self.send(protocol.error(refusal))

    async def say_goodbye(
        self,
        code: str,
        message: str,
        close_code: int,
        *,
        reconnect: bool = False,
        is_revoked: bool = False,
    ) -> None:
        """Leave every topic, tell the client why, and close.

        Args:
            code: Why, as ``protocol/README.md`` lists it.
            message: Why, in words.
            close_code: Of the WebSocket.
            reconnect: Whether the client should come back.
            is_revoked: Whether its user may do nothing more: then a call that runs is cancelled.
        """
        if self._has_ended:
            return
        self.end(at_once=is_revoked)
        frame = {"type": "goodbye", "code": code, "message": message, "reconnect": reconnect}
        # A client that does not read will not hear it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._send(protocol.encode(frame))
        await self._close(close_code, message)

    def end_for_restart(self) -> None:
        """Ask the client to come back, to another process."""
        self._engine.start(
            self.say_goodbye("restart", "the server restarts", RESTART, reconnect=True)
        )

    def end(self, *, at_once: bool = False) -> None:
        """Leave every topic.

        Args:
            at_once: Cancel calls that run, too; else they go on (``calls_end``).
        """
        if at_once:
            self._cut_calls()
        if self._has_ended:
            return
        self._has_ended = True
        if self._expiry is not None:
            self._expiry.cancel()
        for subscription in tuple(self._topics.values()):
            task = subscription.end(at_once=at_once)
            if task is not None:
                self._going_on[subscription] = task
        self._topics.clear()
        self._engine.disconnect(self)

    async def calls_end(self) -> None:
        """Wait for the calls that go on although this has ended.

        Bounded by ``DISCONNECT_GRACE``, unless one swallows its cancellation. If the wait is
        cancelled, so are they.
        """
        if not self._going_on:
            return
        try:
            await asyncio.wait(self._going_on.values())
        except asyncio.CancelledError:
            self._cut_calls()
            raise

    # Inside

    def _cut_calls(self) -> None:
        for subscription in self._going_on:
            subscription.end(at_once=True)
        self._going_on.clear()

    def _judge(self, text: str) -> None:
        limits = self._limits
        now = time.monotonic()
        earned = (now - self._counted_at) * limits.frame_rate
        self._allowance = min(self._allowance + earned, float(limits.frame_burst))
        self._counted_at = now
        if self._allowance < 1:
            telemetry.emit(telemetry.ConnectionLimited("topic_frame_rate"))
            raise FrameError(
                "rate_limited", f"at most {limits.frame_rate:g} frames a second; this was ignored"
            )
        self._allowance -= 1
        size = len(text) if text.isascii() else len(text.encode())
        if size > limits.frame_bytes:
            raise FrameError("too_large", f"{size} bytes; at most {limits.frame_bytes} in a frame")

    async def _greet(self, hello: Hello) -> None:
        if self._has_greeted:
            raise FrameError("invalid_frame", "hello is the first frame, and the only one")
        expires = None
        if hello.token is not UNSET:
            try:
                self.user, expires = await self._authenticate(hello.token)
            except Refused as refusal:
                await self.say_goodbye("invalid_token", str(refusal), SIGNED_OUT)
                return
            except Exception:
                logger.exception("A token could not be judged")
                message = "the token could not be judged; try again"
                await self.say_goodbye("failed", message, TRY_AGAIN, reconnect=True)
                return
        if self._has_ended:
            return
        self.client = hello.client or secrets.token_hex(8)
        self._has_greeted = True
        self._engine.greet(self)
        frame = {
            "type": "hello",
            "version": protocol.VERSION,
            "client": self.client,
            "ping": PING_INTERVAL,
            "max_bytes": self._limits.frame_bytes,
        }
        await self.send(protocol.encode({**frame, **self._expire_in(expires)}))

    async def _do(self, frame: protocol.Frame) -> None:
        if not self._has_greeted and not isinstance(frame, Hello):
            raise FrameError("expected_hello", "the first frame must be hello")
        match frame:
            case Hello():
                await self._greet(frame)
            case Ping():
                answer = {"type": "pong"} if frame.id is UNSET else {"type": "pong", "id": frame.id}
                await self.send(protocol.encode(answer))
            case Refresh():
                await self._refresh(frame)
            case Subscribe() | Unsubscribe() | Call():
                self._subscription(frame).ask(frame)

    async def _refresh(self, frame: Refresh) -> None:
        try:
            user, expires = await self._authenticate(frame.token)
        except Refused as refusal:
            raise FrameError("invalid_token", str(refusal), id=frame.id) from refusal
        except Exception as error:
            logger.exception("A token could not be judged")
            message = "the token could not be judged; try again"
            raise FrameError("failed", message, id=frame.id) from error
        if self._has_ended:
            return
        if getattr(user, "pk", None) != getattr(self.user, "pk", None):
            raise FrameError("invalid_token", "the token is another user's", id=frame.id)
        await self.send(protocol.reply(frame.id, protocol.encode(self._expire_in(expires))))

    def _expire_in(self, expires: float | None) -> dict[str, float]:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if expires is None:
            return {}
        self._expiry = self._engine.later(
            expires,
            lambda: self.say_goodbye(
                "token_expired", "the token has expired", TOKEN_EXPIRED, reconnect=True
            ),
        )
        return {"expires": expires}

    def _subscription(self, request: Request) -> Subscription:
        found = self._topics.get(request.topic)
        if found is not None:
            return found
        try:
            cls, parts = find(request.topic)
        except UnknownTopicError as error:
            if isinstance(request, Subscribe):
                reason = "no topic class has this name"
                logger.info("Denied a subscription to topic %r: %s.", request.topic, reason)
            message = f"no topic {request.topic!r}"
            raise self._refusal("unknown_topic", message, request) from error
        if not isinstance(request, Subscribe):
            message = "you are not subscribed to this topic"
            raise self._refusal("not_subscribed", message, request)
        if len(self._topics) >= self._limits.topics:
            message = f"at most {self._limits.topics} topics at once"
            raise self._refusal("too_many_topics", message, request)
        topic = cls(request.topic, parts, scope=self._scope, user=self.user, connection=self.client)
        subscription = Subscription(self, self._engine, topic, ended=self._forget)
        self._topics[request.topic] = subscription
        return subscription

    def _refusal(self, code: str, message: str, request: Request) -> FrameError:
        return FrameError(code, message, id=request.id, topic=request.topic)

    def _forget(self, subscription: Subscription) -> None:
        self._topics.pop(subscription.topic.name, None)

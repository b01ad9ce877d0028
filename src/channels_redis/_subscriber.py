"""A connection to one shard that listens to topics and, after a break, to all of them again."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import hiredis

from channels_redis._lifeline import Lifeline, Open, is_refusal
from channels_redis._wire import Reply, Wire, pack
from channels_redis.exceptions import RedisRefusedError

BATCH: Final = 500
"""Most topics in one command."""
PING_INTERVAL: Final = 2.5
"""Seconds between two questions whether the server is there."""

Arrived = Callable[[bytes, bytes], "asyncio.Future[Any] | None"]
"""Takes a topic and a payload. Nothing more is read until what it returns is done."""
Subscription = tuple[str, str]
"""The first part of a verb, and a topic or a pattern."""


class Kinds:
    """First parts of the verbs of a subscription."""

    TOPIC: Final = ""
    PATTERN: Final = "P"
    SHARDED: Final = "S"


CONFIRMED: Final = {b"subscribe": "", b"psubscribe": "P", b"ssubscribe": "S"}
ARRIVED: Final = {"": b"message", "P": b"pmessage", "S": b"smessage"}
"""What the server calls a message of each kind."""


class Subscriber(Lifeline):
    """Listens to topics of one shard.

    Args:
        open_connection: Connects to the shard's present server.
        name: For the log.
        logger: Where losses and returns are said.
        patience: Seconds without a sign of life after which the connection counts as broken.
        restored: Called when, after a break, every topic is listened to again.
        broke: Called when the connection broke; what is sent from now on is missed.
    """

    def __init__(
        self,
        open_connection: Open,
        *,
        name: str,
        logger: logging.Logger,
        restored: Callable[[], None],
        broke: Callable[[], None],
        patience: float = 10.0,
    ) -> None:
        # Without it a server that wants a password would refuse only once there is a connection.
        super().__init__(
            open_connection, name=name, logger=logger, greeting=(("PING",),), patience=patience
        )
        self._restored = restored
        self._on_break = broke
        # What is listened to, or is to be, and who waits for the first confirmation.
        self._wanted: dict[Subscription, asyncio.Future[None]] = {}
        self._unconfirmed: set[Subscription] = set()
        # Who takes what arrives, by the server's word for it and the topic or pattern asked for.
        self._takers: dict[bytes, dict[bytes, Arrived]] = {word: {} for word in ARRIVED.values()}
        # How often each was asked for on this connection without a confirmation yet.
        self._asked: Counter[Subscription] = Counter()
        self._is_restoring = False
        self._pings: asyncio.TimerHandle | None = None

    @property
    def topics(self) -> list[str]:
        """What is listened to, or about to be."""
        return [topic for _, topic in self._wanted]

    def subscribe(self, kind: str, topic: str, arrived: Arrived) -> asyncio.Future[None]:
        """Listen to a topic; the future is done when the server has confirmed it.

        It raises ``RedisRefusedError`` when the server lets this process in no more; the topic is
        listened to as soon as it does.

        Args:
            kind: One of ``Kinds``.
            topic: A topic, or a pattern.
            arrived: Called with each message, in place of who took the topic's before.
        """
        self._takers[ARRIVED[kind]][topic.encode()] = arrived
        subscription = (kind, topic)
        confirmed = self._wanted.get(subscription)
        if confirmed is None:
            confirmed = self._wanted[subscription] = self._loop.create_future()
            if self._wire is not None:
                self._asked[subscription] += 1
                self._wire.write(pack(f"{kind}SUBSCRIBE", topic))
            else:
                self.connect()
        return confirmed

    def unsubscribe(self, kind: str, topic: str) -> None:
        """Listen to a topic no more."""
        confirmed = self._wanted.pop((kind, topic), None)
        if confirmed is not None:
            del self._takers[ARRIVED[kind]][topic.encode()]
            confirmed.cancel()
            self._unconfirmed.discard((kind, topic))
            if self._wire is not None:
                self._wire.write(pack(f"{kind}UNSUBSCRIBE", topic))

    def close(self) -> None:
        """Close the connection for good."""
        super().close()
        if self._pings is not None:
            self._pings.cancel()
        for confirmed in self._wanted.values():
            confirmed.cancel()

    def _opened(self, wire: Wire) -> None:
        self._unconfirmed = set(self._wanted)
        self._asked = Counter(self._wanted.keys())
        by_kind: dict[str, list[str]] = {}
        for kind, topic in self._wanted:
            by_kind.setdefault(kind, []).append(topic)
        for kind, topics in by_kind.items():
            for start in range(0, len(topics), BATCH):
                wire.write(pack(f"{kind}SUBSCRIBE", *topics[start : start + BATCH]))
        self._ping()

    def _not_opened(self, error: Exception) -> None:
        if not is_refusal(error):
            return
        for subscription, confirmed in self._wanted.items():
            if not confirmed.done():
                what = f"Redis shard {self.name} refuses this process: {error}"
                confirmed.set_exception(RedisRefusedError(what))
                # Who no longer waits need not be told of by the event loop.
                confirmed.exception()
                self._wanted[subscription] = self._loop.create_future()

    def _broke(self) -> None:
        if self._pings is not None:
            self._pings.cancel()
        if not self._is_restoring:
            self._is_restoring = True
            self._on_break()

    def _ping(self) -> None:
        if self._wire is None:
            return
        if self._loop.time() - self._heard_at > self._patience:
            self.break_off(TimeoutError(f"no sign of life for {self._patience:g} s"))
            return
        self._wire.write(pack("PING"))
        self._pings = self._loop.call_later(PING_INTERVAL, self._ping)

    def _replied(self, reply: Reply) -> None:
        self._heard_at = self._loop.time()
        if type(reply) is list:
            takers = self._takers.get(reply[0])
            if takers is None:
                self._subscriptions_changed(*reply[:2])
            # What was on its way when the topic was given up is for nobody.
            elif (arrived := takers.get(reply[1])) is not None:
                later = arrived(reply[-2], reply[-1])
                if later is not None and self._wire is not None:
                    self._wire.pause_until(later)
        elif isinstance(reply, hiredis.ReplyError):
            self.break_off(ConnectionError(str(reply)))

    def _subscriptions_changed(self, word: bytes, topic: bytes) -> None:
        if word in CONFIRMED:
            self._confirmed((CONFIRMED[word], topic.decode()))
        elif word == b"sunsubscribe" and ("S", topic.decode()) in self._wanted:
            # Not asked for: the slot of the topic has moved to another server.
            self.break_off(ConnectionError("the topics of this shard have moved"))

    def _confirmed(self, subscription: Subscription) -> None:
        self._asked[subscription] -= 1
        if self._asked[subscription] > 0:
            return  # it was given up in between, and is asked for again
        del self._asked[subscription]
        confirmed = self._wanted.get(subscription)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)
        self._unconfirmed.discard(subscription)
        if self._is_restoring and not self._unconfirmed:
            self._is_restoring = False
            self._restored()

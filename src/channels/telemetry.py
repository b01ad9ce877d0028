"""What happened, as past-tense events; exporters subscribe, nothing here knows them."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple


class MessageDropped(NamedTuple):
    """``count`` messages did not reach ``channel``.

    ``channel`` may also stand for a group, whose node's inbox was full, or that a message failed on
    its way to.
    ``reason`` is ``"full"`` (over capacity), ``"expired"`` (unread for too long), ``"closed"``
    (unread when the consumer ended), ``"untyped"`` (of no type, so a worker skipped it) or
    ``"failed"`` (it could not be delivered, or may not have been, and its sender had gone on).
    """

    channel: str
    reason: str
    count: int = 1  # type: ignore[assignment] # hides tuple.count, which nobody wants here


class SendIgnored(NamedTuple):
    """A consumer sent ``event_type`` to a peer that had gone."""

    event_type: str


class HandlerCancelled(NamedTuple):
    """A handler outlived its client by the grace period and was cancelled."""

    consumer: str
    where: str


class FrameDropped(NamedTuple):
    """``count`` broadcast frames did not reach a client that reads too slowly.

    ``reason`` is ``"full"``, ``"oldest"``, ``"replaced"`` or ``"disconnected"``, as the policy of
    its consumer has it, or ``"closed"`` (unsent when the connection ended).
    """

    reason: str
    count: int = 1  # type: ignore[assignment] # hides tuple.count, which nobody wants here


class TopicCaughtUp(NamedTuple):
    """A process had missed ``count`` publications of a reliable topic, and has read them."""

    topic: str
    count: int = 1  # type: ignore[assignment] # hides tuple.count, which nobody wants here


class GapTold(NamedTuple):
    """Clients were told that publications of a reliable topic cannot be had any more.

    ``reason`` is ``"trimmed"``, ``"epoch"`` or ``"future"``. It counts once for a client that asked
    from its position, and once for all clients of a process that missed something.
    """

    topic: str
    reason: str


class ConnectionLimited(NamedTuple):
    """A limit refused or closed a connection; ``reason`` is its name in small letters.

    That of the setting, or ``max_head_bytes`` and ``topic_frame_rate``, which are none.
    """

    reason: str


class ListenerRestarted(NamedTuple):
    """A worker's listener failed and was started again."""

    channel: str
    error: str


class BrokerConnectionLost(NamedTuple):
    """The connection to a shard of a layer's broker broke; it is being made again."""

    shard: str
    error: str


class BrokerConnectionRestored(NamedTuple):
    """The connection to a shard is there again after ``seconds``."""

    shard: str
    seconds: float


class MessageRejected(NamedTuple):
    """What came from a broker could not be read and was skipped.

    ``reason`` is ``"version"`` (of an unknown release), ``"envelope"`` (not ours, or cut short),
    ``"payload"`` (the serializer refused it: a wrong key, an expired token, foreign bytes) or
    ``"handling"`` (what it holds could not be delivered).
    """

    shard: str
    reason: str


class PublicationDelayed(NamedTuple):
    """The broker did not take what waits in the outbox for ``topic``; it waits on."""

    topic: str


Event = (
    MessageDropped
    | FrameDropped
    | ConnectionLimited
    | TopicCaughtUp
    | GapTold
    | SendIgnored
    | HandlerCancelled
    | ListenerRestarted
    | BrokerConnectionLost
    | BrokerConnectionRestored
    | MessageRejected
    | PublicationDelayed
)
Subscriber = Callable[[Event], None]

totals: Final[Counter[str]] = Counter()
"""How often each thing happened in this process, by class name and, where it has one, reason."""

logger: logging.Logger = logging.getLogger("django.channels.telemetry")

_subscribers: list[Subscriber] = []
_lock = threading.Lock()


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call ``subscriber`` with each event from now on, in the thread where it happens.

    Returns:
        A function that ends the subscription.
    """
    _subscribers.append(subscriber)
    return lambda: _subscribers.remove(subscriber)


def emit(event: Event) -> None:
    """Count ``event`` and hand it to every subscriber; in any thread. O(subscribers).

    What a subscriber raises is logged.
    """
    name = type(event).__name__
    amount = 1
    if isinstance(event, MessageDropped | FrameDropped):
        name, amount = f"{name}.{event.reason}", event.count
    elif isinstance(event, TopicCaughtUp):
        amount = event.count
    elif isinstance(event, MessageRejected | ConnectionLimited | GapTold):
        name = f"{name}.{event.reason}"
    with _lock:
        totals[name] += amount
    for subscriber in tuple(_subscribers):
        try:
            subscriber(event)
        except Exception:
            # Whoever watches must not stop what is watched.
            logger.exception("%r failed on %r", subscriber, event)

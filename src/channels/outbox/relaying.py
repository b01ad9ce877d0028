"""From the table to the broker, in order.

Whoever relays a topic goes through its rows by their ids and stops at the first that the broker
does not take; so no row is sent before an earlier one that can be seen. A row is deleted once the
broker has it. Sent twice within a minute, after an error or by two processes at the same time, it
is published once: the broker remembers its id.

Where the database can skip locked rows, a relay leaves a topic alone whose first row another one
has locked: that one looks again when its transaction is over. A row with a lower id that is
committed late lets two of them in, and so does SQLite always. Then both send, in order, and each
deletes what it can lock: nobody ever waits for a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.db.models import QuerySet

from channels import telemetry
from channels.db import close_old_connections
from channels.exceptions import LayerUnavailableError, UnknownTopicError
from channels.outbox.models import Entry
from channels.topics.engine import Engine
from channels.topics.site import run
from channels.topics.topic import find

AT_ONCE: Final = 100
"""Rows in one transaction."""
PATIENCE: Final = 2.0
"""Seconds that the broker has for one publication; a request may be waiting."""
ENOUGH: Final = 3
"""Topics in a row that cannot be relayed, after which the rest is left for later."""
LAST_PAUSE: Final = 30.0
"""Most seconds between two looks while the broker is out, unless the interval is longer."""

logger: logging.Logger = logging.getLogger("django.channels.topics")

Send = Callable[[Entry], Any]

_failed_at = float("-inf")


class Relayed(NamedTuple):
    """What came of going through the table.

    Attributes:
        sent: Publications that the broker has acknowledged.
        error: What the broker said to the last topic that has to wait, or ``None``.
    """

    sent: int
    error: Exception | None


def after_commit(topic: str, using: str) -> Callable[[], None]:
    """Return what relays a topic when a transaction has written to it.

    Args:
        topic: Its name.
        using: The alias of the database.
    """
    made_at = time.monotonic()

    def relay_it() -> None:
        if _failed_at > made_at:
            # Of many publications in one transaction, one has waited for the broker.
            telemetry.emit(telemetry.PublicationDelayed(topic))
            return
        _, error = relay_topic(topic, using=using)
        if error is not None:
            logger.warning("%s has to wait in the outbox: %s", topic, error)

    return relay_it


def send(entry: Entry) -> None:
    """Give one publication to the broker.

    Raises:
        LayerUnavailableError: It did not answer in time. It may have it.
        UnknownTopicError: No topic class has this name any more.
    """
    run(lambda engine: _publish(engine, entry))


async def _publish(engine: Engine, entry: Entry) -> None:
    cls, _ = find(entry.topic)
    try:
        async with asyncio.timeout(PATIENCE):
            await engine.broker.publish(
                entry.topic,
                bytes(entry.body),
                retention=cls.delivery.retention,
                publication_id=entry.publication_id.hex,
            )
    except TimeoutError as error:
        raise LayerUnavailableError(f"the broker did not answer within {PATIENCE:g} s") from error


def relay_topic(topic: str, *, using: str, send: Send = send) -> Relayed:
    """Send what waits for ``topic``.

    After an error that publication waits on, as do those behind it.
    """
    global _failed_at  # whoever has waited for a broker that is out has done so for others, too
    total = 0
    while True:
        sent, error = _send_first(topic, using, send)
        total += sent
        if error is not None:
            telemetry.emit(telemetry.PublicationDelayed(topic))
            if not isinstance(error, UnknownTopicError):
                _failed_at = time.monotonic()
        if error is not None or not sent:
            return Relayed(total, error)


def _send_first(topic: str, using: str, send: Send) -> Relayed:
    entries = Entry.objects.using(using).filter(topic=topic).order_by("pk")
    can_lock = connections[using].features.has_select_for_update_skip_locked
    acknowledged: list[int] = []
    failure = None
    with transaction.atomic(using=using) if can_lock else contextlib.nullcontext():
        if can_lock:
            first = entries.values_list("pk", flat=True).first()
            # Asked for by its id: a locked row must not be skipped for the next one.
            if first is None or not _lock(entries.filter(pk=first)):
                return Relayed(0, None)
        for entry in entries[:AT_ONCE]:
            try:
                send(entry)
            except Exception as error:
                # Brokers have errors of their own, too; none may end the transaction.
                failure = error
                break
            acknowledged.append(entry.pk)
        if acknowledged:
            done = entries.filter(pk__in=acknowledged)
            if can_lock:
                done = entries.filter(pk__in=_lock(done))
            done.delete()
    return Relayed(len(acknowledged), failure)


def _lock(entries: QuerySet[Entry]) -> list[int]:
    """Lock those that nobody has locked, and return their ids."""
    return list(entries.select_for_update(skip_locked=True).values_list("pk", flat=True))


def relay(*, using: str, send: Send = send, is_over: Callable[[], bool] = lambda: False) -> Relayed:
    """Go through every topic that has something waiting.

    Args:
        using: The alias of the database.
        send: Gives one publication to the broker.
        is_over: Whether to stop; asked before each topic.
    """
    topics = list(Entry.objects.using(using).order_by().values_list("topic", flat=True).distinct())
    # The topics of a shard that is out must not always stand before those of the others.
    random.shuffle(topics)
    total, failures = 0, 0
    last: Exception | None = None
    for topic in topics:
        if is_over() or failures == ENOUGH:
            break
        sent, error = relay_topic(topic, using=using, send=send)
        total += sent
        last = error or last
        if error is None:
            failures = 0
        elif not isinstance(error, UnknownTopicError):
            failures += 1
    return Relayed(total, last)


def relay_until(ended: queue.SimpleQueue[None], *, using: str, interval: float) -> None:
    """Relay again and again.

    Args:
        ended: Something is put in when it is time to end; a signal handler may do so.
        using: The alias of the database.
        interval: Seconds between two looks; while nothing can be sent they grow.
    """
    pause = interval
    while True:
        outcome = _try(using, ended)
        if outcome.error is None or outcome.sent:
            pause = interval
        else:
            pause = max(interval, min(2 * pause, LAST_PAUSE))
        with contextlib.suppress(queue.Empty):
            ended.get(timeout=pause)
            return


def _try(using: str, ended: queue.SimpleQueue[None]) -> Relayed:
    close_old_connections()
    try:
        outcome = relay(using=using, is_over=lambda: not ended.empty())
    except AnyDatabaseError as error:
        logger.warning("The outbox cannot be read: %s; trying again.", error)
        return Relayed(0, error)
    finally:
        close_old_connections()
    if outcome.error is not None:
        logger.warning("Some publications have to wait in the outbox: %s", outcome.error)
    return outcome

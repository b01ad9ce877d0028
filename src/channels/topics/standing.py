"""Where a topic stands, for a page that is about to load what was published to it."""

from __future__ import annotations

from channels.topics.engine import Engine
from channels.topics.site import here, run, run_blocking
from channels.topics.topic import find


def position(topic: str) -> str:
    """Return the position of ``topic`` for a page, from sync code; empty in a volatile topic.

    Ask for it before the page's queries: what is published between a query and the page's
    subscription is then replayed. One round trip.

    Raises:
        UnknownTopicError: No topic class has this name.
        LayerUnavailableError: The broker did not answer.
        SynchronousOnlyOperation: The caller runs in an event loop; use ``aposition``.
    """
    return run(lambda engine: _position(engine, topic), instead="await aposition()")


async def aposition(topic: str) -> str:
    """Return the position of ``topic`` for a page; see ``position``."""
    return await _position(here(), topic)


def position_for_template(topic: str) -> str:
    """Return the position of ``topic``; a template of an async view waits for it, too."""
    return run_blocking(lambda engine: _position(engine, topic))


async def _position(engine: Engine, topic: str) -> str:
    cls, _ = find(topic)
    if cls.delivery.retention is None:
        return ""
    (found,) = await engine.broker.positions([topic])
    return str(found)

"""What a backend must do for topics: publish, keep, tell other processes, and know who is there.

A channel layer that can do so has a method ``topic_broker(listener)``, which gives a broker for the
running event loop, without I/O.
``testing.contract.TopicBrokerContract`` is the suite that each must pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from channels.history.position import Excerpt, Position, Publication, Retention
from channels.presence.state import Change, Present

__all__ = ["Change", "Listener", "Present", "Retention", "TopicBroker"]


class Listener(Protocol):
    """Takes what a broker has heard; called on the broker's event loop, and never raises."""

    def arrived(
        self, topic: str, epoch: str, publication: Publication
    ) -> asyncio.Future[Any] | None:
        """Take a publication of a topic that is listened to; ``epoch`` is empty if volatile.

        For one topic they come in the order of their offsets, but may be doubled or missing. No
        more should be handed over until what this returns is done.
        """
        ...

    def presence_changed(self, topic: str, change: Change) -> None:
        """Take a change of presence of a topic that is listened to; may be missing."""
        ...

    def signalled(self, body: bytes) -> None:
        """Take a signal, from any process; may be missing."""
        ...

    def interrupted(self) -> None:
        """Note that what was published until now may be missing; everything is heard again."""
        ...


class TopicBroker(Protocol):
    """The topics of a site, from one event loop of one process.

    Topic names are 1-99 characters of ``[A-Za-z0-9._-]``; whoever calls has checked them. Every
    call that needs the broker raises ``LayerUnavailableError`` if it does not answer in time; then
    what was asked may or may not have happened.
    """

    @property
    def is_closed(self) -> bool:
        """Whether it was closed; then another one is needed."""
        ...

    async def hear_signals(self) -> None:
        """Have the listener hear of signals; when this returns, it does. Idempotent."""
        ...

    async def publish(
        self, topic: str, body: bytes, *, retention: Retention | None, publication_id: str
    ) -> Position | None:
        """Give ``body`` to every process that listens to ``topic``; one round trip.

        With ``retention`` the publication gets the next offset and is kept, in one step with its
        publishing. A ``publication_id`` that was seen within the last minute publishes nothing
        and gives the position it got then, so it may be asked for again after an error.

        Returns:
            The position of the publication, or ``None`` without ``retention``.
        """
        ...

    async def read(self, topic: str, after: int) -> Excerpt:
        """Return what is kept of ``topic`` after offset ``after``; one round trip.

        A topic that nothing was published to has a position, too, with the offset 0.
        """
        ...

    async def positions(self, topics: Sequence[str]) -> list[Position]:
        """Return where each topic stands; one round trip for each shard."""
        ...

    async def forget(self, topic: str) -> None:
        """Erase what is kept of ``topic``, and who is there.

        Its next publication begins a new epoch.
        """
        ...

    async def listen(self, topic: str) -> None:
        """Have the listener hear of ``topic``; when this returns, it does. Idempotent."""
        ...

    def unlisten(self, topic: str) -> None:
        """Hear of ``topic`` no more. Idempotent, no waiting."""
        ...

    async def signal(self, body: bytes) -> None:
        """Give ``body`` to the listener of every process that has a broker, this one included."""
        ...

    async def enter(self, topic: str, connection: str, key: str, *, shown: str) -> None:
        """Note that ``connection``, 1-64 characters, of member ``key`` is in ``topic`` here.

        The first connection of a member, or one with another ``shown`` (JSON text), is a change.
        Idempotent. The connection is there until it leaves, or until ``lease`` seconds after this
        process has last renewed it.
        """
        ...

    async def leave(self, topic: str, connection: str) -> None:
        """Note that ``connection`` has left; the last one of a member is a change. Idempotent."""
        ...

    async def renew(self, topics: Sequence[str], lease: float) -> None:
        """Renew this process's lease in ``topics``, and end those that have run out there.

        What ends is one change for each topic, whichever process finds it. One round trip for each
        shard; O(members) only for what ends.
        """
        ...

    async def present(self, topic: str) -> Present:
        """Return who is in ``topic``; one round trip."""
        ...

    async def close(self) -> None:
        """Close every connection. The members of this process stay until its lease ends."""
        ...

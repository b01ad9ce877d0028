"""Publish to a topic from anywhere: views, signals, tasks, commands, consumers."""

from __future__ import annotations

import uuid
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS

from channels.background import run_after_commit
from channels.history.broker import Retention
from channels.history.position import Position
from channels.topics.body import LONGEST_KEY, Body
from channels.topics.calls import encode_data
from channels.topics.engine import Engine
from channels.topics.site import here, run
from channels.topics.topic import find


def publish(
    topic: str,
    data: Any,
    *,
    exclude: str = "",
    key: str = "",
    after_commit: bool = True,
    outbox: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> Position | None:
    """Publish ``data`` to whoever is subscribed to ``topic``, from sync code; no event loop needed.

    Inside a transaction it is published when that has been committed, and not at all if it is
    rolled back; what goes wrong then is raised where the transaction ends.

    Delivery is as the topic's class has it. Costs one round trip, whatever the number of
    subscribers.

    Args:
        topic: Its name, such as ``"room.7"``.
        data: Anything JSON can hold; dates, decimals and UUIDs as Django writes them.
        exclude: The id of a client that is not to have it: ``Topic.connection``.
        key: What it is about: for a client that reads too slowly, a later publication with this key
            replaces it where the topic keeps only the latest.
        after_commit: Wait for the commit of a transaction; ``False`` publishes at once.
        outbox: Keep it in the database, within the transaction, until the broker has it; a broker
            that is out is no error then. Needs the app ``channels.outbox``.
        using: The database whose transaction counts.

    Returns:
        The position of the publication; ``None`` in a volatile topic, before a commit, or with
        ``outbox``.

    Raises:
        UnknownTopicError: No topic class has this name. Nothing was published.
        TypeError: ``data`` holds what JSON cannot. Nothing was published.
        ValueError: It holds a number that JSON has not, or ``exclude`` or ``key`` is wrong, or
            ``outbox`` is not to wait for the commit. Nothing was published.
        ImproperlyConfigured: There is no outbox. Nothing was published.
        LayerUnavailableError: The broker did not answer. It may have been published.
        SynchronousOnlyOperation: The caller runs in an event loop; use ``apublish``.
    """
    publication = _prepare(topic, data, exclude=exclude, key=key)
    if outbox:
        if not after_commit:
            raise ValueError("with outbox=True it is published after the commit, not before")
        publication.put_in_outbox(using)
        return None
    return run_after_commit(
        lambda: publication(here()),
        using=using if after_commit else None,
        instead="await apublish()",
    )


async def apublish(topic: str, data: Any, *, exclude: str = "", key: str = "") -> Position | None:
    """Publish ``data`` from async code; see ``publish``. It knows of no transaction.

    Returns:
        The position of the publication; ``None`` in a volatile topic.
    """
    return await _prepare(topic, data, exclude=exclude, key=key)(here())


def forget(topic: str) -> None:
    """Erase the history of ``topic`` and who is there; its next publication begins a new epoch.

    Raises:
        UnknownTopicError: No topic class has this name.
        LayerUnavailableError: The broker did not answer. It may have been erased.
    """
    find(topic)
    run(lambda engine: engine.broker.forget(topic), instead="await aforget()")


async def aforget(topic: str) -> None:
    """Erase a topic from async code; see ``forget``."""
    find(topic)
    await here().broker.forget(topic)


class _Publication:
    """One call of ``publish``, which may be made again with the same result."""

    def __init__(self, topic: str, body: bytes, *, retention: Retention | None) -> None:
        self._topic = topic
        self._body = body
        self._retention = retention
        self._id = uuid.uuid4().hex

    async def __call__(self, engine: Engine) -> Position | None:
        return await engine.broker.publish(
            self._topic, self._body, retention=self._retention, publication_id=self._id
        )

    def put_in_outbox(self, using: str) -> None:
        """Leave it to the app ``channels.outbox``, which stands above this module."""
        try:
            app: Any = apps.get_app_config("channels_outbox")
        except LookupError as error:
            raise ImproperlyConfigured(
                "publish(outbox=True) needs 'channels.outbox' in INSTALLED_APPS, and its table: "
                "manage.py migrate"
            ) from error
        app.put(self._topic, self._body, publication_id=self._id, using=using)


def _prepare(topic: str, data: Any, *, exclude: str, key: str) -> _Publication:
    cls, _ = find(topic)
    given: dict[str, Any] = {"exclude": exclude, "key": key}
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > LONGEST_KEY or "\n" in value:
            raise ValueError(
                f"{name} must be a string of at most {LONGEST_KEY} characters without line feeds, "
                f"not {value!r}"
            )
    body = Body(encode_data(data), exclude, key).pack()
    return _Publication(topic, body, retention=cls.delivery.retention)

"""Signals of Django after which a user's connections must end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookieStore
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from channels.exceptions import ChannelsError
from channels.topics.ending import Ended, changed_user, ended_session, ended_user
from channels.topics.site import here, run
from channels.topics.topic import has_topics

logger: logging.Logger = logging.getLogger("django.channels.topics")


def connect() -> None:
    """Listen from now on."""
    user_logged_out.connect(_logged_out, dispatch_uid="channels.topics")
    post_save.connect(_saved, sender=get_user_model(), dispatch_uid="channels.topics")
    post_delete.connect(_deleted, sender=get_user_model(), dispatch_uid="channels.topics")


def disconnect_user(user: Any) -> None:
    """End every connection of ``user``, on every process; they stay away until they sign in.

    Raises:
        LayerUnavailableError: The broker did not answer; some may go on.
    """
    signal = ended_user(user).pack()
    run(lambda engine: engine.broker.signal(signal), instead="await adisconnect_user()")


async def adisconnect_user(user: Any) -> None:
    """End every connection of ``user``, from async code; see ``disconnect_user``."""
    await here().broker.signal(ended_user(user).pack())


def _logged_out(
    sender: Any, request: Any, *, user: Any, session: Any = None, **kwargs: Any
) -> None:
    # channels.auth.logout has no request, and gives the session itself.
    session = getattr(request, "session", session)
    key = getattr(session, "session_key", None)
    if isinstance(session, SignedCookieStore) and user is not None:
        # Its key is its content, and so another one after each change.
        _send(ended_user(user))
    elif key is not None:
        _send(ended_session(key))


def _saved(
    sender: Any, instance: Any, *, created: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    if created:
        return
    if not instance.is_active:
        transaction.on_commit(lambda: _send(ended_user(instance)), using=using)
    elif update_fields is None or "password" in update_fields:
        transaction.on_commit(lambda: _send(changed_user(instance)), using=using)


def _deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    # Its key is gone by the time of the commit.
    signal = ended_user(instance)
    transaction.on_commit(lambda: _send(signal), using=using)


def _send(signal: Ended) -> None:
    if not has_topics():
        return
    try:
        if asyncio._get_running_loop() is None:
            run(lambda engine: engine.broker.signal(signal.pack()))
        else:
            here().start(_send_here(signal))
    except ChannelsError:
        # Signing out must not fail for it; the check of users finds what is left.
        logger.exception("Could not end the connections of a user")


async def _send_here(signal: Ended) -> None:
    try:
        await here().broker.signal(signal.pack())
    except ChannelsError:
        logger.exception("Could not end the connections of a user")

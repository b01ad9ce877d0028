"""Connections of users who were signed out or deactivated end, on every process."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from django.apps import apps
from django.contrib.auth import get_user_model

from channels.db import aclose_old_connections
from channels.topics.engine import Engine
from channels.topics.session import Ended, Session, auth_of, digest_of

AT_ONCE: Final = 500
"""Users in one query."""


def ended_user(user: Any) -> bytes:
    """Return the signal that ends the connections of a user."""
    return msgspec.json.encode(Ended(user=str(user.pk)))


def changed_user(user: Any) -> bytes:
    """Return the signal that ends those which have signed in with another password."""
    return msgspec.json.encode(Ended(user=str(user.pk), auth=auth_of(user)))


def ended_session(session_key: str) -> bytes:
    """Return the signal that ends the connections of a session."""
    return msgspec.json.encode(Ended(session=digest_of(session_key)))


async def check_users(engine: Engine) -> None:
    """End the connections of users that are gone, not active any more, or of another password.

    Signals do so at once; this finds what was changed without any, as by ``QuerySet.update``, and
    signals that were lost. One query for 500 users; who is no user of Django's is not looked at.
    """
    if not apps.is_installed("django.contrib.auth"):
        return
    model = get_user_model()
    users = {
        one.user.pk: one.user
        for one in engine.connections.values()
        if isinstance(one, Session) and isinstance(one.user, model) and one.user.pk is not None
    }
    keys = list(users)
    try:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            found = model._default_manager.filter(pk__in=part)
            active = {user.pk: user async for user in found.aiterator() if user.is_active}
            for key in part:
                user = active.get(key)
                engine.signalled(ended_user(users[key]) if user is None else changed_user(user))
    finally:
        await aclose_old_connections()

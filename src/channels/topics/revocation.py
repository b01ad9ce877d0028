"""Connections of users who were signed out or deactivated end, on every process."""

from __future__ import annotations

from typing import Any

import msgspec
from django.contrib.auth import get_user_model

from channels.topics.engine import Engine
from channels.topics.session import Ended, Session, digest_of

AT_ONCE = 500
"""Users in one query."""


def ended_user(user: Any) -> bytes:
    """Return the signal that ends the connections of a user."""
    return msgspec.json.encode(Ended(user=str(user.pk)))


def ended_session(session_key: str) -> bytes:
    """Return the signal that ends the connections of a session."""
    return msgspec.json.encode(Ended(session=digest_of(session_key)))


async def check_users(engine: Engine) -> None:
    """End the connections of users that are gone or not active any more.

    Signals do so at once; this finds what was changed without any, as by ``QuerySet.update``. One
    query for 500 users.
    """
    sessions = [one for one in engine.connections.values() if isinstance(one, Session)]
    users = {key: one.user for one in sessions if (key := one.user_key()) is not None}
    keys = sorted(users)
    model = get_user_model()
    for start in range(0, len(keys), AT_ONCE):
        part = keys[start : start + AT_ONCE]
        found = model._default_manager.filter(pk__in=[users[key].pk for key in part])
        active = {str(user.pk) async for user in found.aiterator() if user.is_active}
        for key in part:
            if key not in active:
                engine.signalled(ended_user(users[key]))

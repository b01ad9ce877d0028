"""Connections end whose users were deactivated without a signal of Django's."""

from __future__ import annotations

import asyncio
from typing import Final

from django.apps import apps
from django.contrib.auth import get_user_model

from channels.db import aclose_old_connections
from channels.topics.ending import Ended, changed_user
from channels.topics.engine import Engine
from channels.topics.session import Session

AT_ONCE: Final = 500
"""Users in one query."""
LOOK: Final = 50
"""Users that are looked at before others have a turn of the event loop."""


async def check_users(engine: Engine) -> None:
    """End the connections of users that are gone, not active any more, or of another password.

    Signals do so at once; this finds what was changed without any, as by ``QuerySet.update``, and
    signals that were lost. One query for 500 users; who is no user of Django's is not looked at.
    O(connections).
    """
    if not apps.is_installed("django.contrib.auth"):
        return
    model = get_user_model()
    keys = list(
        {
            one.user.pk
            for one in engine.connections.values()
            if isinstance(one, Session) and isinstance(one.user, model) and one.user.pk is not None
        }
    )
    try:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            found = model._default_manager.filter(pk__in=part)
            active = {user.pk: user async for user in found.aiterator() if user.is_active}
            for number, key in enumerate(part, 1):
                user = active.get(key)
                engine.end(Ended(user=str(key)) if user is None else changed_user(user))
                if number % LOOK == 0:
                    await asyncio.sleep(0)
    finally:
        await aclose_old_connections()

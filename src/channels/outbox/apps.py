"""The Django app ``channels.outbox``."""

from __future__ import annotations

import uuid

from django.apps import AppConfig
from django.db import transaction


class OutboxConfig(AppConfig):
    """Has one model, and is asked by ``channels.publish``, which knows nothing of it."""

    name: str = "channels.outbox"
    label: str = "channels_outbox"
    verbose_name: str = "Outbox of channels"
    default_auto_field: str = "django.db.models.BigAutoField"

    def put(self, topic: str, body: bytes, *, publication_id: str, using: str) -> None:
        """Keep a publication within the caller's transaction; it is sent after the commit."""
        # Models can be imported once every app is loaded, and this module is loaded before.
        from channels.outbox.models import Entry
        from channels.outbox.relaying import after_commit

        Entry.objects.using(using).create(
            topic=topic, body=body, publication_id=uuid.UUID(publication_id)
        )
        # What nobody has foreseen must not fail the caller either, whose data are committed.
        transaction.on_commit(after_commit(topic, using), using=using, robust=True)

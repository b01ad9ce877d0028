"""The table of publications that the broker does not have yet."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """One publication. Its row is deleted when the broker has acknowledged it.

    Attributes:
        topic: Where it goes.
        body: As it goes through the broker.
        publication_id: By which the broker knows it again.
        created_at: When it was published.
    """

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    topic: models.CharField[str, str] = models.CharField(max_length=100)
    body: models.BinaryField[bytes, bytes | memoryview] = models.BinaryField()
    publication_id: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(default=uuid.uuid4)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One index: every query is for one topic, in order."""

        verbose_name_plural = "entries"
        indexes: ClassVar[tuple[models.Index, ...]] = (
            models.Index(fields=["topic", "id"], name="channels_outbox_topic"),
        )

    def __str__(self) -> str:
        return f"{self.topic} #{self.pk}"

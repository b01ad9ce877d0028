"""Notes from one person to another."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

LONGEST_NOTE = 200


class Note(models.Model):
    """A short message to one person, kept until it is read and after."""

    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes_sent"
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes"
    )
    text = models.CharField(max_length=LONGEST_NOTE)
    sent_at = models.DateTimeField(auto_now_add=True)
    is_read = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Return what a browser needs to show this note; ``sender`` must be loaded."""
        return {
            "id": self.pk,
            "sender": self.sender.get_username(),
            "text": self.text,
            "sent_at": self.sent_at.isoformat(),
            "is_read": self.is_read,
        }

"""The socket that brings one person's notes to each of their tabs."""

from __future__ import annotations

from typing import Any

from demo.sockets import SignedInConsumer
from notes.models import Note
from notes.push import group_of

NEWEST = 20


class NotesConsumer(SignedInConsumer):
    """Sends the newest notes on connecting, then each new one as it is written."""

    async def entered(self) -> None:
        """Join the group of this person's tabs, and send what may have been missed."""
        user = self.scope["user"]
        await self.join(group_of(user.pk))
        notes = Note.objects.filter(recipient=user).select_related("sender").order_by("-pk")
        newest = [note.as_dict() async for note in notes[:NEWEST]]
        unread = await notes.filter(is_read=False).acount()
        await self.send_json({"kind": "notes", "notes": newest[::-1], "unread": unread})

    async def notes_new(self, event: dict[str, Any]) -> None:
        """A note came in."""
        await self.send_json({"kind": "note", "note": event["note"]})

    async def notes_read(self, event: dict[str, Any]) -> None:
        """All notes were marked as read, perhaps in another tab."""
        await self.send_json({"kind": "read"})

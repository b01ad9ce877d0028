"""Sending notes from ordinary synchronous code: a view, an admin action, a command."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction

from channels.layers import get_channel_layer
from notes.models import Note


def group_of(user_id: int) -> str:
    """Return the name of the group of all tabs of one person."""
    return f"notes.{user_id}"


def send_note(sender: User, recipient: User, text: str) -> Note:
    """Store a note and, once it is stored for good, show it in the recipient's open tabs."""
    note = Note.objects.create(sender=sender, recipient=recipient, text=text)
    event = {"type": "notes.new", "note": note.as_dict()}
    transaction.on_commit(lambda: _push(recipient.pk, event))
    return note


def mark_all_read(recipient: User) -> None:
    """Mark every note of a person as read, in all of their tabs."""
    Note.objects.filter(recipient=recipient, is_read=False).update(is_read=True)
    transaction.on_commit(lambda: _push(recipient.pk, {"type": "notes.read"}))


def _push(user_id: int, event: dict[str, Any]) -> None:
    async_to_sync(get_channel_layer().group_send)(group_of(user_id), event)

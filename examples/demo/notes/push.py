"""Sending notes from ordinary synchronous code: a view, an admin action, a command."""

from __future__ import annotations

from django.contrib.auth.models import User

from channels.publish import publish
from notes.models import Note
from notes.topics import NotesTopic


def send_note(sender: User, recipient: User, text: str) -> Note:
    """Store a note and, once it is stored for good, show it in the recipient's open tabs."""
    note = Note.objects.create(sender=sender, recipient=recipient, text=text)
    publish(topic_of(recipient), {"kind": "note", "note": note.as_dict()})
    return note


def mark_all_read(recipient: User) -> None:
    """Mark every note of a person as read, in all of their tabs."""
    unread = Note.objects.filter(recipient=recipient, is_read=False)
    newest = unread.order_by("-pk").values_list("pk", flat=True).first()
    if newest is not None:
        unread.filter(pk__lte=newest).update(is_read=True)
        publish(topic_of(recipient), {"kind": "read", "up_to": newest})


def topic_of(user: User) -> str:
    """Return the name of the topic of a person's notes."""
    return NotesTopic.topic_name(user_id=user.pk)

"""``{% inbox as data %}``: what every page needs to show notes."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.auth.models import User

from channels.topics import position
from notes.models import Note
from notes.topics import NotesTopic

NEWEST = 20

register = template.Library()


@register.simple_tag(takes_context=True)
def inbox(context: dict[str, Any]) -> dict[str, Any]:
    """Return the newest notes of who looks at the page, how many are unread, and the topic."""
    user: User = context["user"]
    topic = NotesTopic.topic_name(user_id=user.pk)
    standing = position(topic)  # before the queries: what comes after it is not missed
    notes = Note.objects.filter(recipient=user).select_related("sender").order_by("-pk")
    return {
        "topic": topic,
        "position": standing,
        "notes": [note.as_dict() for note in notes[:NEWEST]][::-1],
        "unread": notes.filter(is_read=False).count(),
    }

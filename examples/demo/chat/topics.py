"""What pages of a room subscribe to: the lines that are said in it, and who is there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from channels.publish import apublish
from channels.topics import CallError, Reliable, Topic, call
from chat.forms import LineForm, first_error
from chat.models import Line, Room


class RoomTopic(Topic, pattern="room.<slug:slug>"):
    """A room: pages that were away catch up with its latest lines."""

    delivery = Reliable(history=200)
    presence = True
    presence_grace = 2.0
    slug: str

    async def authorize(self) -> bool:
        """Let in everybody who is signed in, if there is such a room."""
        self.room = await Room.objects.filter(slug=self.slug).afirst()
        return self.room is not None and self.user.is_authenticated

    @call
    async def say(self, ref: UUID, text: str) -> dict[str, Any]:
        """Store a line, tell the room, and answer with the line as it was stored."""
        form = LineForm({"text": text})
        if not form.is_valid():
            raise CallError("not_said", first_error(form))
        line, _ = await Line.objects.select_related("author").aget_or_create(
            room=self.room, author=self.user, ref=ref, defaults=form.cleaned_data
        )
        # A page that got no answer says it again, so this may have failed before; a line that
        # comes twice is shown once.
        await apublish(self.name, line.as_dict())
        return line.as_dict()

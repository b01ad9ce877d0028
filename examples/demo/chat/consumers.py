"""The socket of one tab in one room."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from chat.forms import LineForm, first_error
from chat.history import lines_after, store
from chat.models import Room
from chat.presence import presence
from demo.sockets import NOT_FOUND, SignedInConsumer


class ChatConsumer(SignedInConsumer):
    """Hears what is said in a room, says what its person types, and is seen in the room.

    A browser sends ``{"action": "say", "ref": UUID, "text": ...}``. It gets ``history``, then
    ``line`` and ``members`` as they happen, and ``error`` for a frame that we cannot take.
    """

    room: Room
    name: str
    is_here = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one tab; whatever ends it, an error included, its person leaves the room."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.leave()

    async def entered(self) -> None:
        """Join the room, catch up with what was said, and show that this person is here."""
        slug = self.scope["url_route"]["kwargs"]["room"]
        room = await Room.objects.filter(slug=slug).afirst()
        if room is None:
            await self.refuse(NOT_FOUND, "There is no such room.")
        self.room = room
        self.name = self.scope["user"].get_username()
        # Join first: a line said while the history is read comes after it and is never missed.
        await self.join(group_of(room))
        await self.send_json({"kind": "history", **await lines_after(room, self.last_seen())})
        presence.enter(room.slug, self.name)
        self.is_here = True
        await self.tell_members()

    async def leave(self) -> None:
        """Take this tab out of the list, if it ever got into the room."""
        if self.is_here:
            presence.leave(self.room.slug, self.name)
            await self.tell_members()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Do what the browser asks; only ``action`` decides what that is."""
        if not isinstance(content, dict) or content.get("action") != "say":
            await self.send_error('Unknown action; the only one is "say".')
            return
        form = LineForm(content)
        if form.is_valid():
            await self.say(**form.cleaned_data)
        else:
            await self.send_error(first_error(form), ref=content.get("ref"))

    async def say(self, ref: UUID, text: str) -> None:
        """Store a line, answer its author, and tell the room."""
        line, is_new = await store(self.room, self.scope["user"], ref=ref, text=text)
        # The answer does not go through the layer, so an author never waits for it in vain.
        await self.send_json({"kind": "line", "line": line.as_dict()})
        if is_new:
            await self.tell_room({"type": "chat.line", "line": line.as_dict()})

    async def chat_line(self, event: dict[str, Any]) -> None:
        """Somebody said something: show it."""
        await self.send_json({"kind": "line", "line": event["line"]})

    async def chat_members(self, event: dict[str, Any]) -> None:
        """Somebody came or went: show who is here now."""
        await self.send_json({"kind": "members", "names": event["names"]})

    async def tell_room(self, event: dict[str, Any]) -> None:
        """Send an event to every tab in this room, our own included."""
        await self.channel_layer.group_send(group_of(self.room), event)

    async def tell_members(self) -> None:
        """Send everyone in the room the list of who is here."""
        await self.tell_room({"type": "chat.members", "names": presence.names(self.room.slug)})

    def last_seen(self) -> int:
        """The last line that this tab has shown before it lost its connection, else 0."""
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        after = query.get("after", ["0"])[0]
        return int(after) if re.fullmatch("[0-9]{1,18}", after) else 0


def group_of(room: Room) -> str:
    """Return the name of the group of all tabs in ``room``."""
    return f"chat.{room.slug}"

"""Reading and storing lines."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from chat.models import Line, Room

FIRST_PAGE = 50
LONGEST_CATCH_UP = 200


async def lines_after(room: Room, last_seen: int) -> dict[str, Any]:
    """Return what was said after the line ``last_seen``, or the newest lines if that is 0.

    ``cut`` tells that there were too many and the oldest of them are left out.
    """
    most = LONGEST_CATCH_UP if last_seen else FIRST_PAGE
    newest_first = room.line_set.filter(pk__gt=last_seen).select_related("author").order_by("-pk")
    lines = [line.as_dict() async for line in newest_first[: most + 1]]
    return {"lines": lines[most - 1 :: -1], "cut": bool(last_seen) and len(lines) > most}


async def store(room: Room, author: User, *, ref: UUID, text: str) -> tuple[Line, bool]:
    """Store a line once; return it, and whether it is new."""
    return await Line.objects.select_related("author").aget_or_create(
        room=room, author=author, ref=ref, defaults={"text": text}
    )

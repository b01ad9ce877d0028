"""Rooms and what was said in them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

LONGEST_LINE = 500
FIRST_PAGE = 50


class Room(models.Model):
    """A room that every signed-in person may enter."""

    slug = models.SlugField(max_length=32, unique=True)

    def __str__(self) -> str:
        return self.slug

    def newest_lines(self) -> list[dict[str, Any]]:
        """Return what browsers need to show the newest lines, in order."""
        lines = self.line_set.select_related("author").order_by("-pk")[:FIRST_PAGE]
        return [line.as_dict() for line in lines][::-1]


class Line(models.Model):
    """One thing that one person said in one room."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.CharField(max_length=LONGEST_LINE)
    said_at = models.DateTimeField(auto_now_add=True)
    # Chosen by the browser, which repeats a line until it is answered; stored once.
    ref = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["room", "author", "ref"], name="a_line_is_stored_once"),
        ]

    def __str__(self) -> str:
        return self.text

    def as_dict(self) -> dict[str, Any]:
        """Return what a browser needs to show this line; ``author`` must be loaded."""
        return {
            "id": self.pk,
            "ref": str(self.ref),
            "author": self.author.get_username(),
            "text": self.text,
            "said_at": self.said_at.isoformat(),
        }

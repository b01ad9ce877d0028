"""What every page subscribes to: the notes of the person who looks at it."""

from __future__ import annotations

from channels.topics import Reliable, Topic

A_WEEK = 7 * 24 * 3600.0


class NotesTopic(Topic, pattern="notes.<int:user_id>"):
    """One person's notes; a laptop that was closed over the weekend catches up."""

    delivery = Reliable(history=100, ttl=A_WEEK)
    user_id: int

    async def authorize(self) -> bool:
        """Let in nobody else."""
        return bool(self.user.pk == self.user_id)

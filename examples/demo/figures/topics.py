"""What dashboards subscribe to."""

from __future__ import annotations

from channels.topics import Topic


class FiguresTopic(Topic, pattern="figures"):
    """Figures of each second: of those that a client has not read yet, it gets the latest."""

    slow_consumer = "keep_latest"

    async def authorize(self) -> bool:
        """Let in everybody who is signed in."""
        return bool(self.user.is_authenticated)

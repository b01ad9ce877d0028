"""Who is in a topic, asked on the server."""

from __future__ import annotations

import json
from typing import Any

from channels.history.broker import Present
from channels.topics.site import here, run
from channels.topics.topic import find


class Presence:
    """Who is in ``topic`` now, on all processes. One round trip each time it is asked.

    Args:
        topic: Its name.

    Raises:
        UnknownTopicError: No topic class has this name.
        ValueError: The topic has no presence.
    """

    def __init__(self, topic: str) -> None:
        cls, _ = find(topic)
        if not cls.presence:
            raise ValueError(f"{cls.__name__} has no presence; set 'presence = True' in the class")
        self.topic = topic

    def list(self) -> dict[str, Any]:
        """Return what is shown of each member, by key; from sync code."""
        return _shown(run(lambda engine: engine.broker.present(self.topic)))

    async def alist(self) -> dict[str, Any]:
        """Return what is shown of each member, by key."""
        return _shown(await here().broker.present(self.topic))

    def count(self) -> int:
        """Count the members; from sync code."""
        return len(self.list())

    async def acount(self) -> int:
        """Count the members."""
        return len(await self.alist())


def _shown(present: Present) -> dict[str, Any]:
    return {key: json.loads(text) for key, text in present.members.items()}

"""What is known of a connection, for health checks."""

from __future__ import annotations

from typing import NamedTuple

from channels_redis._lifeline import Lifeline


class ShardHealth(NamedTuple):
    """State of one connection.

    Attributes:
        shard: Name of the shard.
        role: ``"calls"`` or ``"reading"``.
        is_connected: Whether it is there, as far as is known.
        address: Where its server is, or ``None``.
        away_for: Seconds since it broke, or 0.
    """

    shard: str
    role: str
    is_connected: bool
    address: str | None
    away_for: float

    @classmethod
    def of(cls, role: str, line: Lifeline) -> ShardHealth:
        """Describe a connection."""
        return cls(line.name, role, line.is_connected, line.address, line.away_for)

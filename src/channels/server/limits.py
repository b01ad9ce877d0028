"""What one client may cost, as numbers that a server reads once."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any, Final, NamedTuple

import uvicorn

from channels.conf import channels_settings

UVICORN: Final = inspect.signature(uvicorn.Config.__init__).parameters
"""Uvicorn's options with their defaults: one that differs was given, and goes before a setting."""


class Limits(NamedTuple):
    """The limits of a socket. Sizes in bytes, times in seconds; ``None`` for none.

    ``docs/reference/settings.md`` says what each is.
    """

    max_frame_bytes: int
    max_message_bytes: int
    max_connections: int
    header_timeout: float
    handshake_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    outbox_frames: int
    outbox_bytes: int
    message_rate: float | None
    idle_timeout: float | None
    grace: float
    has_deflate: bool


@functools.lru_cache(maxsize=4)
def limits_of(config: uvicorn.Config) -> Limits:
    """Return the limits of ``CHANNELS``, and in their place what was given to uvicorn.

    Read once for each ``config``.
    """
    settings = channels_settings()
    message_bytes, frame_bytes = settings.max_message_bytes, settings.max_frame_bytes
    if _was_given(config, "ws_max_size"):
        message_bytes, frame_bytes = _sizes(config.ws_max_size)
    return Limits(
        max_frame_bytes=min(frame_bytes, message_bytes),
        max_message_bytes=message_bytes,
        max_connections=settings.max_connections,
        header_timeout=settings.header_timeout,
        handshake_timeout=settings.handshake_timeout,
        ping_interval=_seconds(config, "ws_ping_interval", settings.ping_interval),
        ping_timeout=_seconds(config, "ws_ping_timeout", settings.ping_timeout),
        outbox_frames=settings.outbox_frames,
        outbox_bytes=settings.outbox_bytes,
        message_rate=settings.message_rate,
        idle_timeout=settings.idle_timeout,
        grace=settings.disconnect_grace,
        has_deflate=config.ws_per_message_deflate,
    )


def _was_given(config: uvicorn.Config, option: str) -> bool:
    return bool(getattr(config, option) != UVICORN[option].default)


def _seconds(config: uvicorn.Config, option: str, setting: float | None) -> float | None:
    value: float | None = getattr(config, option) if _was_given(config, option) else setting
    return value or None


def _sizes(given: Any) -> tuple[int, int]:
    """Return the limits of messages and frames in uvicorn's option, which may be both or one."""
    message, frame = given if isinstance(given, tuple) else (given, given)
    return message or sys.maxsize, frame or sys.maxsize


class TokenBucket:
    """Allows ``rate`` things a second, and as many at once as come in one second.

    Args:
        rate: Things a second, above 0.
        now: On any clock, in seconds.
    """

    __slots__ = ("_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = max(1.0, rate)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Return whether one more is allowed now."""
        full = max(1.0, self._rate)
        self._tokens = min(full, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

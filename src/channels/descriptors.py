"""Descriptors of sockets, for those who write past the transport."""

from __future__ import annotations

import asyncio
import os
from typing import Final

NONE: Final = -1
"""Only the transport may write."""


def descriptor_of(transport: asyncio.BaseTransport) -> int:
    """Return what ``os.write`` takes for the socket of ``transport``, or ``NONE``.

    There is none where the transport encrypts, has no socket, or where sockets are no files
    (Windows). It is the transport's until ``connection_lost``.
    """
    endpoint = transport.get_extra_info("socket")
    if os.name != "posix" or endpoint is None or transport.get_extra_info("sslcontext") is not None:
        return NONE
    descriptor: int = endpoint.fileno()
    return descriptor

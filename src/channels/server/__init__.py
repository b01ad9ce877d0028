"""Serves the project under uvicorn, with frames that are encoded once for a whole group."""

from channels.server.http import HttpProtocol
from channels.server.protocol import WebSocketProtocol

__all__ = ["HttpProtocol", "WebSocketProtocol"]

"""The one consumer that serves all topics of a user over one WebSocket."""

from __future__ import annotations

from typing import Final

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.sources import direct_socket
from channels.topics import protocol
from channels.topics.open_topic import frame_of
from channels.topics.protocol import SUBPROTOCOL
from channels.topics.serving import ServesTopics
from channels.topics.session import NO_CLIENT

RESTART: Final = frame_of(
    protocol.encode(
        {
            "type": "goodbye",
            "code": "restart",
            "message": "the server restarts",
            "reconnect": True,
        }
    )
)
"""What a client hears before the server closes for a restart."""


class TopicConsumer(ServesTopics, AsyncWebsocketConsumer):
    """Serves every topic of a site: ``path("ws/topics/", TopicConsumer.as_asgi())``.

    The protocol is that of ``protocol/README.md``. Its channel layer is one of the process's own,
    for the frames of topics; for groups use ``channels.layers.get_channel_layer()``.

    Attributes:
        limits: What one connection may ask for.
    """

    async def connect(self) -> None:
        """Accept clients of the protocol; tell others what is expected."""
        if SUBPROTOCOL not in self.scope.get("subprotocols", ()):
            await self.accept()
            await self.close(NO_CLIENT, f"expected subprotocol {SUBPROTOCOL}")
            return
        self.open_session(send=self.send, close=self.close)
        socket = direct_socket(self.scope)
        if socket is not None:
            socket.farewell = RESTART
        await self.accept(SUBPROTOCOL)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Do what a frame asks for."""
        if self.session is None:
            return
        if text_data is None:
            await self.close(NO_CLIENT, "expected text frames")
        else:
            await self.session.receive(text_data)

    async def disconnect(self, code: int) -> None:
        """Leave every topic."""
        if self.session is not None:
            self.session.end()

"""The application that chats while its Redis is in trouble; told by the environment which layer."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import django
from django.conf import settings  # noqa: TID251 - this is a project
from django.urls import path

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": json.loads(os.environ["ROOM_LAYER"])},
    INSTALLED_APPS=["channels"],
    SECRET_KEY="not a secret",
)
django.setup()

from channels.exceptions import LayerUnavailableError  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class Room(AsyncJsonWebsocketConsumer):
    """Passes each line to its room, and tells its sender whether it was published."""

    async def connect(self) -> None:
        """Join the room in the URL."""
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any) -> None:
        """Publish a line."""
        try:
            await self.channel_layer.group_send(self.room, {"type": "room.line", "id": content})
        except LayerUnavailableError:
            await self.send_json({"failed": content})
        else:
            await self.send_json({"published": content})

    async def room_line(self, event: dict[str, Any]) -> None:
        """Show a line."""
        await self.send_json({"line": event["id"]})

    async def redis_gone(self, event: dict[str, Any]) -> None:
        """Say that lines may be missing from now on."""
        await self.send_json({"redis": "gone"})

    async def redis_back(self, event: dict[str, Any]) -> None:
        """Say that none are missing any more."""
        await self.send_json({"redis": "back"})


application = ProtocolTypeRouter({"websocket": URLRouter([path("<room>/", Room.as_asgi())])})

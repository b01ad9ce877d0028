"""The applications of these benchmarks; they run on Seaway and on Django Channels alike.

Served as ``rooms:application``, with this folder as the working directory. ``/chat/`` is the
consumer of Channels' tutorial; ``/room/`` broadcasts frames, which only Seaway understands.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmark_settings"
django.setup()

# Django has to be set up first.
from django.urls import path  # noqa: E402

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class ChatConsumer(AsyncWebsocketConsumer):
    """The tutorial's: a handler and a ``json.dumps`` for each member."""

    async def connect(self) -> None:
        """Join the room."""
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave it."""
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Tell the room."""
        message = json.loads(text_data or "")["message"]
        await self.channel_layer.group_send("room", {"type": "chat.message", "message": message})

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        await self.send(text_data=json.dumps({"message": event["message"]}))


class RoomConsumer(ChatConsumer):
    """The same, as one frame for the whole room."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Tell the room."""
        message = json.loads(text_data or "")["message"]
        text = json.dumps({"message": message})
        await self.channel_layer.group_send("room", {"type": "websocket.send", "text": text})


class IdleConsumer(AsyncWebsocketConsumer):
    """In one group, and silent."""

    groups = ("room",)


application = ProtocolTypeRouter(
    {
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("chat/", ChatConsumer.as_asgi()),
                    path("room/", RoomConsumer.as_asgi()),
                    path("idle/", IdleConsumer.as_asgi()),
                ]
            )
        )
    }
)

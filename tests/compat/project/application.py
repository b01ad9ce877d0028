"""The application behind the live server of ``live_probe``."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter


class Page(AsyncHttpConsumer):
    """Answers with path and number of users."""

    async def handle(self, body: bytes) -> None:
        """Count in the database that the test writes to."""
        from django.contrib.auth import get_user_model

        users = await database_sync_to_async(get_user_model().objects.count)()
        await self.send_response(200, f"{self.scope['path']}: {users} user".encode())


class Chat(WebsocketConsumer):
    """Answers in capitals."""

    def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        """Answer one frame."""
        self.send(text_data.upper())


application = ProtocolTypeRouter({"http": Page.as_asgi(), "websocket": Chat.as_asgi()})

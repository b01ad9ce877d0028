"""What the conformance suite talks to: a consumer that sends each frame back."""

from __future__ import annotations

import os

import django

from channels.generic.websocket import AsyncWebsocketConsumer

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.conformance.settings"
django.setup()


class Echo(AsyncWebsocketConsumer):
    """Sends each frame back as it came."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send the frame back."""
        await self.send(text_data, bytes_data)


application = Echo.as_asgi()

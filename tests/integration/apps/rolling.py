"""The project that ``manage.py serve`` rolls and ends."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, re_path

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.topics import Topic, TopicEvents

if "ROLLING_BROKEN" in os.environ and Path(os.environ["ROLLING_BROKEN"]).exists():
    raise RuntimeError("deliberate: this version does not start")


class Room(AsyncJsonWebsocketConsumer):
    """A chat room; greets with the process it runs in."""

    async def connect(self) -> None:
        """Join the room in the URL."""
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send_json({"pid": os.getpid()})

    async def receive_json(self, content: Any) -> None:
        """Tell the room."""
        text = json.dumps({"line": content})
        await self.channel_layer.group_send(self.room, {"type": "websocket.send", "text": text})

    async def disconnect(self, code: int) -> None:
        """Leave the room."""
        await self.channel_layer.group_discard(self.room, self.channel_name)


class Slow(AsyncJsonWebsocketConsumer):
    """Writes into a file when it has finished, which takes a while."""

    async def receive_json(self, content: Any) -> None:
        """Take so many seconds, then write."""
        await asyncio.sleep(content["seconds"])
        await asyncio.to_thread(Path(content["file"]).write_text, "finished")


class Hanging(AsyncJsonWebsocketConsumer):
    """Never finishes."""

    async def receive_json(self, content: Any) -> None:
        """Hang."""
        await self.send_json("hanging")
        await forever()


class HangingThread(WebsocketConsumer):
    """Never finishes, in a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Hang."""
        self.send("hanging")
        block()


async def forever() -> None:
    """Wait for what never comes, and for being cancelled no less."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if "ROLLING_STUBBORN" not in os.environ:
                raise


def block() -> None:
    """Hold the thread."""
    time.sleep(3600)


class Lines(Topic, pattern="lines.<str:key>"):
    """A topic for everybody."""

    key: str

    async def authorize(self) -> bool:
        """Let everybody in."""
        return True


def who(request: HttpRequest) -> HttpResponse:
    """Say who asks, by which scheme, and who answers."""
    return JsonResponse(
        {
            "client": request.META.get("REMOTE_ADDR"),
            "secure": request.is_secure(),
            "scheme": request.scheme,
            "pid": os.getpid(),
            "host": request.get_host(),
        }
    )


async def stop_the_loop(request: HttpRequest) -> HttpResponse:
    """Hold the event loop."""
    block()
    return HttpResponse()


async def die(request: HttpRequest) -> HttpResponse:
    """End the process."""
    os._exit(7)


urlpatterns = [path("who/", who), path("stop/", stop_the_loop), path("die/", die)]
application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [path("events/", TopicEvents.as_asgi()), re_path("", get_asgi_application())]
        ),
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("room/<room>/", Room.as_asgi()),
                    path("slow/", Slow.as_asgi()),
                    path("hang/", Hanging.as_asgi()),
                    path("hang/thread/", HangingThread.as_asgi()),
                ]
            )
        ),
    }
)

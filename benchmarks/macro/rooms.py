"""The applications of these benchmarks; they run on Seaway and on Django Channels alike.

Served as ``rooms:application``, with this folder as the working directory. ``/chat/`` is the
consumer of Channels' tutorial; ``/room/`` broadcasts frames, which only Seaway understands.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmark_settings"
django.setup()

# Django has to be set up first.
from django.urls import path  # noqa: E402

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class ChatConsumer(AsyncWebsocketConsumer):
    """The tutorial's: a handler and a ``json.dumps`` for each member."""

    async def connect(self) -> None:
        """Join the room."""
        self.room = self.scope["url_route"]["kwargs"].get("room", "room")
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave it."""
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Tell the room."""
        message = json.loads(text_data or "")["message"]
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "message": message})

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


class EchoConsumer(AsyncWebsocketConsumer):
    """Sends each frame back."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send it back."""
        await self.send(text_data=text_data)


class SyncEchoConsumer(WebsocketConsumer):
    """Sends each frame back, from a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send it back."""
        self.send(text_data=text_data)


class TickerConsumer(AsyncWebsocketConsumer):
    """Notes how late a timer of a millisecond is, from one frame to the next; then says so.

    It notes as well how long each slice of a fan-out takes, where the server has them.
    """

    ticking: asyncio.Task[None] | None = None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Begin, or end and send the delays and the pauses of the garbage collector, in ms."""
        if self.ticking is None:
            self.delays: list[float] = []
            self.pauses: list[float] = []
            self.slices: list[float] = []
            gc.callbacks.append(self.note_collection)
            self.stop_timing = time_slices(self.slices)
            self.ticking = asyncio.create_task(self.tick())
        else:
            self.ticking.cancel()
            self.ticking = None
            gc.callbacks.remove(self.note_collection)
            self.stop_timing()
            longest = [sorted(some)[-100:] for some in (self.delays, self.pauses, self.slices)]
            await self.send(json.dumps(longest))
            await self.send(json.dumps([len(self.delays), len(self.slices)]))

    async def tick(self) -> None:
        """Note how late each tick is."""
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            self.delays.append((time.perf_counter() - due) * 1000)

    def note_collection(self, phase: str, info: dict[str, int]) -> None:
        """Note how long the collector takes."""
        now = time.perf_counter()
        if phase == "start":
            self.collecting = now
        else:
            self.pauses.append((now - self.collecting) * 1000)


def time_slices(slices: list[float]) -> Callable[[], None]:
    """Note how long each slice takes, in ms of CPU; return what ends that."""
    try:
        from channels.layers.fan_out import FanOut
    except ImportError:
        return lambda: None
    advance = FanOut.advance

    def timed(fan: Any, *arguments: Any) -> None:
        began = time.thread_time()
        advance(fan, *arguments)
        slices.append((time.thread_time() - began) * 1000)

    def stop() -> None:
        FanOut.advance = advance  # type: ignore[method-assign]

    FanOut.advance = timed  # type: ignore[method-assign, assignment]
    return stop


class IdleConsumer(AsyncWebsocketConsumer):
    """In one group, and silent."""

    groups = ("room",)


application = ProtocolTypeRouter(
    {
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("chat/", ChatConsumer.as_asgi()),
                    path("chat/<slug:room>/", ChatConsumer.as_asgi()),
                    path("room/", RoomConsumer.as_asgi()),
                    path("idle/", IdleConsumer.as_asgi()),
                    path("echo/", EchoConsumer.as_asgi()),
                    path("sync-echo/", SyncEchoConsumer.as_asgi()),
                    path("ticker/", TickerConsumer.as_asgi()),
                ]
            )
        )
    }
)

"""The application of ``topics.py``: one reliable and one volatile topic, and a URL that publishes.

Served as ``topic_rooms:application``, with this folder as the working directory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "benchmark_settings"
django.setup()

# Django has to be set up first.
from django.urls import path  # noqa: E402

from channels.publish import apublish  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.topics import Reliable, Topic, TopicConsumer, Volatile  # noqa: E402
from channels.typing import Receive, Scope, Send  # noqa: E402

TEXT = "x" * 80


class Kept(Topic, pattern="reliable.<int:number>"):
    """Numbered, and kept."""

    delivery = Reliable()
    number: int

    async def authorize(self) -> bool:
        """Let everyone in."""
        return True


class Loose(Topic, pattern="volatile.<int:number>"):
    """Neither."""

    delivery = Volatile()
    number: int

    async def authorize(self) -> bool:
        """Let everyone in."""
        return True


async def publish(scope: Scope, receive: Receive, send: Send) -> None:
    """Publish as often as the path says: ``/<topic>/<count>``."""
    _, topic, count = scope["path"].split("/")
    for _ in range(int(count)):
        await apublish(topic, {"message": TEXT})
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


application = ProtocolTypeRouter(
    {"http": publish, "websocket": URLRouter([path("ws/topics/", TopicConsumer.as_asgi())])}
)

"""The application of ``topic_site``, and its topics."""

from __future__ import annotations

from django.core.asgi import get_asgi_application
from django.urls import path

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.topics import Reliable, Topic, TopicConsumer, Volatile


class Kept(Topic, pattern="kept.<int:number>"):
    """One of the topics that lose nothing."""

    delivery = Reliable(history=10_000, max_bytes=64 * 1024 * 1024)
    number: int

    async def authorize(self) -> bool:
        return True


class Loose(Topic, pattern="loose.<int:number>"):
    """One of the topics that may."""

    delivery = Volatile()
    number: int

    async def authorize(self) -> bool:
        return True


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws/topics/", TopicConsumer.as_asgi())]),
    }
)

"""The ASGI application: Django answers the pages, consumers answer the sockets."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.urls import path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.topics import TopicConsumer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
pages = get_asgi_application()  # sets Django up, so it comes before modules that import models

from figures.consumers import WavesConsumer  # noqa: E402
from figures.middleware import count_traffic  # noqa: E402

sockets = URLRouter(
    [
        path("ws/topics/", TopicConsumer.as_asgi()),
        path("ws/waves/", WavesConsumer.as_asgi()),
    ]
)
application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": count_traffic(AuthMiddlewareStack(sockets)),
    }
)

"""An application for live server tests: it reads and writes the database in every way there is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter

release = threading.Event()
"""Lets a blocked sync handler go on."""


def greeting() -> str:
    """Return what a test patches."""
    return "hello"


def names(alias: str = "default") -> str:
    users = User.objects.using(alias).order_by("username")
    return ",".join(users.values_list("username", flat=True))


def sync_view(request: HttpRequest, alias: str = "default") -> HttpResponse:
    request.get_host()
    return HttpResponse(f"{greeting()} {names(alias)}")


async def async_view(request: HttpRequest) -> HttpResponse:
    found = [user.username async for user in User.objects.order_by("username")]
    return HttpResponse(f"{greeting()} {','.join(found)}")


async def pool_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{greeting()} {await asyncio.to_thread(names)}")


def add_view(request: HttpRequest, name: str) -> HttpResponse:
    """Add a user, half of it inside a savepoint of a transaction."""
    with transaction.atomic():
        user = User.objects.create(username="half")
        with transaction.atomic():
            user.username = name
            user.save()
    return HttpResponse(status=204)


class SyncNames(WebsocketConsumer):
    groups = ("everyone",)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "block":
            self.send("blocked")
            release.wait(60)
            return
        User.objects.create(username=text_data)
        self.send(f"{greeting()} {names()}")

    def tell(self, event: dict[str, Any]) -> None:
        self.send(event["text"])


class AsyncNames(AsyncWebsocketConsumer):
    groups = ("everyone",)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await User.objects.acreate(username=text_data)
        await self.send(f"{greeting()} {await database_sync_to_async(names)()}")

    async def tell(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class NeverDone(AsyncWebsocketConsumer):
    """Takes no notice of its client's leaving."""

    async def disconnect(self, code: int) -> None:
        await asyncio.Event().wait()


urlpatterns = [
    path("sync/", sync_view),
    path("sync/<alias>/", sync_view),
    path("async/", async_view),
    path("pool/", pool_view),
    path("add/<name>/", add_view),
]
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                path("sync/", SyncNames.as_asgi()),
                path("async/", AsyncNames.as_asgi()),
                path("never-done/", NeverDone.as_asgi()),
            ]
        ),
    }
)


async def does_not_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no licence"})


def __getattr__(name: str) -> Any:
    # What an application's module may do when it is imported.
    if name == "misconfigured":
        raise ImproperlyConfigured("the licence is missing")
    raise AttributeError(name)

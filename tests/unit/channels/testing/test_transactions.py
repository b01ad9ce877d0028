"""Applications under test share the transaction of a ``TestCase``."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import TestCase

from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.testing import HttpCommunicator, WebsocketCommunicator


def add(name: str) -> str:
    User.objects.create(username=name)
    return ",".join(User.objects.order_by("pk").values_list("username", flat=True))


class SyncNames(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(add(text_data or ""))


class AsyncNames(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(await database_sync_to_async(add)(text_data or ""))


class HttpNames(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        names = await database_sync_to_async(add)(body.decode())
        await self.send_response(200, names.encode())


class TransactionTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        User.objects.create(username="ann")

    def tearDown(self) -> None:
        # The connection is open, and the transaction with it.
        assert User.objects.filter(username="ann").exists()

    async def test_a_websocket_consumer_works_in_it_and_need_not_be_disconnected(self) -> None:
        for consumer in (SyncNames, AsyncNames):
            communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
            await communicator.connect()

            await communicator.send_to(consumer.__name__)
            names = await communicator.receive_from()

            assert names.startswith("ann,")
            assert names.endswith(consumer.__name__)
            assert await User.objects.filter(username=consumer.__name__).aexists()
            await communicator.receive_nothing(timeout=0.01)

    async def test_a_websocket_consumer_may_be_disconnected(self) -> None:
        for consumer in (SyncNames, AsyncNames):
            async with WebsocketCommunicator(consumer.as_asgi(), "/") as communicator:
                await communicator.send_to(consumer.__name__)
                await communicator.receive_from()

        assert await User.objects.acount() == 3

    async def test_an_http_consumer_works_in_it(self) -> None:
        response = await HttpCommunicator(HttpNames.as_asgi(), "POST", "/", b"bob").get_response()

        assert response["body"] == b"ann,bob"
        assert await User.objects.acount() == 2

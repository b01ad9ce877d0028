"""Sync consumers on our protocol: frames from their threads, in order and without waiting."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest
from django.test import override_settings

from channels.generic.websocket import WebsocketConsumer
from channels.layers import get_channel_layer
from tests.integration.websocket.conftest import Serve, eventually

MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


class Asked(WebsocketConsumer):
    """Does what a frame says."""

    groups = ("room",)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        what, _, argument = (text_data or "").partition(" ")
        getattr(self, f"do_{what}")(argument)

    def do_echo(self, text: str) -> None:
        self.send(text)

    def do_count(self, last: str) -> None:
        for number in range(int(last)):
            self.send(str(number))
        self.close(4000)

    def do_paint(self, name: str) -> None:
        self.send(color.get())
        color.set(name)

    def do_fail(self, text: str) -> None:
        self.send("before")
        raise ZeroDivisionError

    def do_send(self, text: str) -> None:
        with pytest.raises(UnicodeEncodeError):
            self.send("\ud800")
        self.send("refused")

    def say(self, event: dict[str, Any]) -> None:
        self.send(event["text"])


async def test_frames_of_one_handler_come_in_order_and_before_its_close(serve: Serve) -> None:
    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Asked.as_asgi()) as site:
            peer = await site.open()

            peer.text("count 5000")

            assert await peer.frames(5000) == [str(number).encode() for number in range(5000)]
            assert await peer.frame() == (0x88, (4000).to_bytes(2, "big"))


async def test_frames_and_messages_of_a_group_are_handled_one_at_a_time(serve: Serve) -> None:
    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Asked.as_asgi()) as site:
            peer = await site.open()
            layer = get_channel_layer()

            for number in range(50):
                peer.text(f"echo frame {number}")
                await layer.group_send("room", {"type": "say", "text": f"message {number}"})
                await layer.group_send("room", {"type": "websocket.send", "text": f"all {number}"})
            seen = [payload.decode() for payload in await peer.frames(150)]

            for kind in ("frame", "message", "all"):
                of_kind = [text for text in seen if text.startswith(kind)]
                assert of_kind == [f"{kind} {number}" for number in range(50)]


async def test_context_variables_last_from_one_handler_to_the_next(serve: Serve) -> None:
    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Asked.as_asgi()) as site:
            peer = await site.open()

            for name in ("red", "green", "blue"):
                peer.text(f"paint {name}")
                await asyncio.sleep(0.02)

            assert await peer.frames(3) == [b"none", b"red", b"green"]
            assert color.get() == "none"


async def test_an_error_in_the_thread_ends_the_connection_behind_what_was_sent(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Asked.as_asgi()) as site:
            peer = await site.open()

            peer.text("fail now")

            assert await peer.frame() == (0x81, b"before")
            assert await peer.frame() == (0x88, (1011).to_bytes(2, "big"))
            assert "ZeroDivisionError" in caplog.text


async def test_what_no_frame_can_carry_is_an_error_of_the_handler(serve: Serve) -> None:
    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Asked.as_asgi()) as site:
            peer = await site.open()

            peer.text("send it")

            assert await peer.frame() == (0x81, b"refused")


async def test_a_handler_waits_for_a_client_that_does_not_read(serve: Serve) -> None:
    sent: list[int] = []

    class Flood(WebsocketConsumer):
        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            for number in range(1000):
                self.send(f"{number:06}" + "x" * 10_000)
                sent.append(number)

    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Flood.as_asgi()) as site:
            peer = await site.open(buffer=4096)
            peer.text("go")
            await eventually(lambda: site.protocols[0]._drained is not None)
            await asyncio.sleep(0.2)
            held = len(sent)

            payloads = await peer.frames(1000)

            assert held < 1000
            assert [int(payload[:6]) for payload in payloads] == list(range(1000))


async def test_a_handler_that_outlives_its_client_is_left_to_its_thread(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    done, ended = threading.Event(), threading.Event()

    class Slow(WebsocketConsumer):
        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            done.wait(5)
            self.send("to nobody")

        def disconnect(self, code: int) -> None:
            ended.set()

    settings = {"DISCONNECT_GRACE": 0.1}
    with override_settings(CHANNEL_LAYERS=MEMORY, CHANNELS=settings):
        async with serve(Slow.as_asgi()) as site:
            peer = await site.open()
            peer.text("go")
            await asyncio.sleep(0.05)

            peer.writer.close()

            await eventually(lambda: "left to its thread" in caplog.text)
            done.set()
            await eventually(ended.is_set)


async def test_a_handler_keeps_no_other_connection_waiting(serve: Serve) -> None:
    class Sleeper(WebsocketConsumer):
        def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            if text_data == "sleep":
                time.sleep(0.5)
            self.send(text_data)

    with override_settings(CHANNEL_LAYERS=MEMORY):
        async with serve(Sleeper.as_asgi()) as site:
            slow, quick = await site.open(), await site.open()
            slow.text("sleep")
            await asyncio.sleep(0.05)
            before = time.monotonic()

            quick.text("at once")

            assert await quick.frame() == (0x81, b"at once")
            assert time.monotonic() - before < 0.4
            assert await slow.frame() == (0x81, b"sleep")

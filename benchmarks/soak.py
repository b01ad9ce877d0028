"""Open and close many connections through an ASGI application and see that nothing stays.

    python benchmarks/soak.py [--connections 20000] [--together 100]

Each connection joins a group, is sent to through it and ends in one of the ways of ``ENDINGS``.
At the end there must be as many tasks, groups, channels, threads and connections on lanes as at the
start. The second half of the connections may have added at most 1 MiB of resident memory to what
the first half left, and one block of Python's allocator for each hundred connections: the blocks
show a leak of one small object, which a page of memory hides.

Timed: the whole run, with the client's side of every conversation. Not timed: imports and the
warm-up of 40 times ``--together`` connections.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import django
from asgiref.sync import async_to_sync
from django.urls import path

from channels import lanes
from channels.auth import AuthMiddlewareStack
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.layers.memory import InMemoryChannelLayer
from channels.routing import ProtocolTypeRouter, URLRouter

LARGEST_GROWTH_BYTES: Final = 1024 * 1024
CONNECTIONS_PER_BLOCK: Final = 100
SLOW_SECONDS: Final = 0.02

Event = dict[str, Any]


class HandlerError(Exception):
    """What a handler of this run raises on purpose."""


class Chat(AsyncJsonWebsocketConsumer):
    """Joins the room of its path and does what it is told."""

    async def connect(self) -> None:
        """Join the room, or refuse."""
        room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(room, self.channel_name)
        self.groups.append(room)
        if room == "closed":
            raise DenyConnection
        if room == "denied":
            await self.deny_with_response(401, b"sign in first")
        else:
            await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Fail, close, take long, never end, or send to the room."""
        if content == "fail":
            raise HandlerError
        if content == "hang":
            await asyncio.Event().wait()
        if content == "think":
            await asyncio.sleep(SLOW_SECONDS)
        if content == "close":
            await self.close()
        else:
            await self.channel_layer.group_send(self.groups[-1], {"type": "line"})

    async def line(self, event: Event) -> None:
        """Pass a line of the room on."""
        await self.send_json("line")


class SyncChat(JsonWebsocketConsumer):
    """The same, in a thread."""

    def connect(self) -> None:
        """Join the room."""
        self.room = self.scope["url_route"]["kwargs"]["room"]
        async_to_sync(self.channel_layer.group_add)(self.room, self.channel_name)
        self.groups.append(self.room)
        if self.room == "closed":
            raise DenyConnection
        self.accept()

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Fail, take long, or send to the room."""
        if content == "fail":
            raise HandlerError
        if content == "think":
            time.sleep(SLOW_SECONDS)
        async_to_sync(self.channel_layer.group_send)(self.room, {"type": "line"})

    def line(self, event: Event) -> None:
        """Pass a line of the room on."""
        self.send_json("line")


application = ProtocolTypeRouter(
    {
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("chat/<slug:room>/", Chat.as_asgi()),
                    path("sync/<slug:room>/", SyncChat.as_asgi()),
                ]
            )
        )
    }
)


class Client:
    """The server's side of one connection, as a server would call the application."""

    def __init__(self, url: str) -> None:
        self._to_app: asyncio.Queue[Event] = asyncio.Queue()
        self._from_app: asyncio.Queue[Event] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": url,
            "headers": [(b"host", b"localhost"), (b"origin", b"http://localhost")],
            "query_string": b"",
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        self._failure: Exception | None = None
        self.tell({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(application(scope, self._to_app.get, self._send))

    async def _send(self, event: Event) -> None:
        if self._failure is not None:
            raise self._failure
        self._from_app.put_nowait(event)

    def tell(self, event: Event) -> None:
        """Hand an event to the application."""
        self._to_app.put_nowait(event)

    def say(self, text: str) -> None:
        """Send a JSON string."""
        self.tell({"type": "websocket.receive", "text": f'"{text}"'})

    def leave(self) -> None:
        """Go away, as a browser does."""
        self.tell({"type": "websocket.disconnect", "code": 1001})

    def vanish(self, failure: Exception) -> None:
        """Go away unseen: from now on the server fails to send."""
        self._failure = failure

    async def hear(self, event_type: str) -> None:
        """Wait for the next event of the application, which is of that type."""
        event = await asyncio.wait_for(self._from_app.get(), 30)
        if event["type"] != event_type:
            raise RuntimeError(f"expected {event_type}, got {event}")

    async def end(self) -> str:
        """Wait until the application returns; return the name of what it raised."""
        await asyncio.wait([self.task], timeout=30)
        if not self.task.done():
            raise RuntimeError("a connection had not ended after 30 s")
        if self.task.cancelled():
            return "CancelledError"
        error = self.task.exception()
        return type(error).__name__ if error else "returned"


async def talk(client: Client) -> None:
    """Be accepted and hear an own line come back through the group."""
    await client.hear("websocket.accept")
    client.say("hello")
    await client.hear("websocket.send")


async def client_leaves(client: Client) -> None:
    """Talk, then leave."""
    await talk(client)
    client.leave()


async def client_leaves_at_once(client: Client) -> None:
    """Leave before the answer to the handshake."""
    client.leave()


async def handler_fails(client: Client) -> None:
    """Talk, then make a handler raise."""
    await talk(client)
    client.say("fail")


async def consumer_closes(client: Client) -> None:
    """Talk, then be closed."""
    await talk(client)
    client.say("close")
    await client.hear("websocket.close")
    client.leave()


async def server_cancels(client: Client) -> None:
    """Talk, then lose the task, as when a server stops."""
    await talk(client)
    client.task.cancel()


async def handshake_refused(client: Client) -> None:
    """Hear that the connection is refused."""
    await client.hear("websocket.close")
    client.leave()


async def handshake_denied(client: Client) -> None:
    """Get an HTTP response, from a server that says nothing after it."""
    await client.hear("websocket.http.response.start")
    await client.hear("websocket.http.response.body")


async def server_cancels_handshake(client: Client) -> None:
    """Lose the task before the answer to the handshake."""
    await asyncio.sleep(0)
    client.task.cancel()


async def client_leaves_slow_handler(client: Client) -> None:
    """Leave while a handler runs that will send once more."""
    await talk(client)
    client.say("think")
    await asyncio.sleep(SLOW_SECONDS / 2)
    client.leave()


async def server_cancels_slow_handler(client: Client) -> None:
    """Lose the task while a handler runs."""
    await talk(client)
    client.say("think")
    await asyncio.sleep(SLOW_SECONDS / 2)
    client.task.cancel()


async def handler_never_ends(client: Client) -> None:
    """Leave a handler behind that has to be cancelled after the grace period."""
    await talk(client)
    client.say("hang")
    client.leave()


async def peer_resets(client: Client) -> None:
    """Vanish while lines are sent, with unread frames before the disconnect."""
    await talk(client)
    client.vanish(ConnectionResetError())
    client.say("hello")
    client.say("hello")
    client.leave()


async def server_fails_while_closing(client: Client) -> None:
    """Vanish on a server that has its own error for that."""
    await talk(client)
    client.vanish(RuntimeError())
    client.say("hello")
    client.leave()


async def frame_is_no_json(client: Client) -> None:
    """Send what the consumer cannot read."""
    await talk(client)
    client.tell({"type": "websocket.receive", "text": "{"})


Ending = tuple[str, Callable[[Client], Awaitable[None]], str]

# Where to connect, how it ends, and what the application must come back with.
ENDINGS: Final[tuple[Ending, ...]] = (
    ("/chat/{room}/", client_leaves, "returned"),
    ("/chat/{room}/", handler_fails, "HandlerError"),
    ("/chat/{room}/", server_cancels, "CancelledError"),
    ("/chat/{room}/", consumer_closes, "returned"),
    ("/chat/{room}/", client_leaves_at_once, "returned"),
    ("/chat/{room}/", server_cancels_handshake, "CancelledError"),
    ("/chat/{room}/", client_leaves_slow_handler, "returned"),
    ("/chat/{room}/", server_cancels_slow_handler, "CancelledError"),
    ("/chat/{room}/", handler_never_ends, "returned"),
    ("/chat/{room}/", peer_resets, "returned"),
    ("/chat/{room}/", server_fails_while_closing, "returned"),
    ("/chat/{room}/", frame_is_no_json, "MalformedJSONError"),
    ("/chat/closed/", handshake_refused, "returned"),
    ("/chat/denied/", handshake_denied, "returned"),
    ("/sync/{room}/", client_leaves, "returned"),
    ("/sync/{room}/", handler_fails, "HandlerError"),
    ("/sync/{room}/", server_cancels, "CancelledError"),
    ("/sync/{room}/", client_leaves_at_once, "returned"),
    ("/sync/{room}/", client_leaves_slow_handler, "returned"),
    ("/sync/{room}/", server_cancels_slow_handler, "CancelledError"),
    ("/sync/{room}/", peer_resets, "returned"),
    ("/sync/closed/", handshake_refused, "returned"),
)


@dataclass(frozen=True)
class Census:
    """What there is in the process."""

    tasks: int
    groups: int
    channels: int
    threads: int
    on_lanes: int
    blocks: int
    resident: int

    def __str__(self) -> str:
        """Show it in one line."""
        return (
            f"tasks {self.tasks}, groups {self.groups}, channels {self.channels}, "
            f"threads {self.threads}, on lanes {self.on_lanes}, blocks {self.blocks}, "
            f"resident {self.resident / 1024 / 1024:.2f} MiB"
        )


async def take_census() -> Census:
    """Count what is there after a collection of garbage."""
    # A sync handler whose connection was cancelled still has to end in its thread.
    await asyncio.sleep(10 * SLOW_SECONDS)
    gc.collect()
    layer = get_channel_layer()
    if not isinstance(layer, InMemoryChannelLayer):
        raise TypeError(f"the soak counts in an InMemoryChannelLayer, not in {layer!r}")
    return Census(
        tasks=len(asyncio.all_tasks()),
        groups=len(layer.groups),
        channels=len(layer.channels),
        threads=threading.active_count(),
        on_lanes=sum(lane.connections for lane in lanes._lanes),
        blocks=sys.getallocatedblocks(),
        resident=_resident_bytes(),
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def serve(number: int) -> str:
    """Serve one connection from its handshake to its end; return how it ended."""
    url, conversation, expected = ENDINGS[number % len(ENDINGS)]
    # A room of its own, so that only its own line comes back.
    client = Client(url.format(room=f"room{number}"))
    await conversation(client)
    outcome = await client.end()
    if outcome != expected:
        raise RuntimeError(f"{conversation.__name__} at {url}: expected {expected}, got {outcome}")
    return f"{url.split('/')[1]} {conversation.__name__}"


async def serve_all(numbers: range, together: int) -> Counter[str]:
    """Serve the connections, so many at a time; return how often each ending was."""
    seen: Counter[str] = Counter()
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            seen[await serve(number)] += 1

    await asyncio.gather(*(work() for _ in range(together)))
    return seen


def complaints(start: Census, middle: Census, end: Census, *, half: int) -> list[str]:
    """Say what stayed of ``half`` the connections, one sentence each."""
    found = [
        f"{what}: {getattr(start, what)} at the start, {getattr(end, what)} at the end"
        for what in ("tasks", "groups", "channels", "threads", "on_lanes")
        if getattr(start, what) != getattr(end, what)
    ]
    growth = end.resident - middle.resident
    if growth > LARGEST_GROWTH_BYTES:
        found.append(f"the second half added {growth / 1024:.0f} KiB, at most 1024")
    blocks = end.blocks - middle.blocks
    if blocks > half / CONNECTIONS_PER_BLOCK:
        found.append(
            f"the second half added {blocks} blocks, at most {half / CONNECTIONS_PER_BLOCK:.0f}"
        )
    return found


async def soak(connections: int, together: int) -> int:
    """Do the run, print what was seen and return the exit status."""
    # A few rounds at twice the crowd: the allocator's high-water mark is reached before it counts.
    await serve_all(range(-40 * together, 0), 2 * together)
    began = time.monotonic()
    start = await take_census()
    half = connections // 2
    seen = await serve_all(range(half), together)
    middle = await take_census()
    seen += await serve_all(range(half, connections), together)
    end = await take_census()
    for name, count in sorted(seen.items()):
        print(f"{count:>7}  {name}")
    print(f"start:  {start}\nmiddle: {middle}\nend:    {end}")
    print(
        f"second half: {(end.resident - middle.resident) / 1024:+.0f} KiB resident, "
        f"{end.blocks - middle.blocks:+} blocks; {time.monotonic() - began:.0f} s in all"
    )
    found = complaints(start, middle, end, half=half)
    for complaint in found:
        print(f"soak: {complaint}", file=sys.stderr)
    return 1 if found else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=100)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmark_settings")
    django.setup()
    # It names each handler that never ends, which here is wanted.
    logging.getLogger("django.channels.consumer").setLevel(logging.CRITICAL)
    return asyncio.run(soak(options.connections, options.together))


if __name__ == "__main__":
    sys.exit(main())

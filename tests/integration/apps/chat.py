"""The application that every server serves: consumers written as a user writes them.

No client sees how its connection ends for the consumer. So that is noted in a journal, of which
``GET /journal/<key>/?lines=2`` returns two lines as JSON as soon as they are there. ``GET
/members/<group>/?most=0`` returns how many members a group has as soon as it has that few.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import defaultdict
from typing import Any

import django
from django.urls import path

from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.publish import apublish
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.topics import Reliable, Topic, TopicConsumer, TopicEvents, call
from channels.topics.session import Session
from channels.topics.site import here

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.integration.apps.settings"
django.setup()
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
journal: dict[str, list[Any]] = defaultdict(list)
gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)


class Noting:
    """Notes how the connection ends under the key in its URL."""

    scope: Any
    disconnect_reason: str | None

    def note(self, *what: Any) -> None:
        """Write one line of the journal."""
        journal[self.key].append(list(what))

    @property
    def key(self) -> str:
        """The key in the URL: one for each test."""
        key: str = self.scope["url_route"]["kwargs"]["key"]
        return key


class Chat(Noting, AsyncJsonWebsocketConsumer):
    """A chat room; says which subprotocol and room it has chosen."""

    async def connect(self) -> None:
        """Join the room."""
        await self.channel_layer.group_add(self.key, self.channel_name)
        offered = self.scope["subprotocols"]
        await self.accept(
            subprotocol="chat.v1" if "chat.v1" in offered else None,
            headers=[(b"x-room", self.key.encode())],
        )

    async def receive_json(self, content: Any) -> None:
        """Tell the room."""
        line = {"type": "chat.line", "line": content["line"]}
        await self.channel_layer.group_send(self.key, line)

    async def chat_line(self, event: dict[str, Any]) -> None:
        """Show a line of the room."""
        await self.send_json({"line": event["line"]})

    async def disconnect(self, code: int) -> None:
        """Leave the room."""
        self.note("disconnect", code, self.disconnect_reason)
        await self.channel_layer.group_discard(self.key, self.channel_name)


class Careless(Noting, AsyncJsonWebsocketConsumer):
    """Joins a room and never leaves it by itself; each frame ends with an error."""

    async def connect(self) -> None:
        """Join the room."""
        await self.channel_layer.group_add(self.key, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any) -> None:
        """Fail."""
        raise LookupError(f"deliberate: {content}")

    async def disconnect(self, code: int) -> None:
        """Say how it ended."""
        self.note("disconnect", code)


class Echo(Noting, AsyncWebsocketConsumer):
    """Sends each frame back as it came."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send the frame back."""
        self.note("receive", text_data, bytes_data if bytes_data is None else bytes_data.hex())
        await self.send(text_data, bytes_data)


class ForgetfulEcho(AsyncWebsocketConsumer):
    """Sends each frame back, and keeps nothing: what grows is the server's."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send the frame back."""
        await self.send(text_data, bytes_data)


class SyncEcho(Noting, WebsocketConsumer):
    """Sends each frame back as it came, from a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send the frame back."""
        self.send(text_data, bytes_data)

    def disconnect(self, code: int) -> None:
        """Say how it ended."""
        self.note("disconnect", code)


class Closing(Noting, AsyncWebsocketConsumer):
    """Closes at the first frame."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Close with a code and a reason of the application's."""
        await self.close(code=4777, reason="bye ✓")

    async def disconnect(self, code: int) -> None:
        """Say how it ended."""
        self.note("disconnect", code, self.disconnect_reason)


class Refusing(Noting, AsyncWebsocketConsumer):
    """Refuses the handshake."""

    async def connect(self) -> None:
        """Close before accepting."""
        await self.close(code=4401)

    async def disconnect(self, code: int) -> None:
        """Say how it ended."""
        self.note("disconnect", code)


class Denying(Noting, AsyncWebsocketConsumer):
    """Refuses the handshake with a whole HTTP response."""

    async def connect(self) -> None:
        """Answer 401."""
        await self.deny_with_response(401, b"sign in first", [(b"x-why", b"anonymous")])

    async def disconnect(self, code: int) -> None:
        """Say how it ended."""
        self.note("disconnect", code)


class FailingConnect(AsyncWebsocketConsumer):
    """Fails before it has answered the handshake."""

    async def connect(self) -> None:
        """Fail."""
        raise LookupError("deliberate: connect")


class Wall(Noting, AsyncJsonWebsocketConsumer):
    """Puts what it gets on the wall: messages of its group, most without a handler."""

    async def connect(self) -> None:
        """Join, and put up a greeting before it accepts."""
        await self.channel_layer.group_add(self.key, self.channel_name)
        await self.put_up({"type": "websocket.send", "text": "hello"})
        await asyncio.sleep(0.05)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Put each message of a list up; or a frame of bytes as it is."""
        if bytes_data is not None:
            await self.put_up({"type": "websocket.send", "bytes": bytes_data})
        for message in json.loads(text_data or "[]"):
            await self.put_up(message)

    async def put_up(self, message: dict[str, Any]) -> None:
        """Send to the group."""
        await self.channel_layer.group_send(self.key, message)

    async def handled(self, event: dict[str, Any]) -> None:
        """Show a message that has a handler."""
        await self.send(event["text"])

    async def disconnect(self, code: int) -> None:
        """Leave, and say how it ended."""
        self.note("disconnect", code)
        await self.channel_layer.group_discard(self.key, self.channel_name)


class Signed(Wall):
    """Signs what is put up, and is not closed by it."""

    async def websocket_send(self, event: dict[str, Any]) -> None:
        """Sign."""
        await self.send(event.pop("text") + " - signed")

    async def websocket_close(self, event: dict[str, Any]) -> None:
        """Say so instead."""
        await self.send(f"no {event['code']}")


class Talkative(Noting, AsyncWebsocketConsumer):
    """At its first frame, sends until the peer has gone."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send until ``send`` says that nobody is there."""
        if text_data == "unread":
            return
        size, pause = json.loads(text_data or "")
        while await self.send("x" * size):  # noqa: ASYNC110 - it sends meanwhile
            await asyncio.sleep(pause)
        self.note("nobody is there")
        await self.close(4000)

    async def disconnect(self, code: int) -> None:
        """Say that it ended."""
        self.note("disconnect")


class SyncTalkative(Noting, WebsocketConsumer):
    """At its first frame, sends until the peer has gone, from a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send until ``send`` says that nobody is there."""
        if text_data == "unread":
            return
        size, pause = json.loads(text_data or "")
        while self.send("x" * size):
            time.sleep(pause)
        self.note("nobody is there")
        self.close(4000)

    def disconnect(self, code: int) -> None:
        """Say that it ended."""
        self.note("disconnect")


class Slow(Noting, AsyncWebsocketConsumer):
    """Thinks about a frame, then answers although the peer may have gone."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer late."""
        await asyncio.sleep(0.5)
        await self.send("an answer")
        await self.close(4000)
        self.note("answered")

    async def disconnect(self, code: int) -> None:
        """Say that it ended."""
        self.note("disconnect")


class Gated(Noting, AsyncWebsocketConsumer):
    """Handles nothing until ``GET /open/<key>/``."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Wait."""
        await gates[self.key].wait()

    async def disconnect(self, code: int) -> None:
        """Say that it ended."""
        self.note("disconnect")


class Open(Noting, AsyncHttpConsumer):
    """Lets ``Gated`` go on."""

    async def handle(self, body: bytes) -> None:
        """Open the gate."""
        gates[self.key].set()
        await self.send_response(200, b"{}")


class Whole(AsyncHttpConsumer):
    """Answers a request with its own body."""

    async def handle(self, body: bytes) -> None:
        """Send the body back."""
        query = self.scope["query_string"]
        await self.send_response(201, body, headers=[(b"X-Query", query), (b"x-two", b"2")])


class Stream(Noting, AsyncHttpConsumer):
    """Sends three chunks, with a pause before each but the first."""

    async def handle(self, body: bytes) -> None:
        """Send the chunks."""
        await self.send_headers(headers={b"content-type": b"text/plain"})
        for chunk in (b"one,", b"two,"):
            await self.send_body(chunk, more_body=True)
            await asyncio.sleep(0.1)
        await self.send_body(b"three")

    async def disconnect(self) -> None:
        """Say that it ended."""
        self.note("disconnect")


class Asking(Noting, AsyncHttpConsumer):
    """Answers once the state is what the query asks for, or after ten seconds."""

    async def handle(self, body: bytes) -> None:
        """Wait, then send the state."""
        wanted = int(self.scope["query_string"].partition(b"=")[2] or 0)
        until = time.monotonic() + 10
        # It is asked about what other connections do, and those do not know of it.
        while not self.is_reached(wanted) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self.send_response(200, json.dumps(self.state()).encode())

    def is_reached(self, wanted: int) -> bool:
        """Return whether to answer now."""
        raise NotImplementedError

    def state(self) -> Any:
        """Return the answer."""
        raise NotImplementedError


class Journal(Asking):
    """Returns what was noted under a key."""

    def is_reached(self, wanted: int) -> bool:
        """Return whether there are enough lines."""
        return len(journal[self.key]) >= wanted

    def state(self) -> Any:
        """Return the lines."""
        return journal[self.key]


class Members(Asking):
    """Returns how many members a group has."""

    def is_reached(self, wanted: int) -> bool:
        """Return whether there are few enough."""
        return self.state() <= wanted

    def state(self) -> int:
        """Return their number."""
        return len(self.channel_layer.groups[self.key])


class Room(Topic, pattern="rooms.<str:key>"):
    """Says what clients say, and keeps it."""

    delivery = Reliable(history=100)
    presence = True
    key: str

    async def authorize(self) -> bool:
        """Let everybody in."""
        return True

    def shown(self) -> Any:
        """Show the connection."""
        return {"connection": self.connection}

    @call
    async def say(self, text: str) -> str:
        """Publish it, also to who said it."""
        return str(await apublish(self.name, {"text": text}))


class Lines(Topic, pattern="lines.<str:key>"):
    """A topic for everybody."""

    delivery = Reliable()
    key: str

    async def authorize(self) -> bool:
        """Let everybody in."""
        return True


class Publish(Noting, AsyncHttpConsumer):
    """Publishes its body."""

    async def handle(self, body: bytes) -> None:
        """Publish to the lines of the key in the URL."""
        await apublish(f"lines.{self.key}", body.decode())
        await self.send_response(200, b"{}")


class Restart(AsyncHttpConsumer):
    """Ends every connection to topics, as before a restart."""

    async def handle(self, body: bytes) -> None:
        """End them."""
        for session in tuple(here().connections.values()):
            if isinstance(session, Session):
                session.end_for_restart()
        await self.send_response(200, b"{}")


class Readers(Asking):
    """Returns how many connections have the lines of a key."""

    def is_reached(self, wanted: int) -> bool:
        """Return whether there are few enough."""
        return self.state() <= wanted

    def state(self) -> int:
        """Return their number."""
        topic = here().topics.get(f"lines.{self.key}")
        return 0 if topic is None else len(topic.subscribers)


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("chat/<key>/", Chat.as_asgi()),
                path("topics/<key>/", TopicConsumer.as_asgi()),
                path("careless/<key>/", Careless.as_asgi()),
                path("echo/<key>/", Echo.as_asgi()),
                path("forgetful-echo/<key>/", ForgetfulEcho.as_asgi()),
                path("sync-echo/<key>/", SyncEcho.as_asgi()),
                path("closing/<key>/", Closing.as_asgi()),
                path("wall/<key>/", Wall.as_asgi()),
                path("signed/<key>/", Signed.as_asgi()),
                path("refusing/<key>/", Refusing.as_asgi()),
                path("denying/<key>/", Denying.as_asgi()),
                path("failing-connect/<key>/", FailingConnect.as_asgi()),
                path("talkative/<key>/", Talkative.as_asgi()),
                path("sync-talkative/<key>/", SyncTalkative.as_asgi()),
                path("slow/<key>/", Slow.as_asgi()),
                path("gated/<key>/", Gated.as_asgi()),
                path("topics/", TopicConsumer.as_asgi()),
            ]
        ),
        "http": URLRouter(
            [
                path("whole/<key>/", Whole.as_asgi()),
                path("stream/<key>/", Stream.as_asgi()),
                path("open/<key>/", Open.as_asgi()),
                path("journal/<key>/", Journal.as_asgi()),
                path("members/<key>/", Members.as_asgi()),
                path("events/", TopicEvents.as_asgi()),
                path("publish/<key>/", Publish.as_asgi()),
                path("readers/<key>/", Readers.as_asgi()),
                path("restart/", Restart.as_asgi()),
            ]
        ),
    }
)

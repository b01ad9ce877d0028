"""The same topics as server-sent events, read only, for where WebSockets are blocked."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import UNSET

from channels import telemetry
from channels.generic.http import AsyncHttpConsumer
from channels.topics.open_topic import frame_of
from channels.topics.protocol import Hello, Subscribe
from channels.topics.reading import Reading, Verdict, parse_query
from channels.topics.serving import ServesTopics
from channels.topics.session import Session
from channels.topics.site import open_engine
from channels.typing import Event

STALLED: Final = 60.0
"""Seconds after which a reader that takes nothing is taken for gone."""
REQUEST: Final = -1
"""The id of the answers to what the query asked for."""

HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    # Proxies would wait for a buffer to fill.
    (b"x-accel-buffering", b"no"),
)
PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")


class TopicEvents(ServesTopics, AsyncHttpConsumer):
    """Serves topics to ``EventSource``: ``path("events/", TopicEvents.as_asgi())``.

    ``GET <url>?topic=a&topic=b``, as ``protocol/README.md`` says. Who it is comes from the scope,
    as for ``TopicConsumer``. At most as many frames wait for a reader as for a WebSocket without
    an outbox; what is dropped beyond them ends the response, and the reader comes back with its
    positions.

    Attributes:
        limits: What one connection may ask for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: Reading | None = None
        self._writing = asyncio.Lock()
        self._has_stopped = False

    async def handle(self, body: bytes) -> None:
        """Answer the request: with a stream, or with what is wrong."""
        if self.scope["method"] != "GET":
            await self.send_response(405, b"expected GET\n", headers=[PLAIN, (b"allow", b"GET")])
            return
        headers = dict(self.scope["headers"])
        try:
            query = parse_query(self.scope["query_string"], headers.get(b"last-event-id", b""))
        except ValueError as error:
            await self.send_response(400, f"{error}\n".encode(), headers=[PLAIN])
            return
        self._reading = Reading(query.positions)
        await self.send_headers(headers=HEADERS)
        self._more_body = True
        session = self.open_session(send=self._answer, close=self._end)
        await session.do(Hello(client=query.client or UNSET))
        for topic in query.topics:
            position = query.positions.get(topic)
            await session.do(
                Subscribe(
                    id=REQUEST,
                    topic=topic,
                    position=UNSET if position is None else str(position),
                    recent=query.recent,
                )
            )

    async def http_request(self, message: Event) -> None:
        """Answer at once: the body of a request says nothing here."""
        if not self._is_lingering:
            await super().http_request({"type": "http.request"})

    async def websocket_send(self, message: Event) -> None:
        """Send a frame of a topic."""
        await self._send_frame(message["text"])

    async def disconnect(self) -> None:
        """Leave every topic."""
        if self.session is not None:
            self.session.end()

    async def _send_frame(self, text: str) -> None:
        # Subscriptions answer in tasks of their own; ids must come in order.
        async with self._writing:
            if self._reading is None or not self._more_body:
                return
            verdict = self._reading.take(text)
            if verdict is Verdict.HOLE:
                await self._write(b"", more_body=False)
            elif verdict is Verdict.NEXT:
                event = f"id: {self._reading.id}\ndata: {text}\n\n"
                await self._write(event.encode(), more_body=True)

    async def _write(self, body: bytes, *, more_body: bool) -> None:
        try:
            async with asyncio.timeout(STALLED):
                await self.send_body(body, more_body=more_body)
        except OSError:  # a time-out is one
            telemetry.emit(telemetry.FrameDropped("disconnected"))
            self._more_body = False

    # Called in other tasks than the consumer's

    async def _answer(self, text: str) -> None:
        await self._send_frame(text)
        self._stop_if_complete()

    async def _end(self, code: int, reason: str) -> None:
        async with self._writing:
            if self._more_body:
                await self._write(b"", more_body=False)
        self._stop_if_complete()

    def _stop_if_complete(self) -> None:
        """Have the consumer look at its response, which it does after each message."""
        if self._is_lingering and not self._more_body and not self._has_stopped:
            self._has_stopped = True
            self.channel_layer.hand_over(self.channel_name, frame_of(""))


def open_responses() -> list[Session]:
    """Return the sessions of all responses that are open on the running event loop."""
    engine = open_engine()
    connections = () if engine is None else engine.connections.values()
    return [one for one in connections if isinstance(one, Session) and one.is_response]

"""What one connection sends: judged by its session, then handed to the server.

Three ways lead there. What a handler sends goes to the server's socket at once, or waits for it.
A broadcast, which never waits, goes to the socket or, before the accept, is held for it. What a
handler in a thread sends is carried to the event loop without waiting for it, as long as nothing
has to be waited for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asgiref.sync import async_to_sync

from channels import telemetry
from channels._core.broadcast import SEND, Broadcast
from channels._core.session import Session, State
from channels.calls import MOST_ON_THE_WAY, Call, Threaded
from channels.sources import LOOK_AHEAD, Direct, DirectSocket, Pump, is_method_of
from channels.typing import Event, Send
from channels.utils import name_that_thing

OPEN: Final = State.OPEN
MOST_HELD: Final = 100
"""Broadcasts that may wait for the accept."""

logger: logging.Logger = logging.getLogger("django.channels.consumer")


class Sending:
    """The way out of one connection.

    Args:
        consumer: The object that is served, for the log.
        send: The server's ``send``.
        is_websocket: Judge the order of events.
        socket: The server's own, if it has the extension.
    """

    def __init__(
        self, consumer: object, send: Send, *, is_websocket: bool, socket: DirectSocket | None
    ) -> None:
        self._consumer = consumer
        self._send = send
        self._session = Session() if is_websocket else None
        self._socket = socket
        # A middleware that has put its own ``send`` before the server's must see every event.
        self._sink = socket if is_method_of(send, socket) else None
        self._held: list[Broadcast] = []
        # Where handlers run, if in a thread.
        self._threaded: Threaded | None = None
        self._client: Pump | Direct | None = None
        self._client_left = False
        self._has_ended = False

    async def send(self, event: Event) -> bool:
        """Hand ``event`` to the server; return whether the peer may still get it.

        Raises:
            IllegalEventError: The order of events forbids it. Nothing was sent.
        """
        session = self._session
        if session is None:
            await self._send(event)
            return True
        before = session.state
        if before is OPEN and self._sink is not None and self._sink.send_now(event):
            # The consumer hears of a disconnect that it has yet to handle.
            return self._ignore(event) if self._client_left else True
        kind = event.get("type", "")
        if (before is not OPEN or kind != SEND) and not session.sent(kind):
            return self._ignore(event)
        try:
            await self._send(event)
        except Exception as error:
            # ASGI 2.4, websocket.send: a connection that has gone raises an OSError. Servers that
            # are just closing one raise other things too; then a disconnect is there to be read.
            if not isinstance(error, OSError) and not await self._disconnect_follows():
                session.state = before
                raise
            session.peer_gone()
            return self._ignore(event)
        if self._held and session.state is State.OPEN:
            await self._send_held(session)
        # Not every server raises: the consumer hears of a disconnect that it has yet to handle.
        return self._ignore(event) if self._client_left else True

    def send_from_thread(self, event: Event) -> bool:
        """Do what ``send`` does, from a sync handler's thread.

        The frame is on its way when this returns; it is waited for only where the client does not
        read, or very much is on its way already. A handler may outlive its connection in its
        thread; what it still sends is ignored.
        """
        if self._has_ended:
            return self._ignore(event)
        return self._post(event) or async_to_sync(self.send)(event)

    def _post(self, event: Event) -> bool:
        """Hand a frame to the event loop; ``False`` if ``send`` has to judge it or to wait."""
        threaded, session, sink = self._threaded, self._session, self._sink
        call = None if threaded is None else threaded.call
        if (
            threaded is None
            or call is None
            or sink is None
            or session is None
            or session.state is not OPEN
            or self._client_left
            or call.sent - call.written > MOST_ON_THE_WAY
        ):
            return False
        frame = sink.frame_of(event)
        if frame is None:
            return False
        call.sent += len(frame)
        threaded.carrier.post(self._land, call, frame, event)
        return True

    def _land(self, call: Call, frame: bytes, event: Event) -> None:
        call.written += len(frame)
        if self._sink is None or not self._sink.send_frame(frame):
            if self._session is not None:
                self._session.peer_gone()
            self._ignore(event)

    def _write(self, event: Broadcast) -> bool:
        """Hand a frame to the sink; ``False`` where there is none, or ``send`` has to judge it."""
        if (
            self._sink is None
            or self._session is None
            or self._session.state is not OPEN
            or event["type"] != SEND
        ):
            return False
        self._sink.write(event)
        return True

    def _hold(self, event: Broadcast) -> None:
        if len(self._held) < MOST_HELD:
            self._held.append(event)
        else:
            self._drop_held("full", 1)

    async def _send_held(self, session: Session) -> None:
        while self._held and session.state is OPEN:
            event = self._held.pop(0)
            if not self._write(event):
                await self.send(event)
        # It was not the handler that has closed: what it sends next is ignored, not refused.
        session.handled()
        self._drop_held("closed", len(self._held))
        self._held.clear()

    def _drop_held(self, reason: str, count: int) -> None:
        if count:
            channel = getattr(self._consumer, "channel_name", "")
            telemetry.emit(telemetry.MessageDropped(channel, reason, count))

    async def _disconnect_follows(self) -> bool:
        for _ in range(LOOK_AHEAD):
            if self._client is None or self._client_left:
                break
            self._client.look_ahead()
            await asyncio.sleep(0)
        return self._client_left

    def _ignore(self, event: Event) -> bool:
        logger.debug(
            "%s sent %s to a peer that has gone.",
            name_that_thing(self._consumer),
            event.get("type"),
        )
        telemetry.emit(telemetry.SendIgnored(str(event.get("type"))))
        return False

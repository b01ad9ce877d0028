"""The events of one connection, and their handlers in its own task, one at a time.

The client's events come from a source (``sources``) that holds one ahead of the handler and then
stops reading, so that back-pressure reaches the socket. A channel layer with a hub puts messages
into an inbox; any other layer gets a pump. An event is taken only when it is handled.

A client that leaves must not wait behind a slow handler for ever. Once its disconnect has been
read, each handler has ``disconnect_grace`` seconds; then the log says where it waits and it is
cancelled. If the handler was slow for that long already, the pump reads one event further, so
that a disconnect behind an unread frame is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from channels._core.broadcast import Broadcast
from channels._core.session import RECEIVE, State
from channels.calls import Threaded
from channels.eviction import Eviction
from channels.exceptions import StopConsumer
from channels.lanes import SHARED, Lane, parent_executor, set_parent_executor
from channels.sending import OPEN, Sending
from channels.sources import DirectSocket, Source
from channels.typing import Event, Send

DISCONNECT: Final = "websocket.disconnect"
MOST_AT_ONCE: Final = 32
"""Events that one connection may handle before the others have a turn."""


class Handling(Sending):
    """Takes the events of one connection and has them handled.

    Args:
        consumer: The object that is served, for the log.
        send: The server's ``send``.
        is_websocket: Judge the order of events and give handlers a grace period.
        grace: Seconds a handler may go on after its client has left.
        socket: The server's own, if it has the extension.
        passed: Types of messages that go to the client without a handler.
        threaded: Runs the handlers in a thread, in place of ``dispatch``, if there is one.
        lane: Whose thread runs sync code.

    Attributes:
        task: What runs the connection.
        loop: Its event loop.
    """

    _dispatch: Callable[[Event], Awaitable[Any]]
    """Handles one event; whoever runs the connection sets this."""

    def __init__(
        self,
        consumer: object,
        send: Send,
        *,
        is_websocket: bool,
        grace: float,
        socket: DirectSocket | None,
        passed: frozenset[str],
        threaded: Threaded | None,
        lane: Lane,
    ) -> None:
        super().__init__(consumer, send, is_websocket=is_websocket, socket=socket)
        self._threaded = threaded
        self._grace = grace
        self._passed = passed if is_websocket else frozenset()
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        # An ASGI application always runs in a task.
        self.task: asyncio.Task[Any] = cast("asyncio.Task[Any]", asyncio.current_task())
        # Whoever has a lane has no parent; to ask for one takes as long as to make all this.
        self._parent_executor = parent_executor() if lane is SHARED else None
        self._sources: list[Source] = []
        self._turn = 0
        self._busy = False
        self._was_denied = False
        # There once a handler has gone on without its client.
        self._eviction: Eviction | None = None

    def _be_busy(self) -> None:
        """Have every message wait its turn."""
        raise NotImplementedError

    def _next(self) -> Event | None:
        # One event of each source per round, the client's first.
        for _ in self._sources:
            source = self._sources[self._turn]
            self._turn = (self._turn + 1) % len(self._sources)
            event = source.take()
            if event is not None:
                # Only what the server says moves the state; a layer may inject any event.
                if source is self._client and event.get("type") != RECEIVE:
                    self._noted(event)
                return event
        self._turn = 0
        if self._was_denied and not self._client_left:
            # Nothing else can follow a response, and some servers do not even say that.
            self._client_left = True
            return self._noted({"type": DISCONNECT, "code": 1006})
        return None

    def _noted(self, event: Event) -> Event:
        if self._session is not None:
            self._session.received(event.get("type", ""))
        return event

    async def _pass_on(self, event: Event) -> None:
        broadcast = event if type(event) is Broadcast else Broadcast(event)
        if self._session is None or self._session.state in (State.NEW, State.CONNECTING):
            self._hold(broadcast)
        elif not self._write(broadcast):
            await self._handle(broadcast, self.send)

    async def _handle(
        self, event: Event, dispatch: Callable[[Event], Awaitable[Any]] | None = None
    ) -> None:
        self._busy = True
        if self._client_left:
            self._give_grace()
        try:
            await (dispatch or self._dispatch)(event)
        except asyncio.CancelledError:
            set_parent_executor(self._parent_executor)
            if self._eviction is None or not self._eviction.take_back():
                raise
            if event.get("type") == DISCONNECT:
                raise StopConsumer from None
        finally:
            self._busy = False
            if self._eviction is not None:
                self._eviction.stop()
                self._eviction.take_back()
        self._has_handled()

    def _has_handled(self) -> None:
        self._busy = False
        if self._eviction is not None:
            self._eviction.stop()
        session = self._session
        if session is not None and session.state is not OPEN:
            self._be_busy()
            self._was_denied = self._was_denied or session.state is State.DENYING
            session.handled()

    def _give_grace(self) -> None:
        """Let the handler end soon, now that its client has left."""
        if self._eviction is None:
            self._eviction = Eviction(self._consumer, self.task, grace=self._grace)
        self._eviction.start()

"""One connection: events from the client and from the channel layer, one at a time.

The client's events come from a source (``sources``) that holds one ahead of the handler and then
stops reading, so that back-pressure reaches the socket. A channel layer with a hub puts messages
into an inbox; any other layer gets a pump. The loop takes an event only when it dispatches it.

A client that leaves must not wait behind a slow handler for ever. Once its disconnect has been
read, each handler has ``disconnect_grace`` seconds; then the log says where it waits and it is
cancelled. If the handler was slow for that long already, the pump reads one event further, so
that a disconnect behind an unread frame is found.

A group message of type ``websocket.send`` or ``websocket.close`` goes to the client without a
handler. Where the server's socket takes such broadcasts itself, an idle connection hands it over
from within the fan-out; else, or while a handler runs, it waits its turn in the inbox. What comes
before the accept goes out right behind it.

The handler of any other message begins within the fan-out too, if the connection is idle, and goes
on when what it waits for is there: its task wakes for neither (``stepping``).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, Final, cast

from channels._core.broadcast import SEND, Broadcast
from channels._core.session import RECEIVE, State
from channels.calls import Call, Threaded
from channels.eviction import Eviction
from channels.exceptions import StopConsumer
from channels.lanes import SHARED, Lane, parent_executor, set_parent_executor
from channels.layers.inbox import Inbox
from channels.sending import OPEN, Sending
from channels.sources import Direct, DirectSocket, Pump, Source, is_method_of
from channels.stepping import (
    FRAME,
    IS_POSSIBLE,
    MESSAGE,
    Waiting,
    begin,
    context_of,
    may_begin_frame,
)
from channels.typing import Event, Message, Receive, Send

DISCONNECT: Final = "websocket.disconnect"
MOST_AT_ONCE: Final = 32
"""Events that one connection may handle before the others have a turn."""


class Connection(Sending):
    """Runs one consumer's handlers over one connection.

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
        task: What runs the connection, and may be parked while handlers run (``stepping``).
        parked: What it waits for then.
        loop: Its event loop.
        context: What its handlers run in.
    """

    def __init__(
        self,
        consumer: object,
        send: Send,
        *,
        is_websocket: bool,
        grace: float,
        socket: DirectSocket | None = None,
        passed: frozenset[str] = frozenset(),
        threaded: Threaded | None = None,
        lane: Lane = SHARED,
    ) -> None:
        super().__init__(consumer, send, is_websocket=is_websocket, socket=socket)
        self._threaded = threaded
        self._grace = grace
        self._passed = passed if is_websocket else frozenset()
        # Where messages need not wait, if there is one.
        self._inbox: Inbox | None = None
        self._dispatch: Callable[[Event], Awaitable[Any]]
        # What a handler that was begun while the task is parked and is not done handles; or what
        # it raised.
        self._begun: tuple[Event, Waiting] | None = None
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        # An ASGI application always runs in a task.
        self.task: asyncio.Task[Any] = cast("asyncio.Task[Any]", asyncio.current_task())
        # Whoever has a lane has no parent; to ask for one takes as long as to make all this.
        self._parent_executor = parent_executor() if lane is SHARED else None
        # Another sync handler would only be begun to wait for its thread.
        self._may_begin = IS_POSSIBLE and (
            threaded is not None or not getattr(consumer, "_sync", False)
        )
        self.context: contextvars.Context = (
            context_of(self.task) if self._may_begin else contextvars.Context()
        )
        self._sources: list[Source] = []
        self._turn = 0
        # Parked, with nothing unread, and its handlers may begin at once.
        self._is_idle = False
        self.parked: asyncio.Future[None] | None = None
        self._busy = False
        self._was_denied = False
        # There once a handler has gone on without its client.
        self._eviction: Eviction | None = None

    async def run(
        self,
        receive: Receive,
        layer_source: Source | Receive | None,
        dispatch: Callable[[Event], Awaitable[Any]],
    ) -> None:
        """Dispatch events, the client's first, until a handler or a source raises.

        Args:
            receive: The server's ``receive``.
            layer_source: The consumer's inbox, or ``receive`` of a layer without inboxes.
            dispatch: Handles one event.

        Raises:
            StopConsumer: A handler ended the connection.
            Exception: What a handler or a source raised.
        """
        self._dispatch = dispatch if self._threaded is None else self._threaded.run
        # Only a WebSocket's client can leave during a handler, so only it is read meanwhile.
        is_websocket = self._session is not None
        patience = self._grace if is_websocket else None
        pumps = []
        if self._socket is not None and is_method_of(receive, self._socket):
            self._client = Direct(self._socket, self._arrived, self._grace)
        else:
            self._client = Pump(receive, self._arrived, ahead=is_websocket, patience=patience)
            pumps.append(self._client)
        self._sources.append(self._client)
        if callable(layer_source):
            # Not read ahead: what is unhandled at the end stays with the layer.
            pumps.append(Pump(layer_source, self._wake_for, ahead=False))
            self._sources.append(pumps[-1])
        elif layer_source is not None:
            self._sources.append(layer_source)
            if isinstance(layer_source, Inbox):
                self._inbox = layer_source
        try:
            handled = 0
            while True:
                if handled >= MOST_AT_ONCE:
                    # A peer that sends without end must not keep the others waiting.
                    await asyncio.sleep(0)
                    handled = 0
                event = self._next()
                handled += 1
                if event is None:
                    await self._park()
                    handled = 0
                elif event.get("type") in self._passed:
                    await self._pass_on(event)
                else:
                    # Its handler may change what others share.
                    own = event.message() if type(event) is Broadcast else event
                    await self._handle(own)
        finally:
            self._has_ended = True
            self._drop_held("closed", len(self._held))
            # All are cancelled before the wait, which a second cancellation may cut short.
            if tasks := self._stop(pumps):
                await asyncio.wait(tasks)

    def wake(self) -> None:
        """Let the loop look at its sources."""
        self._be_busy()
        # While a handler runs, whoever runs it looks when it is done.
        if not self._busy and self.parked is not None and not self.parked.done():
            self.parked.set_result(None)

    def _stop(self, pumps: list[Pump]) -> list[asyncio.Task[None]]:
        if isinstance(self._client, Direct):
            self._client.stop()
        return [pump.stop() for pump in pumps]

    async def _pass_on(self, event: Event) -> None:
        broadcast = event if type(event) is Broadcast else Broadcast(event)
        if self._session is None or self._session.state in (State.NEW, State.CONNECTING):
            self._hold(broadcast)
        elif not self._write(broadcast):
            await self._handle(broadcast, self.send)

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
            event = {"type": DISCONNECT, "code": 1006}
            self._arrived(event)
            return self._noted(event)
        return None

    def _noted(self, event: Event) -> Event:
        if self._session is not None:
            self._session.received(event.get("type", ""))
        return event

    async def _park(self) -> None:
        begun = cancellation = None
        self.parked = self.loop.create_future()
        self._open_inbox()
        try:
            await self.parked
        except asyncio.CancelledError as error:
            if self._begun is None:
                raise
            cancellation = error
            begun, self._begun = self._begun, None
        finally:
            self.parked = None
            self._be_busy()
        if self._failure is not None:  # from Python 3.12 on
            raise self._failure
        if begun is not None and cancellation is not None:  # from Python 3.12 on
            event, rest = begun
            ends = rest.finish(cancellation)
            await self._handle(event, lambda _: ends)

    def _open_inbox(self) -> None:
        """Let messages be handled at once, while nothing else is to be done."""
        inbox, session = self._inbox, self._session
        if self._held or (session is not None and session.state is not OPEN):
            return
        self._is_idle = self._may_begin
        if inbox is None or inbox.readers is not None:
            return
        if self._may_begin:
            inbox.begin = self._begin
        if session is not None and self._sink is not None and SEND in self._passed:
            inbox.express = self._sink.write

    def _be_busy(self) -> None:
        self._is_idle = False
        self._shut_inbox()

    def _shut_inbox(self) -> None:
        if self._inbox is not None:
            self._inbox.express = self._inbox.begin = None

    def _begin(self, message: Message) -> bool:  # from Python 3.12 on
        """Begin the handler of a message now; ``False`` if it has to wait its turn."""
        if type(message) is Broadcast and message["type"] in self._passed:
            return False
        self._begin_handlers(message, MESSAGE)
        return True

    def _begin_handlers(self, event: Event, level: int) -> None:  # from Python 3.12 on
        """Begin the handler of ``event``, and of what there is to do then, until one waits."""
        self._busy = True
        try:
            if (begun := self._begin_handler(event, level)) is not None:
                self._put_aside(event, begun)
                return
            self._has_handled()
        except BaseException as error:
            self._fail(error)
            return
        if not self._is_idle:
            self._go_on(level)
        elif level == FRAME:
            # Nothing has come meanwhile. A message's handler has left the inbox open.
            self._open_inbox()

    def _go_on(self, level: int) -> None:  # from Python 3.12 on
        """Begin the handlers of what has come meanwhile, until one waits or all have ended."""
        try:
            for _ in range(MOST_AT_ONCE):
                self._busy = True
                if (event := self._next()) is None:
                    self._busy = False
                    self._open_inbox()
                    return
                if (begun := self._begin_handler(event, level)) is not None:
                    self._put_aside(event, begun)
                    return
                self._has_handled()
        except BaseException as error:
            self._fail(error)
            return
        self.wake()

    def _begin_handler(self, event: Event, level: int) -> Waiting | None:  # Python 3.12
        if event.get("type") in self._passed:
            outcome: Awaitable[Any] = self._pass_on(event)
        else:
            # Its handler may change what others share.
            own = event.message() if type(event) is Broadcast else event
            if self._threaded is not None:
                return self._threaded.begin(own, self.context.copy(), self._call_ended)
            outcome = self._dispatch(own)
        return begin(outcome if type(outcome) is CoroutineType else _awaiting(outcome), self, level)

    def _put_aside(self, event: Event, begun: Waiting) -> None:  # from Python 3.12 on
        self._be_busy()
        self._begun = event, begun
        if self._client_left:
            self._give_grace()

    def _call_ended(self, call: Call) -> None:  # from Python 3.12 on
        if self.parked is not None and self.parked.cancelled():
            return  # the task is about to take over
        if self._is_begun(call) and call.error is None:
            self.context.run(call.take_over_context)
        self.begun_ended(call)

    def begun_ended(self, begun: Waiting) -> None:  # from Python 3.12 on
        """Go on with what there is to do, or be idle again."""
        if not self._is_begun(begun):
            return
        self._begun = None
        if begun.error is not None:
            self._fail(begun.error)
            return
        self._has_handled()
        self._go_on(FRAME)

    def _is_begun(self, begun: Waiting) -> bool:  # from Python 3.12 on
        # The task may have taken it over.
        return self._begun is not None and self._begun[1] is begun

    def _fail(self, error: BaseException) -> None:  # from Python 3.12 on
        """Let the task raise what a handler has raised."""
        self._busy = False
        self._failure = error
        self.wake()

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

    def _arrived(self, event: Event) -> None:
        kind = event.get("type")
        if (  # from Python 3.12 on
            self._is_idle and not self._busy and kind == RECEIVE and may_begin_frame()
        ):
            self._shut_inbox()
            # Taking it reads on, and what comes then waits for its turn.
            self._busy = True
            if self._client is not None:
                self._client.take()
            self._turn = 1 % len(self._sources)
            self._begin_handlers(event, FRAME)
            return
        if self._session is not None and kind == DISCONNECT:
            self._client_left = True
            if self._busy:
                self._give_grace()
        elif self._busy and self._client is not None:
            self._client.is_unread()
        self.wake()

    def _wake_for(self, event: Event) -> None:
        self.wake()

    def _give_grace(self) -> None:
        """Let the handler end soon, now that its client has left."""
        if self._eviction is None:
            self._eviction = Eviction(
                self._consumer, self.task, grace=self._grace, driver=self._driver
            )
        self._eviction.start()

    def _driver(self) -> Any:
        return self._begun[1].driver if self._begun is not None else None


async def _awaiting(outcome: Awaitable[Any]) -> Any:  # from Python 3.12 on
    return await outcome

"""A connection that is idle: its task is parked, and nobody wakes it for what can be done at once.

A group message of type ``websocket.send`` or ``websocket.close`` goes to the client without a
handler. Where the server's socket takes such broadcasts itself, an idle connection hands it over
from within the fan-out; else, or while a handler runs, it waits its turn in the inbox. What comes
before the accept goes out right behind it.

The handler of any other message begins within the fan-out too, if the connection is idle, and that
of a frame as soon as it has arrived. It goes on when what it waits for is there: its task wakes for
neither (``stepping``). What comes meanwhile begins when it has ended. An error, a cancellation and
an end are the task's: for those it wakes.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from channels._core.broadcast import SEND, Broadcast
from channels._core.session import RECEIVE
from channels.calls import Call, Threaded
from channels.handling import DISCONNECT, MOST_AT_ONCE, Handling
from channels.lanes import SHARED, Lane
from channels.layers.inbox import Inbox
from channels.sending import OPEN
from channels.sources import DirectSocket
from channels.stepping import (
    FRAME,
    IS_POSSIBLE,
    MESSAGE,
    Waiting,
    begin,
    context_of,
    may_begin_frame,
)
from channels.typing import Event, Message, Send


class Parking(Handling):
    """Handles what arrives while the connection's task is parked; made as ``Handling`` is.

    Attributes:
        parked: What the task waits for while it is parked.
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
        super().__init__(
            consumer,
            send,
            is_websocket=is_websocket,
            grace=grace,
            socket=socket,
            passed=passed,
            threaded=threaded,
            lane=lane,
        )
        # Where messages need not wait, if there is one.
        self._inbox: Inbox | None = None
        # What a handler that was begun while the task is parked and is not done handles; or what
        # it raised.
        self._begun: tuple[Event, Waiting] | None = None
        self._failure: BaseException | None = None
        # Another sync handler would only be begun to wait for its thread.
        self._may_begin = IS_POSSIBLE and (
            threaded is not None or not getattr(consumer, "_sync", False)
        )
        self.context: contextvars.Context = (
            context_of(self.task) if self._may_begin else contextvars.Context()
        )
        # Parked, with nothing unread, and its handlers may begin at once.
        self._is_idle = False
        self.parked: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let the loop look at its sources."""
        self._be_busy()
        # While a handler runs, whoever runs it looks when it is done.
        if not self._busy and self.parked is not None and not self.parked.done():
            self.parked.set_result(None)

    def _wake_for(self, event: Event) -> None:
        self.wake()

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
        if self._eviction is not None:
            self._eviction.stop()
        self._failure = error
        self.wake()

    def driver(self) -> Any:
        """Return what drives the handler that goes on while the task is parked, if one does."""
        return self._begun[1].driver if self._begun is not None else None


async def _awaiting(outcome: Awaitable[Any]) -> Any:  # from Python 3.12 on
    return await outcome

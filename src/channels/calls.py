"""Handlers of sync consumers in the threads of lanes, with as few hops as can be.

A call goes to the thread as one item, without a future. What the handler sends meanwhile, and its
end, come back in one call of the event loop's for all that has gathered until that runs. A frame is
not waited for as long as the socket takes more: the event loop writes it before it hears that the
handler has ended. Once ``MOST_ON_THE_WAY`` bytes are under way, ``send`` waits again.

asgiref's ``async_to_sync`` finds in the thread all that it finds in one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import ref

from channels.lanes import Lane
from channels.per_loop import PerLoop
from channels.typing import Event

MOST_ON_THE_WAY: Final = 65536
"""Bytes of frames that a handler may have handed over before the event loop has written them."""

Handle = Callable[["Call"], None]
"""Runs the handler of a call in the present thread."""


class Carrier:
    """Takes calls from threads to the running loop, in order, all that have gathered at a time."""

    __slots__ = ("_context", "_is_due", "_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = ref(asyncio.get_running_loop())
        # Nobody's: what is called is of several connections.
        self._context = contextvars.Context()
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_due = False

    def post(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have ``function`` called in the event loop soon.

        Raises:
            RuntimeError: The event loop has ended.
        """
        loop = self._loop()
        if loop is None:
            raise RuntimeError("the event loop has ended")
        self._waiting.append((function, arguments))
        # Whoever is late to see that it is due finds it done: it is taken back before the look.
        if not self._is_due:
            self._is_due = True
            loop.call_soon_threadsafe(self._deliver, context=self._context)

    def _deliver(self) -> None:
        self._is_due = False
        for _ in range(len(self._waiting)):
            function, arguments = self._waiting.popleft()
            try:
                function(*arguments)
            except Exception as error:
                # One connection must not keep the others from what is theirs.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"{function!r} failed", "exception": error}
                )


get_carrier: Final = PerLoop(Carrier)


class Threaded:
    """How one connection's handlers run in the thread of its lane.

    Args:
        lane: Whose thread it is.
        handle: Runs a handler there.

    Attributes:
        call: The handler that runs, if the event loop waits for one.
        carrier: From the thread to the event loop.
        loop: The event loop.
    """

    __slots__ = ("_handle", "_lane", "call", "carrier", "loop")

    def __init__(self, lane: Lane, handle: Handle) -> None:
        self._lane = lane
        self._handle = handle
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.call: Call | None = None
        self.carrier: Carrier = get_carrier()

    def begin(
        self, event: Event, context: contextvars.Context, ended: Callable[[Call], None]
    ) -> Call:
        """Have the handler of ``event`` run, in ``context``; call ``ended`` in the event loop."""
        call = self.call = Call(self, event, context=context, ended=ended)
        self._lane.post(call.run)
        return call

    async def run(self, event: Event) -> None:
        """Run the handler of ``event`` and wait for its end.

        A handler that runs when the wait is cancelled is left to its thread; what it awaits by
        ``async_to_sync`` is cancelled.

        Raises:
            BaseException: What it raised.
        """
        ended = self.loop.create_future()
        call = self.begin(event, contextvars.copy_context(), lambda _: _wake(ended))
        try:
            await ended
        except asyncio.CancelledError as error:
            await call.finish(error)
            return
        call.take_over_context()
        if call.error is not None:
            raise call.error


class Call:
    """One handler on its way, in its thread, or done.

    Attributes:
        driver: ``None``: a thread runs it (``stepping.Waiting``).
        threaded: Where it belongs.
        event: What it handles.
        context: What it runs in.
        tasks: That of an ``async_to_sync`` in the handler, as asgiref notes it.
        error: What it raised.
        is_done: Whether the event loop knows that it has ended.
        sent: Bytes that it has handed over; of the thread.
        written: Bytes of them that the event loop has written; of the loop.
    """

    __slots__ = (
        "_ended",
        "_is_dropped",
        "_waiter",
        "context",
        "error",
        "event",
        "is_done",
        "sent",
        "tasks",
        "threaded",
        "written",
    )
    driver: None = None

    def __init__(
        self,
        threaded: Threaded,
        event: Event,
        *,
        context: contextvars.Context,
        ended: Callable[[Call], None],
    ) -> None:
        self.event: Event = event
        self.error: BaseException | None = None
        self.is_done: bool = False
        self.sent: int = 0
        self.written: int = 0
        self.threaded: Threaded = threaded
        self.context: contextvars.Context = context
        self._ended = ended
        self.tasks: list[asyncio.Task[Any]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_dropped = False

    def run(self) -> None:
        """Run the handler; in its thread."""
        if self._is_dropped:
            return
        threaded = self.threaded
        try:
            threaded._handle(self)
        except BaseException as error:
            self.error = error
        # Where the event loop has ended, nobody waits.
        with contextlib.suppress(RuntimeError):
            threaded.carrier.post(self._end)

    def take_over_context(self) -> None:
        """Set the context variables that the handler has set, in the present context."""
        for variable, value in self.context.items():
            if variable.get(_NOT_SET) is not value:
                variable.set(value)

    async def finish(self, thrown: BaseException) -> None:
        """Cancel what the handler awaits; where it then ends by itself, as if it had not.

        Raises:
            BaseException: ``thrown``, where it is left to its thread or never begun; or what the
                handler raised.
        """
        if self.tasks:
            inner = self.tasks[0]
            inner.cancel()
            await asyncio.wait([inner])
            if not inner.cancelled() and not self.is_done:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
                self.take_over_context()
                if self.error is not None:
                    raise self.error
                return
        self._is_dropped = True
        if self.threaded.call is self:
            self.threaded.call = None
        if self.is_done and self.error is not None:
            # It ended in the turn of the event loop that cancelled it.
            raise self.error
        raise thrown

    def _end(self) -> None:
        self.is_done = True
        if self.threaded.call is self:
            self.threaded.call = None
        if self._waiter is not None:
            _wake(self._waiter)
        self._ended(self)


_NOT_SET: Final = object()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

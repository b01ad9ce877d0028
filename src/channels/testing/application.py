"""Runs one ASGI application under a test, in the place of a server."""

# ruff: noqa: ASYNC109 - the time-outs are parameters by contract
from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

from asgiref import testing

from channels import db
from channels.diagnosis import where_it_waits
from channels.typing import App, Event, Scope

logger: logging.Logger = logging.getLogger("channels.testing")


def no_op() -> None:
    """Do nothing."""


class OutputQueue(asyncio.Queue[Event]):
    """What the application has sent and the test has not received.

    Attributes:
        changed: Set on each arrival; whoever waits for one clears it first.
    """

    changed: asyncio.Event

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self.changed = asyncio.Event()

    def _put(self, item: Event) -> None:
        super()._put(item)
        self.changed.set()


class ApplicationCommunicator(testing.ApplicationCommunicator):
    """Talks to an ASGI application as its server would.

    The application starts with the first send, receive or wait, so a test may edit ``scope``
    until then; it gets that very dict. It runs in an empty context: context variables of the test
    are not visible to it.

    While ``send_input``, ``receive_output`` and ``has_output`` run, nothing closes database
    connections through ``channels.db``, in the whole process, so that a test's transaction lives.

    Args:
        application: An ASGI application; one in the old two-call style is adapted.
        scope: What the connection is.

    Attributes:
        input_queue: Events the application has not read yet.
        output_queue: Events the test has not received yet.
    """

    application: App
    scope: Scope
    # On the class, so that the finaliser of an instance whose construction failed finds it.
    _future: asyncio.Task[Any] | None = None
    _has_raised = False

    def __init__(self, application: App, scope: Scope) -> None:
        self._input = asyncio.Queue[Event]()
        self._output = OutputQueue()
        super().__init__(application, scope)  # type: ignore[no-untyped-call]

    @property
    def input_queue(self) -> asyncio.Queue[Event]:
        """Events the application has not read yet."""
        return self._input

    @property
    def output_queue(self) -> OutputQueue:
        """Events the test has not received yet."""
        return self._output

    @property
    def future(self) -> asyncio.Task[Any]:
        """The application's task, started on first use."""
        if self._future is None:
            run = self.application(self.scope, self._input.get, self._output.put)
            # ASGI promises no more than an awaitable, but asgiref too relies on a coroutine here.
            coroutine = cast("Coroutine[Any, Any, Any]", run)
            self._future = asyncio.create_task(coroutine, context=contextvars.Context())
            self._future.add_done_callback(_teller(self._output.changed))
        return self._future

    async def send_input(self, message: Event) -> None:
        """Give the application an event.

        Raises:
            Exception: The application has failed; this is what it raised. Nothing was sent.
            asyncio.CancelledError: It was cancelled, by a time-out for example.
        """
        with database_stays_open:
            self._raise_if_failed()
            await self._input.put(message)

    async def receive_output(self, timeout: float | None = 1) -> Event:
        """Take the next event that the application sends.

        A time-out ends the application: it is cancelled, and later calls raise
        ``CancelledError``. To look without that risk, call ``has_output`` first.

        Args:
            timeout: Seconds to wait; ``None`` for as long as it takes.

        Raises:
            TimeoutError: Nothing came in time. The application was cancelled.
            Exception: The application has failed; this is what it raised.
            asyncio.CancelledError: It was cancelled before.
        """
        with database_stays_open:
            if await self._wait_for_output(timeout):
                return self._output.get_nowait()
            self._raise_if_failed()
            complaint = f"the application sent nothing within {timeout} s; {self._whereabouts()}"
            await self._cancel()
            raise TimeoutError(complaint)

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Return whether the application sends nothing; take nothing, and leave it running.

        Args:
            timeout: Seconds to wait for an event; the first one ends the wait.
            interval: Seconds to wait at least, if ``timeout`` is above 0.

        Raises:
            Exception: The application had failed before; this is what it raised.
            asyncio.CancelledError: It was cancelled before.
        """
        self._raise_if_failed()
        if timeout <= 0:
            return self._output.empty()
        return not await self._wait_for_output(max(timeout, interval))

    async def has_output(self, timeout: float | None = 1) -> bool:
        """Return whether the application sends something; take nothing, and leave it running.

        Unlike ``receive_output`` it outlives its own time-out, and unlike ``receive_nothing`` it
        raises at once when the application fails.

        Args:
            timeout: Seconds to wait; the first event ends the wait.

        Raises:
            Exception: The application has failed; this is what it raised.
            asyncio.CancelledError: It was cancelled before.
        """
        with database_stays_open:
            if await self._wait_for_output(timeout):
                return True
            self._raise_if_failed()
            return False

    async def wait(self, timeout: float | None = 1) -> None:
        """Wait for the application to end; return quietly if it was cancelled.

        One that does not end in time is cancelled, with a warning in the log that says where it
        waits.

        Args:
            timeout: Seconds to wait.

        Raises:
            Exception: What the application raised.
        """
        try:
            await asyncio.wait([self.future], timeout=timeout)
            if not self.future.done():
                logger.warning(
                    "The application did not end within %s s and is cancelled; %s.",
                    timeout,
                    self._whereabouts(),
                )
        finally:
            if not self.future.done():
                await self._cancel()
        if not self.future.cancelled():
            self._raise_if_failed()

    def stop(self, exceptions: bool = True) -> None:
        """Cancel the application if it runs; else raise what it raised.

        Args:
            exceptions: Raise at all.
        """
        super().stop(exceptions)  # type: ignore[no-untyped-call]

    async def _wait_for_output(self, timeout: float | None) -> bool:
        """Wait for an event, a failure or the time-out; return whether there is an event."""
        self._raise_if_failed()
        try:
            async with asyncio.timeout(timeout):
                while self._output.empty() and not self._has_failed():
                    self._output.changed.clear()
                    await self._output.changed.wait()
        except TimeoutError:
            pass
        return not self._output.empty()

    async def _cancel(self) -> None:
        self.future.cancel()
        await asyncio.wait([self.future])
        if not self.future.cancelled():
            self._raise_if_failed()

    def _has_failed(self) -> bool:
        future = self.future
        return future.done() and (future.cancelled() or future.exception() is not None)

    def _raise_if_failed(self) -> None:
        if self._has_failed():
            self._has_raised = True
            self.future.result()

    def _whereabouts(self) -> str:
        if self.future.done():
            return "it has ended"
        return f"it waits in {where_it_waits(self.future)}"


class _DatabaseStaysOpen:
    """Replaces ``channels.db.close_old_connections`` while at least one block is entered.

    Blocks may overlap and come from any thread.
    """

    _name = "close_old_connections"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._original: Any = None

    def __enter__(self) -> None:
        with self._lock:
            current = getattr(db, self._name)
            if not self._entered and current != self._close:
                self._original = current
                setattr(db, self._name, self._close)
            self._entered += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._entered -= 1
            # A test may have put something of its own there meanwhile: that is left alone.
            if not self._entered and getattr(db, self._name) == self._close:
                setattr(db, self._name, self._original)

    def _close(self) -> None:
        # Whoever took this for the original while it was in place gets the original's effect.
        if not self._entered:
            self._original()


database_stays_open: _DatabaseStaysOpen = _DatabaseStaysOpen()


def _teller(changed: asyncio.Event) -> Callable[[object], None]:
    # It must not hold the communicator, whose finaliser stops an application that was left running.
    return lambda future: changed.set()

"""What scenarios share: observations in a form both sides can be compared in, and one
hand-driven ASGI connection. Imports nothing from Channels but its exceptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from channels import exceptions

SIDE = os.environ["COMPAT_SIDE"]
Event = dict[str, Any]
# Exceptions which the contract names; any other class of ours shows as its nearest public base.
NAMED = {
    "AcceptConnection",
    "ChannelFull",
    "DenyConnection",
    "InvalidChannelLayerError",
    "MessageTooLarge",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
}
PATIENCE = 5.0


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's terms; bytes, tuples and exceptions stay recognisable."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, tuple):
        return {"tuple": [plain(item) for item in value]}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, BaseException):
        return {"raises": kind(value)}
    if isinstance(value, type):
        return f"class {value.__name__}"
    raise TypeError(f"an observation holds plain values, not {value!r}")


def kind(error: BaseException) -> str:
    """Name the first class of ``error`` that is not a side's own invention."""
    ancestors = type(error).__mro__
    for ancestor in ancestors:
        own = ancestor.__module__.partition(".")[0] in ("channels", "channels_redis", "daphne")
        if ancestor.__name__ in NAMED and getattr(exceptions, ancestor.__name__, None) is ancestor:
            return ancestor.__name__
        if not own and ancestor not in (Exception, BaseException, object):
            return ancestor.__name__
    return ancestors[0].__name__


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the call returns, or the exception it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


async def aoutcome(awaitable: Awaitable[Any]) -> Any:
    """Return what the awaitable gives, or the exception it raises, cancellation included."""
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error


def text_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return the text of the exception which the call raises, or a note that it raised none."""
    error = outcome(function, *args, **kwargs)
    return str(error) if isinstance(error, BaseException) else "raised nothing"


async def atext_of(awaitable: Awaitable[Any]) -> str:
    """Return the text of the exception which the awaitable raises."""
    error = await aoutcome(awaitable)
    return str(error) if isinstance(error, BaseException) else "raised nothing"


def signature(function: Callable[..., Any]) -> str:
    """Return names, order, defaults and kinds of the parameters, without annotations."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def websocket_scope(path: str = "/", **extra: Any) -> Event:
    """Return the scope of a WebSocket as a server gives it, with ``extra`` keys."""
    return {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
        **extra,
    }


def http_scope(path: str = "/", **extra: Any) -> Event:
    """Return the scope of a GET request as a server gives it, with ``extra`` keys."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        **extra,
    }


CONNECT: Event = {"type": "websocket.connect"}
ACCEPTED: Event = {"type": "websocket.accept", "subprotocol": None}
BYE: Event = {"type": "websocket.disconnect", "code": 1000}


def text(data: str) -> Event:
    """Return the event of a text frame from the client."""
    return {"type": "websocket.receive", "text": data}


class Connection:
    """One run of an ASGI application, with the test in the server's place.

    As a context manager it leaves no task behind. ``outputs`` holds what the application
    has sent so far, in order.
    """

    def __init__(self, application: Any, scope: Event | None = None) -> None:
        self.scope = websocket_scope() if scope is None else scope
        self.outputs: list[Event] = []
        self._application = application
        self._input: asyncio.Queue[Event] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Connection:
        self.task = asyncio.ensure_future(
            self._application(self.scope, self._input.get, self._take)
        )
        self.task.add_done_callback(lambda _task: self._changed.set())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=PATIENCE)

    async def _take(self, event: Event) -> None:
        self.outputs.append(event)
        self._changed.set()

    def feed(self, *events: Event) -> None:
        """Give the application events from the client."""
        for event in events:
            self._input.put_nowait(dict(event))

    async def sent(self, count: int) -> list[Event]:
        """Wait until the application has sent ``count`` events in all, or has ended."""
        await self.until(lambda: len(self.outputs) >= count or self.task.done())
        return list(self.outputs)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until ``condition`` holds; it is looked at again a hundred times a second."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.01)

    async def end(self) -> Any:
        """Wait for the application to end; return its result, its error or ``still running``."""
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE)
        if not done:
            return "still running"
        return self.result()

    def result(self) -> Any:
        """Return how the application ended."""
        if self.task.cancelled():
            return "cancelled"
        return self.task.exception() or self.task.result()


async def converse(application: Any, *events: Event, scope: Event | None = None) -> Event:
    """Feed all ``events``, wait for the end, and return what was sent and how it ended.

    The next event is fed when the application has nothing more to say to the last one:
    after it has answered, or a moment later if it does not.
    """
    async with Connection(application, scope) as connection:
        for event in events:
            before = len(connection.outputs)
            connection.feed(event)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.sent(before + 1)
            await asyncio.sleep(0.005)
        ended = await connection.end()
        return {"sent": connection.outputs, "ended": ended}


@contextlib.contextmanager
def logged(logger_name: str, level: int = logging.DEBUG) -> Iterator[list[str]]:
    """Collect the lines which a logger writes, as ``LEVEL text``."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger = logging.getLogger(logger_name)
    handler, before = Collector(), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

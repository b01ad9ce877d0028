"""Consumers: one object per connection, one handler per type of event."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import CoroutineType
from typing import Any, ClassVar, Final, NamedTuple
from weakref import WeakKeyDictionary

# Projects import what is named twice here from this module.
from asgiref.sync import async_to_sync as async_to_sync

from channels import DEFAULT_CHANNEL_LAYER
from channels._core.broadcast import KINDS
from channels._core.outbox import SlowConsumer
from channels.calls import Call, Threaded
from channels.conf import channels_settings
from channels.connection import Connection
from channels.db import (
    aclose_old_connections,
    database_sync_to_async,
    needs_clean_up,
    submit_clean_up,
)
from channels.exceptions import NoHandlerError, StopConsumer
from channels.lanes import SHARED, Lane, enter_lane
from channels.layers import get_channel_layer
from channels.layers.base import has_inboxes
from channels.sources import Source, direct_socket
from channels.typing import Event, Message, Receive, Scope, Send
from channels.utils import await_many_dispatch as await_many_dispatch
from channels.utils import name_that_thing

NO_ERROR: Final = (None, None, None)
"""What ``sys.exc_info`` says where nothing is being handled."""

logger: logging.Logger = logging.getLogger("django.channels.consumer")


def get_handler_name(message: Mapping[str, Any]) -> str:
    """Return the name of the method that handles ``message``: its type, dots as underscores.

    Raises:
        ValueError: There is no type, it is not a string, or its name would start with an
            underscore.
    """
    try:
        return _handler_name(message["type"])
    except KeyError:
        raise ValueError("Incoming message has no 'type' attribute") from None
    except TypeError:
        # Not hashable: not even the cache takes it.
        raise _malformed(message["type"]) from None


@functools.lru_cache(maxsize=1024)
def _handler_name(event_type: str) -> str:
    if not isinstance(event_type, str):
        raise _malformed(event_type)
    name = event_type.replace(".", "_")
    if name.startswith("_"):
        raise ValueError("Malformed type in message (leading underscore)")
    return name


def not_async(handler: Callable[..., Any]) -> TypeError:
    """Return the error for a plain function in an async consumer."""
    return TypeError(f"handler {name_that_thing(handler)} of an async consumer must be 'async def'")


def require_no_coroutine(consumer: object, outcome: object) -> None:
    """Refuse what a coroutine function in a sync consumer has returned.

    Raises:
        TypeError: It is a coroutine. It has not run.
    """
    if inspect.iscoroutine(outcome):
        outcome.close()
        raise TypeError(
            f"handler {name_that_thing(consumer)}.{outcome.__name__} of a sync consumer "
            "must not be 'async def'"
        )


def _malformed(event_type: Any) -> ValueError:
    return ValueError(f"Malformed type in message: expected a string, not {event_type!r}")


class _Known(NamedTuple):
    """What is known of a consumer class.

    Attributes:
        passed: Types of broadcasts that it does not handle itself.
        has_own_dispatch: Whether ``dispatch`` is not that of ``SyncConsumer``.
    """

    passed: frozenset[str]
    has_own_dispatch: bool


# A class may go, with whoever listens in its name. Nothing in here refers to one.
_known: Final[WeakKeyDictionary[type, _Known]] = WeakKeyDictionary()


def _known_of(consumer_class: type) -> _Known:
    known = _known.get(consumer_class)
    if known is None:
        with_dispatch = next(each for each in consumer_class.__mro__ if "dispatch" in vars(each))
        known = _known[consumer_class] = _Known(
            frozenset(kind for kind in KINDS if not hasattr(consumer_class, _handler_name(kind))),
            with_dispatch is not SyncConsumer,
        )
    return known


class AsyncConsumer:
    """Serves one connection: ``await instance(scope, receive, send)``.

    Events from the client and messages from the channel layer reach the method that their type
    names, one at a time and in the connection's own task. Whatever ends the connection, it leaves
    its groups once and its channel is forgotten.

    Attributes:
        scope: What the connection is.
        channel_layer: The layer of ``channel_layer_alias``, or ``None``.
        channel_name: This connection's channel; absent without a layer.
        base_send: Sends a raw ASGI event; returns whether the peer may still get it.
        slow_consumer: What happens to broadcasts while the client does not read, under a server
            with an outbox; one of ``SlowConsumer`` or its value.
    """

    _sync: ClassVar[bool] = False
    channel_layer_alias: str = DEFAULT_CHANNEL_LAYER
    slow_consumer: SlowConsumer | str = SlowConsumer.DROP_NEWEST

    scope: Scope
    channel_layer: Any
    channel_name: str
    base_send: Callable[[Event], Any]
    _lane: Lane = SHARED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the connection until a handler stops it.

        Raises:
            Exception: What a handler raised, other than ``StopConsumer``.
        """
        self.scope = scope
        self.channel_layer = self._find_layer()
        socket = direct_socket(scope)
        if socket is not None:
            socket.slow_consumer = SlowConsumer(self.slow_consumer)
        with enter_lane() as self._lane:
            connection = Connection(
                self,
                send,
                is_websocket=scope.get("type") == "websocket",
                grace=channels_settings().disconnect_grace,
                socket=socket,
                passed=_known_of(type(self)).passed,
                threaded=self._threaded(),
                lane=self._lane,
            )
            channel = None
            try:
                channel, source = await self._open_channel(connection.wake)
                self.base_send = connection.send_from_thread if self._sync else connection.send
                await connection.run(receive, source, self.dispatch)
            except StopConsumer:
                pass
            finally:
                await self._release(channel)

    @functools.cached_property
    def channel_receive(self) -> Callable[[], Coroutine[Any, Any, Message]]:
        """Awaits a message of the channel; there is none without a layer."""
        return functools.partial(self.channel_layer.receive, self.channel_name)

    async def dispatch(self, message: Event) -> None:
        """Run the handler of one event.

        Database connections that are too old are closed around it, if any was used.

        Raises:
            NoHandlerError: No handler has this type; this is a ``ValueError``.
            TypeError: The handler is not a coroutine function.
        """
        handler, lane = self._find_handler(message), self._lane
        if (lane.database_used or lane.database_open) and needs_clean_up(lane):
            await self._close_old_connections()
        outcome = handler(message)
        if type(outcome) is not CoroutineType and not inspect.isawaitable(outcome):
            raise not_async(handler)
        await outcome
        if lane.database_used:
            await self._close_old_connections()

    async def send(self, message: Event) -> bool:
        """Send a raw ASGI event; return whether the peer may still get it."""
        # ``base_send`` of an async consumer is a coroutine function; tests may replace it.
        sent: bool = await self.base_send(message)
        return sent

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return an ASGI application that serves each connection with an instance of its own.

        Its result is ``None``, typed as ``Any`` so that Django's ``path()`` takes it for a view.

        Args:
            **initkwargs: Passed to the constructor for each connection.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> Any:
            return await cls(**initkwargs)(scope, receive, send)

        functools.update_wrapper(app, cls, updated=())
        app.consumer_class = cls  # type: ignore[attr-defined]
        app.consumer_initkwargs = initkwargs  # type: ignore[attr-defined]
        return app

    def _find_layer(self) -> Any:
        return get_channel_layer(self.channel_layer_alias)

    def _threaded(self) -> Threaded | None:
        """Return how handlers run in the thread of the lane, if they do."""
        return None

    async def _open_channel(
        self, wake: Callable[[], None]
    ) -> tuple[str | None, Source | Receive | None]:
        layer = self.channel_layer
        if layer is None:
            return None, None
        self.channel_name = await layer.new_channel()
        if has_inboxes(layer):
            return self.channel_name, layer.attach(self.channel_name, wake)
        return self.channel_name, functools.partial(layer.receive, self.channel_name)

    async def _release(self, channel: str | None) -> None:
        """Leave the groups and forget the channel, however the connection ended."""
        try:
            await self._leave_joined_groups()
            if needs_clean_up(self._lane):
                await self._close_old_connections()
        except Exception:
            # What ended the connection is the error to raise, not this.
            logger.exception("%s could not leave its groups.", name_that_thing(self))
        finally:
            if channel is not None and hasattr(type(self.channel_layer), "detach"):
                self.channel_layer.detach(channel)

    async def _close_old_connections(self) -> None:
        # Never behind a neighbour that blocks the lane.
        if not submit_clean_up(self._lane):
            await aclose_old_connections()

    async def _leave_joined_groups(self) -> None:
        """Leave what was joined for this connection and not left yet; here nothing."""

    def _find_handler(self, message: Event) -> Callable[[Event], Any]:
        try:
            name = _handler_name(message["type"])
        except (KeyError, TypeError):
            name = get_handler_name(message)  # says what is wrong
        handler = getattr(self, name, None)
        if callable(handler):
            return handler  # type: ignore[no-any-return] # as callable as can be told
        consumer = name_that_thing(self)
        raise NoHandlerError(
            f"No handler for message type {message['type']}: "
            + (
                f"{consumer}.{name} is not callable"
                if handler
                else f"{consumer} has no method {name!r}"
            )
        )


class SyncConsumer(AsyncConsumer):
    """Serves one connection with plain functions, which run in a worker thread.

    Consumers of different connections run at the same time, on at most
    ``CHANNELS["SYNC_THREADS"]`` threads; each keeps its thread. Under ``async_to_sync`` (Django's
    test client) handlers run in the thread that waits.
    """

    _sync: ClassVar[bool] = True
    _thread_id: int | None = None
    """The thread that runs a handler now."""

    @database_sync_to_async
    def dispatch(self, message: Event) -> None:  # type: ignore[override]
        """Run the handler of one event in the worker thread.

        Raises:
            NoHandlerError: No handler has this type; this is a ``ValueError``.
            TypeError: The handler is a coroutine function. It has not run.
        """
        handler = self._find_handler(message)
        self._thread_id = threading.get_ident()
        try:
            outcome = handler(message)
        finally:
            self._thread_id = None
        require_no_coroutine(self, outcome)

    def send(self, message: Event) -> bool:  # type: ignore[override]
        """Send a raw ASGI event; wait while the client does not read."""
        sent: bool = self.base_send(message)
        return sent

    def _threaded(self) -> Threaded | None:
        # Whoever has put his own ``dispatch`` before this one sees every event.
        if (
            self._lane.executor is None
            or _known_of(type(self)).has_own_dispatch
            or "dispatch" in vars(self)
        ):
            return None
        return Threaded(self._lane, self._handle_in_thread)

    def _handle_in_thread(self, call: Call) -> None:
        dispatch = vars(SyncConsumer)["dispatch"]
        where = call.threaded.loop, NO_ERROR, call.tasks, call.context.run
        dispatch.thread_handler(*where, dispatch.func, self, call.event)

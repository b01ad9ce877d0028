"""Contract 10: database helpers, utilities, middleware and the app config."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, iscoroutinefunction
from django.apps import apps
from django.contrib.auth import get_user_model

from channels import db
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.db import DatabaseSyncToAsync, aclose_old_connections, database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.utils import name_that_thing
from support import BYE, CONNECT, Event, aoutcome, converse, http_scope, outcome, text

NEEDS_DATABASE = True


async def _counted(awaitable: Any) -> Any:
    calls: list[int] = []
    with mock.patch("channels.db.close_old_connections", lambda: calls.append(1)):
        ended = await aoutcome(awaitable)
    return [ended, len(calls)]


async def clean_up_around_the_function() -> object:
    """Contract 10, database_sync_to_async: closes before and after, also when it raises."""

    def fail() -> None:
        raise LookupError

    return [
        await _counted(database_sync_to_async(lambda: "result")()),
        await _counted(database_sync_to_async(fail)()),
    ]


async def clean_up_runs_in_the_worker_thread() -> object:
    """Contract 10, database_sync_to_async: clean-up and function share one worker thread."""
    threads: list[int] = []
    with mock.patch(
        "channels.db.close_old_connections", lambda: threads.append(threading.get_ident())
    ):
        await database_sync_to_async(lambda: threads.append(threading.get_ident()))()
    return [len(threads), len(set(threads)), threading.get_ident() in threads]


async def as_a_decorator_on_functions_and_methods() -> object:
    """Contract 10, database_sync_to_async: wrapper or bare decorator, also on methods."""

    @database_sync_to_async
    def add(a: int, *, b: int = 1) -> int:
        """Add."""
        return a + b

    class Owner:
        n = 3

        @database_sync_to_async
        def method(self, more: int) -> int:
            return self.n + more

    return [
        await add(1, b=2),
        await Owner().method(4),
        add.__name__,
        add.__doc__,
        iscoroutinefunction(add),
        isinstance(add, DatabaseSyncToAsync),
        issubclass(DatabaseSyncToAsync, SyncToAsync),
        database_sync_to_async is DatabaseSyncToAsync,
        callable(add.func),
        add._thread_sensitive,
    ]


def what_it_refuses() -> object:
    """Contract 10, database_sync_to_async: coroutine functions, executor while thread-sensitive."""

    async def coroutine() -> None:
        pass

    with ThreadPoolExecutor(1) as pool:
        return [
            outcome(database_sync_to_async, coroutine),
            outcome(database_sync_to_async, lambda: 1, executor=pool),
            outcome(database_sync_to_async, lambda: 1, thread_sensitive=True, executor=pool),
        ]


def as_a_decorator_with_options() -> object:
    """Contract 10, quirks [run]: ``@database_sync_to_async(thread_sensitive=False)``."""
    decorated = outcome(lambda: database_sync_to_async(thread_sensitive=False)(lambda: "result"))
    if isinstance(decorated, Exception):
        return decorated
    return [async_to_sync(decorated)(), decorated._thread_sensitive]


async def the_choice_of_thread() -> object:
    """Contract 10, database_sync_to_async [run]: one process-wide thread, a context, or a pool."""
    ident = database_sync_to_async(threading.get_ident)
    free = database_sync_to_async(threading.get_ident, thread_sensitive=False)
    shared = [await ident(), await ident()]
    async with ThreadSensitiveContext():
        own = [await ident(), await ident()]
    with ThreadPoolExecutor(1) as pool:
        given = database_sync_to_async(threading.get_ident, thread_sensitive=False, executor=pool)
        pooled = [await given(), await given()]
    barrier = threading.Barrier(2, timeout=5)
    meet = database_sync_to_async(barrier.wait, thread_sensitive=False)
    met = await asyncio.gather(meet(), meet())
    return [
        len(set(shared)),
        len(set(own)),
        own[0] == shared[0],
        len(set(pooled)),
        await free() == shared[0],
        sorted(met),
    ]


def the_parents_thread() -> object:
    """Contract 10, database_sync_to_async [run]: under ``async_to_sync`` the parent's thread."""
    ident = database_sync_to_async(threading.get_ident)

    async def inside() -> int:
        return await ident()

    return async_to_sync(inside)() == threading.get_ident()


def a_transaction_is_visible_inside() -> object:
    """Contract 02, SyncConsumer: TestCase transactions are visible, also in a communicator."""
    from django.db import transaction

    from channels.testing import WebsocketCommunicator

    class Count(SyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            self.send({"type": "websocket.accept"})
            users = get_user_model().objects.count()
            self.send({"type": "websocket.send", "text": str(users)})

        def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    async def ask() -> str:
        communicator = WebsocketCommunicator(Count(), "/")
        await communicator.connect()
        return await communicator.receive_from()

    with transaction.atomic():
        get_user_model().objects.create_user("ann")
        seen = async_to_sync(ask)()
        transaction.set_rollback(True)
    return [seen, get_user_model().objects.count()]


async def context_variables_cross_over() -> object:
    """Contract 10, database_sync_to_async: as in asgiref, context variables go both ways."""
    import contextvars

    note: contextvars.ContextVar[str] = contextvars.ContextVar("note", default="unset")

    def change() -> str:
        before = note.get()
        note.set("set in the thread")
        return before

    note.set("set in the loop")
    return [await database_sync_to_async(change)(), note.get()]


async def thread_handler_can_be_overridden() -> object:
    """Contract 10, names: ``thread_handler(self, loop, *args, **kwargs)`` is overridden."""
    seen: list[str] = []

    class Traced(DatabaseSyncToAsync):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(type(loop).__name__ != "NoneType" and "loop")
            return super().thread_handler(loop, *args, **kwargs)

    return [await Traced(lambda n: n + 1)(1), seen]


async def clean_up_by_hand() -> object:
    """Contract 10, aclose_old_connections: in the sync thread, by the module global."""
    threads: list[bool] = []
    here = threading.get_ident()
    with mock.patch(
        "channels.db.close_old_connections", lambda: threads.append(threading.get_ident() == here)
    ):
        ended = await aclose_old_connections()
    return [ended, threads, inspect.iscoroutinefunction(aclose_old_connections)]


async def the_orm_in_consumers() -> object:
    """Contract 02, database hygiene: after each handler that used a database it is cleaned up."""
    used: list[str] = []

    def count() -> int:
        return get_user_model().objects.count()

    class Sync(SyncConsumer):
        def websocket_connect(self, event: Event) -> None:
            self.send({"type": "websocket.accept", "users": count()})

        def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    class Async(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            users = await database_sync_to_async(count)()
            await self.send({"type": "websocket.accept", "users": users})

        async def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    class Acount(AsyncConsumer):
        async def websocket_connect(self, event: Event) -> None:
            users = await get_user_model().objects.acount()
            await self.send({"type": "websocket.accept", "users": users})

        async def websocket_disconnect(self, event: Event) -> None:
            raise StopConsumer

    seen = []
    for cls in (Sync, Async, Acount):
        used.clear()
        with mock.patch("channels.db.close_old_connections", lambda: used.append("closed")):
            talk = await converse(cls(), CONNECT, BYE)
        seen.append([talk["sent"], bool(used)])
    return seen


async def generic_consumers_clean_up_after_disconnect() -> object:
    """Contract 02 and 04, database hygiene: how often, where no handler used a database."""

    class Page(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"x")

    calls: list[int] = []
    seen = []
    with mock.patch("channels.db.close_old_connections", lambda: calls.append(1)):
        await converse(AsyncWebsocketConsumer(), CONNECT, text("x"), BYE)
        seen.append(len(calls))
        await converse(Page(), {"type": "http.request"}, scope=http_scope())
        seen.append(len(calls))
    return seen


# --- Utilities


def _function() -> None:
    """Do nothing."""


class _Thing:
    def method(self) -> None:
        """Do nothing."""


def names_of_things() -> object:
    """Contract 10, name_that_thing: dotted names of functions, classes and instances."""
    return [name_that_thing(each) for each in (_function, _Thing, _Thing(), asyncio.sleep)]


def names_of_bound_methods() -> object:
    """Contract 10, quirks [run]: a bound method of an instance."""
    return outcome(name_that_thing, _Thing().method)


def names_of_odd_things() -> object:
    """Contract 10, name_that_thing: what has no dotted name of its own."""
    return [isinstance(name_that_thing(functools.partial(_function)), str), name_that_thing(5)]


# --- Middleware and app config


async def base_middleware_copies_the_scope() -> object:
    """Contract 10, BaseMiddleware [run]: a shallow copy; inner additions are invisible outside."""
    shared: list[int] = []
    scope: Event = {"type": "websocket", "shared": shared}

    async def app(inner: Event, receive: Any, send: Any) -> Any:
        inner["added"] = 1
        return [inner is scope, inner["shared"] is shared, receive, send]

    middleware = BaseMiddleware(app)
    return [await middleware(scope, "r", "s"), sorted(scope), middleware.inner is app]


async def base_middleware_subclasses() -> object:
    """Contract 10, BaseMiddleware: the typical subclass and one of a function-style factory."""

    class Adding(BaseMiddleware):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> Any:
            scope = {**scope, "tenant": "t1"}
            return await super().__call__(scope, receive, send)

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return scope["tenant"]

    return await Adding(BaseMiddleware(app))({"type": "http"}, None, None)


def app_config() -> object:
    """Contract 10, ChannelsConfig: name, verbose name, no models."""
    from channels.apps import ChannelsConfig

    config = apps.get_app_config("channels")
    return [
        isinstance(config, ChannelsConfig),
        ChannelsConfig.name,
        str(ChannelsConfig.verbose_name),
        list(config.get_models()),
        config.label,
    ]


def module_global_is_patched() -> object:
    """Contract 10, names: ``channels.db.close_old_connections`` is a module attribute."""
    return callable(db.close_old_connections)

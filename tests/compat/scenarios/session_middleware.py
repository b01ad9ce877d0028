"""Contract 05: cookies and sessions."""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.models import Session
from django.core.exceptions import SuspiciousOperation, SynchronousOnlyOperation
from django.test import override_settings

from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.sessions import (
    CookieMiddleware,
    InstanceSessionWrapper,
    SessionMiddleware,
    SessionMiddlewareStack,
)
from support import (
    BYE,
    CONNECT,
    Event,
    aoutcome,
    converse,
    http_scope,
    outcome,
    text,
    websocket_scope,
)

NEEDS_DATABASE = True
REQUEST: Event = {"type": "http.request"}


def _set(*args: Any, **kwargs: Any) -> Any:
    message: Event = {}
    error = outcome(CookieMiddleware.set_cookie, message, *args, **kwargs)
    return error or _readable(message["headers"])


def _readable(headers: list[tuple[bytes, bytes]]) -> list[Any]:
    """Show headers with each date as its distance from now, to within ten seconds."""

    def away(match: re.Match[str]) -> str:
        try:
            seconds = parsedate_to_datetime(match[2]).timestamp() - time.time()
        except ValueError:
            return match[0]
        return match[0] if seconds < -1e6 else f"{match[1]}=now{round(seconds / 10):+d}0s"

    return [
        [name, re.sub(r"(?i)(expires)=([^;]+)", away, value.decode())] for name, value in headers
    ]


def _masked(headers: list[Any], key: str) -> list[Any]:
    return [[name, value.replace(key, "KEY")] for name, value in headers]


# --- CookieMiddleware


async def _cookies(headers: Any, **extra: Any) -> Any:
    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return scope["cookies"]

    return await aoutcome(CookieMiddleware(app)({"headers": headers, **extra}, None, None))


async def cookies_are_parsed() -> object:
    """Contract 05, CookieMiddleware: parsed from ``b"cookie"``, latin-1, always set."""
    return {
        "two": await _cookies([(b"cookie", b"a=1; b=2")]),
        "none": await _cookies([]),
        "other case": await _cookies([(b"Cookie", b"a=1")]),
        "latin-1": await _cookies([(b"cookie", b"a=\xe9")]),
        "quoted": await _cookies([(b"cookie", b'a="x y"; b; c=')]),
        "overrides": await _cookies([(b"cookie", b"a=1")], cookies={"z": "9"}),
        "no headers key": await aoutcome(CookieMiddleware(None)({}, None, None)),
        "header as list": await _cookies([[b"host", b"x"], [b"cookie", b"a=1"]]),
    }


async def cookies_go_into_a_copy_of_the_scope() -> object:
    """Contract 05, CookieMiddleware: the inner app gets a copy, its result is returned."""
    scope = {"headers": [], "other": 1}

    async def app(inner: Event, receive: Any, send: Any) -> Any:
        return [inner is scope, sorted(inner), receive, send]

    middleware = CookieMiddleware(app)
    return [await middleware(scope, "r", "s"), sorted(scope), middleware.inner is app]


async def several_cookie_headers() -> object:
    """Contract 05, quirks: HTTP/2 may send several cookie headers."""
    return await _cookies([(b"cookie", b"a=1"), (b"cookie", b"b=2")])


def set_cookie_bytes() -> object:
    """Contract 05, set_cookie [run]: the exact bytes, quoting and flags."""
    return {
        "key and value": _set("k", "v"),
        "key": _set("k"),
        "number": _set("k", 5),
        "quoted": _set("k", 'a;b,"c é'),
        "no path": _set("k", "v", path=None),
        "domain": _set("k", "v", domain="ex.com", path="/a"),
        "flags": _set("k", "v", secure=True, httponly=True),
        "samesite": [_set("k", "v", samesite=each) for each in ("Strict", "NONE", "Lax", None)],
        "bad samesite": _set("k", "v", samesite="sometimes"),
    }


def set_cookie_ages() -> object:
    """Contract 05, set_cookie: ``max_age`` adds ``expires``; a string ``expires`` is verbatim."""
    return {
        "max_age": _set("k", "v", max_age=3600),
        "zero": _set("k", "v", max_age=0),
        "string": _set("k", "v", expires="some day"),
        "string and age": _set("k", "v", max_age=60, expires="some day"),
    }


def set_cookie_with_a_naive_datetime() -> object:
    """Contract 05, set_cookie: a naive datetime is UTC and becomes ``max_age``."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    future, past = now + datetime.timedelta(seconds=3600), now - datetime.timedelta(days=1)
    return {
        name: [[part, re.sub(r"=3(600|599)\b", "=3600", value)] for part, value in cookie]
        for name, cookie in {
            "future": _set("k", "v", expires=future),
            "past": _set("k", "v", expires=past),
            "replaces the age": _set("k", "v", max_age=5, expires=future),
        }.items()
    }


def set_cookie_with_an_aware_datetime() -> object:
    """Contract 05, quirks [run]: an aware datetime as ``expires``."""
    zone = datetime.timezone(datetime.timedelta(hours=5))
    cookie = _set("k", "v", expires=datetime.datetime.now(zone) + datetime.timedelta(seconds=3600))
    if isinstance(cookie, Exception):
        return cookie
    return [[name, re.sub(r"=3(600|599)\b", "=3600", value)] for name, value in cookie]


def set_cookie_appends() -> object:
    """Contract 05, set_cookie: appended to existing headers, the list is created if missing."""
    message: Event = {"type": "http.response.start", "headers": [(b"a", b"b")]}
    CookieMiddleware.set_cookie(message, "k", "v")
    CookieMiddleware.set_cookie(message, "l", "w")
    return message


def set_cookie_on_a_tuple_of_headers() -> object:
    """Contract 05, quirks: ``message["headers"]`` given as a tuple."""
    message: Event = {"headers": ((b"a", b"b"),)}
    return outcome(CookieMiddleware.set_cookie, message, "k", "v") or message


def delete_cookie_bytes() -> object:
    """Contract 05, delete_cookie: empty value, age 0, the epoch."""
    message: Event = {}
    CookieMiddleware.delete_cookie(message, "k")
    CookieMiddleware.delete_cookie(message, "k", path="/a", domain="ex.com")
    return message


# --- InstanceSessionWrapper


async def wrapper_members() -> object:
    """Contract 05, InstanceSessionWrapper: class lists, names and attributes."""

    async def send(event: Event) -> None:
        pass

    scope = {"type": "http", "cookies": {}, "headers": []}
    wrapper = InstanceSessionWrapper(scope, send)
    store = import_module(settings.SESSION_ENGINE).SessionStore
    return {
        "saves": InstanceSessionWrapper.save_message_types,
        "sets cookies": InstanceSessionWrapper.cookie_response_message_types,
        "cookie": wrapper.cookie_name,
        "store": wrapper.session_store is store,
        "copy": wrapper.scope is not scope
        and "session" in wrapper.scope
        and "session" not in scope,
        "activated": wrapper.activated,
        "send": wrapper.real_send is send,
    }


def wrapper_needs_cookies() -> object:
    """Contract 05, InstanceSessionWrapper: neither ``session`` nor ``cookies`` is a ValueError."""
    return outcome(InstanceSessionWrapper, {"type": "http"}, None)


def wrapper_with_a_session_in_scope() -> object:
    """Contract 05, InstanceSessionWrapper: ``activated`` is False if a session was there."""
    session: dict[str, Any] = {}
    wrapper = InstanceSessionWrapper({"type": "http", "session": session, "cookies": {}}, None)
    return [wrapper.activated, wrapper.scope["session"] is session]


@database_sync_to_async
def _stored(**data: Any) -> Any:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store.update(data)
    store.save()
    return store


@database_sync_to_async
def _rows() -> int:
    return Session.objects.count()


@database_sync_to_async
def _contents(key: str) -> dict[str, Any]:
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return {name: store[name] for name in store.keys()}  # noqa: SIM118


def _cookie_headers(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode())]


async def resolve_session_reads_the_cookie() -> object:
    """Contract 05, resolve_session: the store of the cookie's key becomes ``_wrapped``."""
    store = await _stored(name="ann")
    cookies = {settings.SESSION_COOKIE_NAME: store.session_key}
    wrapper = InstanceSessionWrapper({"type": "http", "cookies": cookies}, None)
    await wrapper.resolve_session()
    session = wrapper.scope["session"]
    return [
        isinstance(session, SessionBase),
        type(session._wrapped).__name__,
        session.session_key == store.session_key,
        await session.aget("name"),
    ]


async def touching_an_unresolved_session() -> object:
    """Contract 05, scope["session"]: a LazyObject, unusable before ``resolve_session``."""
    wrapper = InstanceSessionWrapper({"type": "http", "cookies": {}}, None)
    return outcome(lambda: wrapper.scope["session"]["a"])


# --- scope["session"]


async def session_data_round_trips() -> object:
    """Contract 05, scope["session"]: async API reads what is stored, missing keys are absent."""
    store = await _stored(name="ann", n=3)

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        session = scope["session"]
        return [
            await session.aget("name"),
            await session.aget("n"),
            await session.aget("missing"),
            sorted(await session.akeys()),
            isinstance(session, SessionBase),
        ]

    scope = http_scope(headers=_cookie_headers(store.session_key))
    return await SessionMiddlewareStack(app)(scope, None, None)


async def synchronous_access_in_the_loop() -> object:
    """Contract 05, scope["session"] [run]: it raises SynchronousOnlyOperation in the loop."""
    store = await _stored(name="ann")

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return isinstance(outcome(scope["session"].get, "name"), SynchronousOnlyOperation)

    scope = http_scope(headers=_cookie_headers(store.session_key))
    return await SessionMiddlewareStack(app)(scope, None, None)


async def no_query_until_data_is_touched() -> object:
    """Contract 05, scope["session"]: no query until data is touched."""
    from django.db import connections

    store = await _stored(name="ann")
    statements: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql.split(maxsplit=1)[0])
        return execute(sql, *rest)

    @database_sync_to_async
    def watch() -> None:
        connections["default"].ensure_connection()
        connections["default"].execute_wrappers.append(note)

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        before = list(statements)
        await scope["session"].aget("name")
        return [before, list(statements)]

    await watch()
    scope = http_scope(headers=_cookie_headers(store.session_key))
    return await SessionMiddlewareStack(app)(scope, None, None)


# --- When it saves


def _http(change: Any, status: int = 200) -> Any:
    class Page(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await change(self.scope["session"])
            await self.send_headers(status=status, headers=[(b"a", b"b")])
            await self.send_body(b"x")

    return SessionMiddlewareStack(Page.as_asgi())


async def _nothing(session: Any) -> None:
    pass


async def _note(session: Any) -> None:
    await session.aset("seen", 1)


async def _get(application: Any, headers: Any = ()) -> tuple[list[Any], Any]:
    talk = await converse(application, REQUEST, scope=http_scope(headers=list(headers)))
    start = talk["sent"][0] if talk["sent"] else {"headers": []}
    return _readable(start["headers"]), talk["ended"]


async def an_unmodified_session() -> object:
    """Contract 05, saving [run]: an unmodified HTTP session adds no header and no row."""
    store = await _stored(a=1)
    return [
        await _get(_http(_nothing)),
        await _get(_http(_nothing), _cookie_headers(store.session_key)),
        await _rows(),
    ]


async def a_modified_session_sets_one_cookie() -> object:
    """Contract 05, saving [run]: 200, 302 and 404 set one cookie; 500 neither saves nor sets."""
    seen: list[Any] = []
    for status in (200, 302, 404, 500, 503):
        headers, ended = await _get(_http(_note, status))
        cookies = [value for name, value in headers if name == b"Set-Cookie"]
        keys = [re.search("sessionid=([a-z0-9]+)", value)[1] for value in cookies]  # type: ignore[index]
        stored = [await _contents(key) for key in keys]
        seen.append([status, [_masked(headers, key) for key in keys], stored, ended])
    return [seen, await _rows()]


async def a_cookie_follows_the_settings() -> object:
    """Contract 05, saving 4: domain, path, secure, httponly, samesite; browser-length sessions."""
    seen = []
    tables: list[dict[str, Any]] = [
        {},
        {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
        {
            "SESSION_COOKIE_DOMAIN": "ex.com",
            "SESSION_COOKIE_PATH": "/a",
            "SESSION_COOKIE_SECURE": True,
            "SESSION_COOKIE_HTTPONLY": False,
            "SESSION_COOKIE_SAMESITE": "Strict",
            "SESSION_COOKIE_NAME": "other",
            "SESSION_COOKIE_AGE": 600,
        },
        {"SESSION_COOKIE_SAMESITE": None},
    ]
    for table in tables:
        with override_settings(**table):
            headers, _ = await _get(_http(_note))
        seen.append([re.sub(r"=[a-z0-9]{32}", "=KEY", value) for _, value in headers[1:]])
    return seen


async def samesite_off() -> object:
    """Contract 05, quirks [run]: ``SESSION_COOKIE_SAMESITE = False``."""
    with override_settings(SESSION_COOKIE_SAMESITE=False):
        headers, ended = await _get(_http(_note))
    return [[re.sub(r"=[a-z0-9]{32}", "=KEY", value) for _, value in headers[1:]], ended]


async def save_every_request() -> object:
    """Contract 05, saving 2: ``SESSION_SAVE_EVERY_REQUEST`` refreshes the cookie of a session."""
    store = await _stored(a=1)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        headers, ended = await _get(_http(_nothing), _cookie_headers(store.session_key))
    return [_masked(headers, store.session_key), ended, await _rows()]


async def save_every_request_of_an_anonymous_visitor() -> object:
    """Contract 05, quirks [run]: save-every-request and an empty session: rows inserted."""
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        headers, ended = await _get(_http(_nothing))
    return [headers, ended, await _rows()]


async def save_every_request_with_a_stale_cookie() -> object:
    """Contract 05, quirks [run]: save-every-request, and a cookie whose session is gone."""
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        headers, ended = await _get(_http(_nothing), _cookie_headers("x" * 32))
    return [headers, isinstance(ended, SuspiciousOperation), await _rows()]


async def _flush(session: Any) -> None:
    await session.aflush()


async def a_flushed_session_deletes_the_cookie() -> object:
    """Contract 05, saving 4: empty deletes the cookie, only if the request carried it."""
    store = await _stored(a=1)
    with_cookie, ended = await _get(_http(_flush), _cookie_headers(store.session_key))
    without, _ = await _get(_http(_flush))
    return [with_cookie, ended, without]


async def rows_after_a_flush() -> object:
    """Contract 05, quirks [run]: after ``flush()`` the empty session is saved: rows left."""
    store = await _stored(a=1)
    await _get(_http(_flush), _cookie_headers(store.session_key))
    return await _rows()


async def deleting_with_configured_attributes() -> object:
    """Contract 05, quirks: cookie deletion and the configured samesite and secure."""
    store = await _stored(a=1)
    with override_settings(SESSION_COOKIE_SAMESITE="Strict", SESSION_COOKIE_SECURE=True):
        headers, _ = await _get(_http(_flush), _cookie_headers(store.session_key))
    return headers[1:]


async def a_session_deleted_meanwhile() -> object:
    """Contract 05, save_session: an UpdateError becomes SuspiciousOperation."""
    store = await _stored(a=1)

    async def lose(session: Any) -> None:
        await session.aset("b", 2)
        await database_sync_to_async(Session.objects.all().delete)()

    _, ended = await _get(_http(lose), _cookie_headers(store.session_key))
    return isinstance(ended, SuspiciousOperation)


async def a_session_deleted_meanwhile_is_interrupted() -> object:
    """Contract 05, quirks: is the error Django's SessionInterrupted as well?"""
    store = await _stored(a=1)

    async def lose(session: Any) -> None:
        await session.aset("b", 2)
        await database_sync_to_async(Session.objects.all().delete)()

    _, ended = await _get(_http(lose), _cookie_headers(store.session_key))
    return isinstance(ended, SessionInterrupted)


async def a_failing_store() -> object:
    """Contract 05, save_session: UpdateError of any store, other errors propagate."""
    seen: list[Any] = []
    for error in (UpdateError(), LookupError()):

        class Failing(InstanceSessionWrapper):
            pass

        wrapper = Failing({"type": "http", "cookies": {}}, None)
        await wrapper.resolve_session()

        async def asave(error: Exception = error) -> None:
            raise error

        def save(*_args: Any, error: Exception = error, **_kwargs: Any) -> None:
            raise error

        wrapper.scope["session"]._wrapped.asave = asave
        wrapper.scope["session"]._wrapped.save = save
        ended = await aoutcome(wrapper.save_session())
        seen.append(isinstance(ended, SuspiciousOperation) or ended)
    return seen


async def websocket_messages_never_save() -> object:
    """Contract 05, saving [run]: WebSocket messages neither save nor set a cookie."""

    class Socket(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.scope["session"].aset("seen", 1)
            await self.accept()

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.scope["session"].asave()
            await self.send("saved")

    application = SessionMiddlewareStack(Socket.as_asgi())
    unsaved = await converse(application, CONNECT, BYE)
    rows = await _rows()
    saved = await converse(application, CONNECT, text("save"), BYE)
    return [unsaved, rows, saved, await _rows()]


async def the_message_is_mutated_and_forwarded() -> object:
    """Contract 05, saving 5: the same dict is forwarded, ``send`` returns the result."""
    seen: list[Any] = []

    async def send(event: Event) -> str:
        seen.append(event)
        return "sent"

    wrapper = InstanceSessionWrapper({"type": "http", "cookies": {}}, send)
    await wrapper.resolve_session()
    await wrapper.scope["session"].aset("a", 1)
    start: Event = {"type": "http.response.start"}
    result = await wrapper.send(start)
    return [result, seen[0] is start, sorted(start), len(start["headers"])]


async def message_types_can_be_extended() -> object:
    """Contract 05, InstanceSessionWrapper: projects extend the class lists in a subclass."""

    class Sockets(InstanceSessionWrapper):
        save_message_types = [*InstanceSessionWrapper.save_message_types, "websocket.accept"]
        cookie_response_message_types = [
            *InstanceSessionWrapper.cookie_response_message_types,
            "websocket.accept",
        ]

    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    wrapper = Sockets({"type": "websocket", "cookies": {}}, send)
    await wrapper.resolve_session()
    await wrapper.scope["session"].aset("a", 1)
    await wrapper.send({"type": "websocket.accept"})
    await wrapper.send({"type": "websocket.send", "text": "x"})
    key = wrapper.scope["session"].session_key
    return [_masked(_readable(sent[0]["headers"]), key), sent[1], await _rows()]


async def a_session_already_in_the_scope() -> object:
    """Contract 05, quirks [run]: nested stacks: which store does the inner app see?"""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return await scope["session"].aget("unsaved")

    async def between(scope: Event, receive: Any, send: Any) -> Any:
        await scope["session"].aset("unsaved", 1)
        return await SessionMiddlewareStack(app)(scope, receive, send)

    return await SessionMiddlewareStack(between)(http_scope(), None, None)


async def a_prefilled_session_without_cookies() -> object:
    """Contract 05, quirks [run]: ``session`` in the scope of a test, but no ``cookies``."""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return scope["session"]["name"]

    scope = websocket_scope(session={"name": "ann"})
    return await aoutcome(SessionMiddleware(app)(scope, None, None))


async def session_middleware_passes_receive_and_result() -> object:
    """Contract 05, SessionMiddleware: ``inner(wrapper.scope, receive, wrapper.send)``."""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return [receive, callable(send), sorted(scope)]

    middleware = SessionMiddleware(app)
    scope = {"type": "http", "cookies": {}}
    return [await middleware(scope, "r", None), middleware.inner is app, sorted(scope)]


async def a_stopping_app_inside_the_stack() -> object:
    """Contract 05: exceptions of the inner app pass through the stack."""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        raise StopConsumer

    return await aoutcome(SessionMiddlewareStack(app)(http_scope(), None, None))


def the_stack_is_cookies_around_sessions() -> object:
    """Contract 05, SessionMiddlewareStack: ``CookieMiddleware(SessionMiddleware(inner))``."""
    inner = object()
    stack = SessionMiddlewareStack(inner)
    return [
        type(stack).__name__,
        type(stack.inner).__name__,
        stack.inner.inner is inner,
    ]


async def sessions_serve_connections_concurrently() -> object:
    """Contract 05: one middleware instance, many connections at once, each its own session."""
    stores = [await _stored(n=n) for n in range(4)]

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        await asyncio.sleep(0)
        return await scope["session"].aget("n")

    stack = SessionMiddlewareStack(app)
    scopes = [http_scope(headers=_cookie_headers(store.session_key)) for store in stores]
    return await asyncio.gather(*(stack(scope, None, None) for scope in scopes))


async def a_forged_or_expired_cookie() -> object:
    """Contract 05: a key that nobody gave out is an empty session, no error."""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return [await scope["session"].aget("n"), scope["session"].session_key]

    seen = []
    for key in ("x" * 32, "short", "../../etc/passwd", "a b;c"):
        scope = http_scope(headers=_cookie_headers(key))
        seen.append(await aoutcome(SessionMiddlewareStack(app)(scope, None, None)))
    return seen

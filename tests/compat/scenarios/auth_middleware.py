"""Contract 06: users, login and logout."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    user_logged_in,
    user_logged_out,
)
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings

from channels import auth
from channels.auth import (
    AuthMiddleware,
    AuthMiddlewareStack,
    UserLazyObject,
    _get_user_session_key,
    get_user,
    login,
    logout,
)
from channels.db import DatabaseSyncToAsync, database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.sessions import CookieMiddleware, SessionMiddleware
from support import (
    BYE,
    CONNECT,
    Event,
    aoutcome,
    atext_of,
    converse,
    http_scope,
    outcome,
    websocket_scope,
)

NEEDS_DATABASE = True
BACKEND = "django.contrib.auth.backends.ModelBackend"
REQUEST: Event = {"type": "http.request"}
NO_SESSION = "Cannot find session in scope. You should wrap your consumer in SessionMiddleware."
NO_USER = "User must be passed as an argument or must be present in the scope."


class SecondBackend(ModelBackend):
    """Another backend to choose from."""


class RefusingBackend(BaseBackend):
    """A backend that knows nobody."""

    def get_user(self, user_id: int) -> None:
        return None


def _store(key: str | None = None) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


@database_sync_to_async
def _user(name: str = "ann") -> Any:
    return get_user_model().objects.create_user(name, password="secret")


@database_sync_to_async
def _session_of(user: Any, **changes: Any) -> Any:
    store = _store()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = BACKEND
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    for key, value in changes.items():
        if value is None:
            del store[key]
        else:
            store[key] = value
    store.save()
    return store


@database_sync_to_async
def _data(session: Any) -> dict[str, Any]:
    return {key: session[key] for key in sorted(session.keys())}


def _cookie(store: Any) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={store.session_key}".encode())]


def _named(user: Any) -> str:
    return "anonymous" if isinstance(user, AnonymousUser) else user.get_username()


# --- get_user


def functions_are_database_sync_to_async() -> object:
    """Contract 06: get_user, login and logout are DatabaseSyncToAsync objects with ``.func``."""
    return [
        [isinstance(each, DatabaseSyncToAsync), iscoroutinefunction(each), callable(each.func)]
        for each in (get_user, login, logout)
    ]


async def get_user_of_a_session() -> object:
    """Contract 06, get_user 2 to 5: the user, or anonymous where anything is missing or differs."""
    user = await _user()
    tables: dict[str, dict[str, Any]] = {
        "whole": {},
        "no user id": {SESSION_KEY: None},
        "no backend": {BACKEND_SESSION_KEY: None},
        "backend not configured": {BACKEND_SESSION_KEY: "scenarios.auth_middleware.SecondBackend"},
        "unknown user": {SESSION_KEY: "999"},
        "no hash": {HASH_SESSION_KEY: None},
        "another hash": {HASH_SESSION_KEY: "other"},
    }
    seen = {}
    for name, changes in tables.items():
        session = await _session_of(user, **changes)
        scope = {"session": session}
        found = await get_user(scope)
        data = await _data(session)
        seen[name] = [_named(found), sorted(data), session.session_key is None, "user" in scope]
    return seen


async def get_user_without_a_session() -> object:
    """Contract 00 and 06, get_user 1: ValueError with the pinned text."""
    return [await aoutcome(get_user({})), await atext_of(get_user({})) == NO_SESSION]


async def get_user_of_an_empty_session() -> object:
    """Contract 06, get_user 2: an empty session is anonymous."""
    return _named(await get_user({"session": await database_sync_to_async(_store)()}))


async def get_user_of_a_backend_that_knows_nobody() -> object:
    """Contract 06, get_user 4: the backend's ``None`` is anonymous, the session untouched."""
    path = "scenarios.auth_middleware.RefusingBackend"
    session = await _session_of(await _user(), **{BACKEND_SESSION_KEY: path})
    with override_settings(AUTHENTICATION_BACKENDS=[path]):
        found = await get_user({"session": session})
    return [_named(found), sorted(await _data(session))]


async def get_user_with_a_malformed_id() -> object:
    """Contract 06, get_user [run] and quirks: a session whose user id is garbage."""
    session = await _session_of(await _user(), **{SESSION_KEY: "garbage"})
    found = await aoutcome(get_user({"session": session}))
    return found if isinstance(found, Exception) else _named(found)


async def secret_key_fallbacks() -> object:
    """Contract 06, quirks [run]: the key was rotated; is the session still good?"""
    user = await _user()
    session = await _session_of(user)
    with override_settings(SECRET_KEY="rotated", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        found = await get_user({"session": session, "type": "websocket"})
        fresh = (await _data(session)).get(HASH_SESSION_KEY) == user.get_session_auth_hash()
    return {"user": _named(found), "fresh hash stored": fresh}


async def secret_key_fallbacks_over_http() -> object:
    """Contract 06, quirks: after a rotation, over HTTP: who is it, and is a new cookie set?"""
    session = await _session_of(await _user())

    class Whoami(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, self.scope["user"].get_username().encode())

    application = AuthMiddlewareStack(Whoami.as_asgi())
    scope = http_scope(headers=_cookie(session))
    with override_settings(SECRET_KEY="rotated", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        sent = (await converse(application, REQUEST, scope=scope))["sent"]
    cookies = [value for name, value in sent[0]["headers"] if name == b"Set-Cookie"]
    return {
        "user": sent[1]["body"],
        "cookies": len(cookies),
        "a new key": session.session_key.encode() not in b"".join(cookies),
    }


async def user_session_key() -> object:
    """Contract 06, names: ``_get_user_session_key`` converts the pk, KeyError if absent."""
    user = await _user()
    session = await _session_of(user)
    read = database_sync_to_async(lambda: _get_user_session_key(session))
    empty = database_sync_to_async(lambda: outcome(_get_user_session_key, _store()))
    return [await read() == user.pk, type(await read()).__name__, await empty()]


# --- login


async def _login(session: Any, *args: Any, **kwargs: Any) -> list[Any]:
    scope: Event = {"session": session, **kwargs.pop("scope", {})}
    signals: list[Any] = []

    def note(**given: Any) -> None:
        signals.append([given["sender"].__name__, given["request"], given["user"].username])

    user_logged_in.connect(note)
    try:
        ended = await aoutcome(login(scope, *args, **kwargs))
    finally:
        user_logged_in.disconnect(note)
    user = _named(scope["user"]) if scope.get("user") is not None else None
    return [ended, user, signals]


async def login_stores_three_keys() -> object:
    """Contract 06, login 3 to 7: anonymous data retained, key cycled, user in scope, signal."""
    user = await _user()

    @database_sync_to_async
    def anonymous() -> Any:
        store = _store()
        store["basket"] = ["apple"]
        store.save()
        return store

    session = await anonymous()
    before = session.session_key
    seen = await _login(session, user)
    data = await _data(session)
    return {
        "login": seen,
        "keys": sorted(data),
        "user id": data[SESSION_KEY] == str(user.pk),
        "backend": data[BACKEND_SESSION_KEY],
        "hash": data[HASH_SESSION_KEY] == user.get_session_auth_hash(),
        "key cycled": session.session_key != before,
        "basket": data["basket"],
    }


async def login_without_session_or_user() -> object:
    """Contract 00 and 06, login 1 and 2: ValueError with the pinned texts."""
    session = await database_sync_to_async(_store)()
    user = await _user()
    return {
        "no session": await atext_of(login({}, user)) == NO_SESSION,
        "no user": await atext_of(login({"session": session}, None)) == NO_USER,
        "kinds": [
            await aoutcome(login({}, user)),
            await aoutcome(login({"session": session}, None)),
            await aoutcome(login({"session": session, "user": None}, None)),
        ],
    }


async def login_takes_the_user_of_the_scope() -> object:
    """Contract 06, login 2: ``None`` means ``scope["user"]``."""
    session = await database_sync_to_async(_store)()
    return await _login(session, None, scope={"user": await _user()})


async def login_over_an_existing_user() -> object:
    """Contract 06, login 3: another user or another hash flushes, the same user keeps the key."""
    ann, bob = await _user("ann"), await _user("bob")
    seen = {}
    for name, user, changes in [
        ("same user", ann, {}),
        ("other user", bob, {}),
        ("other hash", ann, {HASH_SESSION_KEY: "other"}),
    ]:
        session = await _session_of(ann, basket=["apple"], **changes)
        before = session.session_key
        await _login(session, user)
        data = await _data(session)
        seen[name] = ["basket" in data, session.session_key == before, sorted(data)]
    return seen


async def login_chooses_a_backend() -> object:
    """Contract 06, login 4: argument, ``user.backend``, the single one, else ValueError."""
    second = "scenarios.auth_middleware.SecondBackend"
    user = await _user()
    seen = []
    with override_settings(AUTHENTICATION_BACKENDS=[BACKEND, second]):
        for backend, attribute in [(None, None), (second, None), (None, second), (BACKEND, second)]:
            session = await database_sync_to_async(_store)()
            user.__dict__.pop("backend", None)
            if attribute:
                user.backend = attribute
            ended = (await _login(session, user, backend=backend))[0]
            seen.append([ended, (await _data(session)).get(BACKEND_SESSION_KEY)])
    return seen


async def login_of_a_user_without_a_hash() -> object:
    """Contract 06, login 5: an empty hash for a user model without a hash method."""
    user = await _user()
    session = await database_sync_to_async(_store)()

    class Hashless:
        pk = user.pk
        _meta = user._meta
        id = user.pk
        username = "hashless"

        def get_username(self) -> str:
            return self.username

    seen = await _login(session, Hashless())
    return [seen[1:], (await _data(session))[HASH_SESSION_KEY]]


async def login_of_an_anonymous_user() -> object:
    """Contract 06, quirks: ``login(scope, AnonymousUser())``."""
    session = await database_sync_to_async(_store)()
    return await aoutcome(login({"session": session}, AnonymousUser()))


async def login_and_logout_save_nothing_for_the_client() -> object:
    """Contract 06: after ``login`` the stored row does not know the user until it is saved."""
    user = await _user()
    session = await database_sync_to_async(_store)()
    await login({"session": session}, user)
    stored = await _data(await database_sync_to_async(_store)(session.session_key))
    modified = session.modified
    await database_sync_to_async(session.save)()
    after = await _data(await database_sync_to_async(_store)(session.session_key))
    return [sorted(stored), modified, sorted(after)]


def login_from_sync_code() -> object:
    """Contract 06: ``async_to_sync(login)(scope, user)`` and back out again."""
    user = get_user_model().objects.create_user("ann", password="secret")
    scope: Event = {"session": _store()}
    async_to_sync(login)(scope, user)
    inside = [_named(scope["user"]), _named(async_to_sync(get_user)(scope))]
    async_to_sync(logout)(scope)
    return [inside, _named(scope["user"]), sorted(scope["session"].keys())]


# --- logout


async def _logout(scope: Event) -> list[Any]:
    signals: list[Any] = []

    def note(**given: Any) -> None:
        keys = sorted(scope["session"].keys())
        signals.append([given["sender"].__name__, given["request"], given["user"].username, keys])

    user_logged_out.connect(note)
    try:
        ended = await aoutcome(logout(scope))
    finally:
        user_logged_out.disconnect(note)
    return [ended, signals, _named(scope["user"]) if "user" in scope else "no user key"]


async def logout_of_a_user() -> object:
    """Contract 06, logout 2 to 4: the signal comes before the flush; then anonymous."""
    user = await _user()
    session = await _session_of(user)
    seen = await _logout({"session": session, "user": user})
    return [seen, await _data(session), session.session_key]


async def logout_without_a_user() -> object:
    """Contract 06, logout 2 to 4: no user or an anonymous one: no signal, always a flush."""
    seen = []
    for extra in ({}, {"user": AnonymousUser()}, {"user": None}):
        session = await _session_of(await _user(f"user{len(seen)}"))
        logged_out = await _logout({"session": session, **extra})
        seen.append([logged_out, await _data(session)])
    return seen


async def logout_without_a_session() -> object:
    """Contract 06, logout 1: ValueError."""
    return await aoutcome(logout({"user": AnonymousUser()}))


# --- The middleware


def user_lazy_object_before_it_is_resolved() -> object:
    """Contract 06, UserLazyObject: touching it before it is resolved is a ValueError."""
    return outcome(lambda: UserLazyObject().username)


async def user_lazy_object_after_it_is_resolved() -> object:
    """Contract 06, UserLazyObject: isinstance of the model, ``type()`` still UserLazyObject."""
    user = await _user()
    session = await _session_of(user)

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        found = scope["user"]
        return [
            isinstance(found, get_user_model()),
            type(found).__name__,
            found.username,
            found == user,
            found.is_authenticated,
        ]

    scope = websocket_scope(headers=_cookie(session))
    return await AuthMiddlewareStack(app)(scope, None, None)


async def the_stack_without_a_cookie() -> object:
    """Contract 06, AuthMiddlewareStack: a visitor without a session is anonymous."""

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return [
            isinstance(scope["user"], AnonymousUser),
            scope["user"].is_authenticated,
            sorted(scope),
        ]

    scope = websocket_scope()
    return [await AuthMiddlewareStack(app)(scope, None, None), sorted(scope)]


def populate_scope() -> object:
    """Contract 06, populate_scope: needs a session; adds a placeholder if there is no user."""
    middleware = AuthMiddleware(None)
    scope: Event = {"session": {}}
    middleware.populate_scope(scope)
    given: Event = {"session": {}, "user": "somebody"}
    middleware.populate_scope(given)
    return [
        outcome(middleware.populate_scope, {}),
        type(scope["user"]).__name__,
        given["user"],
        inspect.iscoroutinefunction(middleware.populate_scope),
        inspect.iscoroutinefunction(middleware.resolve_scope),
    ]


async def hooks_are_called_in_order_on_the_copy() -> object:
    """Contract 06, AuthMiddleware: copy, populate, resolve, delegate; both can be overridden."""
    order: list[Any] = []

    class Token(AuthMiddleware):
        def populate_scope(self, scope: Event) -> None:
            order.append(["populate", scope is original])
            scope["user"] = UserLazyObject()

        async def resolve_scope(self, scope: Event) -> None:
            order.append(["resolve", sorted(scope)])
            scope["user"]._wrapped = AnonymousUser()

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        order.append(["app", _named(scope["user"]._wrapped)])
        return "result"

    original: Event = {"type": "websocket", "path": "/"}
    middleware = Token(app)
    return [
        await middleware(original, None, None),
        order,
        sorted(original),
        middleware.inner is app,
    ]


async def get_user_is_looked_up_when_called() -> object:
    """Contract 06, names: tests patch ``channels.auth.get_user``."""

    async def fake(scope: Event) -> str:
        return "patched"

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return scope["user"]._wrapped

    with mock.patch("channels.auth.get_user", fake):
        return await AuthMiddleware(app)({"session": {}}, None, None)


async def a_preset_user() -> object:
    """Contract 06, quirks [run]: ``scope["user"]`` set by an outer middleware, or None."""
    user = await _user()

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        found = scope["user"]
        return [_named(found) if found is not None else None, "_wrapped" in vars(found)]

    seen = []
    for preset in (user, None):
        session = await _session_of(user)
        scope = websocket_scope(session=session, cookies={}, user=preset)
        with mock.patch.object(auth, "get_user", wraps=auth.get_user) as query:
            seen.append([await aoutcome(AuthMiddleware(app)(scope, None, None)), query.call_count])
    return seen


def the_stack_is_cookies_around_sessions_around_auth() -> object:
    """Contract 06, AuthMiddlewareStack: Cookie(Session(Auth(inner)))."""
    classes = [CookieMiddleware, SessionMiddleware, AuthMiddleware]
    walk, chain = AuthMiddlewareStack(None), []
    while walk is not None:
        chain.append([each.__name__ for each in classes if isinstance(walk, each)])
        walk = walk.inner
    return chain


async def a_foreign_origin_and_the_stack() -> object:
    """Contract 06, AuthMiddlewareStack: a browser page of another site opens a socket."""
    headers = [(b"host", b"testserver"), (b"origin", b"http://evil.example")]
    own = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    application = AuthMiddlewareStack(AsyncWebsocketConsumer.as_asgi())
    return {
        name: (await converse(application, CONNECT, BYE, scope=websocket_scope(headers=given)))[
            "sent"
        ]
        for name, given in {"foreign": headers, "own": own, "none": []}.items()
    }


async def logging_in_over_http_sets_the_cookie() -> object:
    """Contract 06, login: before the response starts, so that the middleware sets the cookie."""
    user = await _user()

    class Login(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await login(self.scope, user)
            await self.send_response(200, b"in")

    class Whoami(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, self.scope["user"].get_username().encode() or b"nobody")

    talk = await converse(AuthMiddlewareStack(Login.as_asgi()), REQUEST, scope=http_scope())
    cookies = [value for name, value in talk["sent"][0]["headers"] if name == b"Set-Cookie"]
    headers = [(b"cookie", cookies[0].split(b";")[0])]
    after = await converse(
        AuthMiddlewareStack(Whoami.as_asgi()), REQUEST, scope=http_scope(headers=headers)
    )
    return [len(cookies), after["sent"][1]["body"]]


async def login_in_a_consumer_changes_its_scope_alone() -> object:
    """Contract 06, login 6: only this scope dict; copies above do not see it."""
    user = await _user()

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        await login(scope, user)
        return _named(scope["user"])

    class Outer(BaseMiddleware):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> Any:
            inner = dict(scope)
            return [await self.inner(inner, receive, send), "user" in scope]

    return await Outer(AuthMiddlewareStack(app))(websocket_scope(), None, None)


async def the_contracts_token_middleware() -> object:
    """Contract 06, example: a token middleware puts the user into a copied scope."""

    class TokenAuth(BaseMiddleware):
        async def __call__(self, scope: Event, receive: Any, send: Any) -> Any:
            user = scope["query_string"].decode().removeprefix("token=")
            return await super().__call__({**scope, "user": user}, receive, send)

    async def app(scope: Event, receive: Any, send: Any) -> Any:
        return scope["user"]

    return await TokenAuth(app)(websocket_scope(query_string=b"token=ann"), None, None)

"""Users of connections: loading, logging in and out, and who is refused before any of it."""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    user_logged_in,
    user_logged_out,
)
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import override_settings
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

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
from channels.db import DatabaseSyncToAsync
from channels.sessions import CookieMiddleware, SessionMiddleware
from channels.typing import Event, Receive, Scope, Send

BACKEND = "django.contrib.auth.backends.ModelBackend"
NO_SESSION = "Cannot find session in scope. You should wrap your consumer in SessionMiddleware."
NO_USER = "User must be passed as an argument or must be present in the scope."
ROTATED = override_settings(SECRET_KEY="rotated", SECRET_KEY_FALLBACKS=["a key for tests alone"])


class SecondBackend(ModelBackend):
    """Another backend to choose from."""


class HashlessBackend(ModelBackend):
    """Gives users of a kind that has no session hash."""

    def get_user(self, user_id: int) -> Any:
        return SimpleNamespace(pk=user_id)


SECOND = f"{SecondBackend.__module__}.SecondBackend"
HASHLESS = f"{HashlessBackend.__module__}.HashlessBackend"
TWO_BACKENDS = override_settings(AUTHENTICATION_BACKENDS=[BACKEND, SECOND])


def in_transaction(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test whose queries all run in the thread of its transaction."""

    @pytest.mark.django_db
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async_to_sync(test)(*args, **kwargs)

    return run


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", password="secret")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="secret")


def session_of(user: Any, **changes: Any) -> SessionStore:
    """Store a session in which ``user`` is logged in; ``None`` leaves a key out."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.update({key: value for key, value in changes.items() if value is not None})
    for key in [key for key, value in changes.items() if value is None]:
        del session[key]
    session.save()
    return session


@pytest.fixture
def signals() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    seen: list[tuple[str, dict[str, Any]]] = []

    def logged_in(*, signal: object, **given: Any) -> None:
        seen.append(("in", given))

    def logged_out(*, signal: object, **given: Any) -> None:
        seen.append(("out", given))

    user_logged_in.connect(logged_in)
    user_logged_out.connect(logged_out)
    yield seen
    user_logged_in.disconnect(logged_in)
    user_logged_out.disconnect(logged_out)


# All three


@pytest.mark.parametrize("function", [get_user, login, logout])
def test_each_is_awaitable_and_gives_its_sync_body(function: Any) -> None:
    assert isinstance(function, DatabaseSyncToAsync)
    assert iscoroutinefunction(function)
    assert inspect.isfunction(function.func)


@pytest.mark.parametrize(
    "function", [get_user.func, lambda scope: login.func(scope, None), logout.func]
)
def test_without_a_session_the_missing_middleware_is_named(function: Any) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        function({"user": AnonymousUser()})

    assert str(caught.value) == NO_SESSION


@pytest.mark.django_db
def test_they_work_from_sync_code() -> None:
    ann = User.objects.create_user("ann")
    scope: Scope = {"session": SessionStore()}

    async_to_sync(login)(scope, ann)
    assert scope["user"] == async_to_sync(get_user)(scope) == ann

    async_to_sync(logout)(scope)
    assert isinstance(scope["user"], AnonymousUser)


# get_user


def test_the_user_of_a_session_is_found(ann: User) -> None:
    scope = {"session": session_of(ann)}

    assert get_user.func(scope) == ann
    assert "user" not in scope


@pytest.mark.parametrize(
    "changes",
    [
        {SESSION_KEY: None},
        {SESSION_KEY: "999"},
        {SESSION_KEY: "no number"},
        {SESSION_KEY: "9" * 100},
        {SESSION_KEY: ["1"]},
        {BACKEND_SESSION_KEY: None},
        {BACKEND_SESSION_KEY: SECOND},
        {BACKEND_SESSION_KEY: 5},
    ],
)
def test_a_session_that_names_nobody_is_anonymous_and_kept(
    ann: User, changes: dict[str, Any]
) -> None:
    session = session_of(ann, **changes)
    before = dict(session.items())

    assert isinstance(get_user.func({"session": session}), AnonymousUser)

    assert dict(session.items()) == before
    assert Session.objects.count() == 1


def test_an_inactive_user_is_anonymous(ann: User) -> None:
    session = session_of(ann)
    User.objects.update(is_active=False)

    assert isinstance(get_user.func({"session": session}), AnonymousUser)


@pytest.mark.parametrize("given", [None, "", "another"])
def test_a_session_of_an_older_password_is_flushed(ann: User, given: str | None) -> None:
    session = session_of(ann, **{HASH_SESSION_KEY: given})

    assert isinstance(get_user.func({"session": session}), AnonymousUser)

    assert session.is_empty()
    assert Session.objects.count() == 0


@pytest.mark.parametrize("scope", [{"type": "websocket"}, {}])
def test_a_rotated_key_keeps_a_websockets_session_under_its_cookie(ann: User, scope: Scope) -> None:
    session = session_of(ann)
    key = session.session_key

    with ROTATED:
        found = get_user.func({**scope, "session": session})

        assert found == ann
        assert session[HASH_SESSION_KEY] == ann.get_session_auth_hash()
    assert session.session_key == key
    assert Session.objects.get().session_key == key


def test_a_rotated_key_cycles_the_session_where_a_response_brings_the_cookie(ann: User) -> None:
    session = session_of(ann)
    key = session.session_key

    with ROTATED:
        found = get_user.func({"type": "http", "session": session})

        assert found == ann
        assert session[HASH_SESSION_KEY] == ann.get_session_auth_hash()
    assert session.session_key != key
    assert session.modified
    assert Session.objects.get().session_key == session.session_key


@override_settings(SECRET_KEY="rotated", SECRET_KEY_FALLBACKS=["yet another"])
def test_a_key_that_is_no_fallback_flushes_the_session(ann: User) -> None:
    with override_settings(SECRET_KEY="a key for tests alone"):
        session = session_of(ann)

    assert isinstance(get_user.func({"session": session}), AnonymousUser)
    assert session.is_empty()


@override_settings(AUTHENTICATION_BACKENDS=[HASHLESS])
def test_a_user_without_session_hash_needs_none(ann: User) -> None:
    session = session_of(ann, **{BACKEND_SESSION_KEY: HASHLESS, HASH_SESSION_KEY: None})

    assert get_user.func({"session": session}).pk == ann.pk


def test_the_session_key_is_converted_to_the_models(ann: User) -> None:
    assert _get_user_session_key(session_of(ann)) == ann.pk
    with pytest.raises(KeyError):
        _get_user_session_key(SessionStore())


# login


def test_login_keeps_anonymous_data_under_a_new_key(
    ann: User, signals: list[tuple[str, dict[str, Any]]]
) -> None:
    session = SessionStore()
    session["basket"] = ["apple"]
    session.save()
    key = session.session_key
    scope: Scope = {"session": session}

    login.func(scope, ann)

    assert session.session_key != key
    assert dict(session.items()) == {
        "basket": ["apple"],
        SESSION_KEY: str(ann.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: ann.get_session_auth_hash(),
    }
    assert scope["user"] is ann
    assert signals == [("in", {"sender": User, "request": None, "user": ann})]


def test_login_saves_nothing_for_the_client(ann: User) -> None:
    session = SessionStore()

    login.func({"session": session}, ann)

    assert session.modified
    assert SESSION_KEY not in SessionStore(session.session_key)


def test_login_takes_the_scopes_user_where_none_is_given(ann: User) -> None:
    scope: Scope = {"session": SessionStore(), "user": SimpleLazyObject(lambda: ann)}

    login.func(scope, None)

    assert scope["session"][SESSION_KEY] == str(ann.pk)


def test_login_of_the_same_user_keeps_the_session(ann: User) -> None:
    session = session_of(ann, basket=["apple"])
    key = session.session_key

    login.func({"session": session}, ann)

    assert session.session_key == key
    assert session["basket"] == ["apple"]


@pytest.mark.parametrize("changes", [{HASH_SESSION_KEY: "another"}, {SESSION_KEY: "no number"}])
def test_login_over_a_session_that_is_not_the_users_starts_anew(
    ann: User, changes: dict[str, Any]
) -> None:
    session = session_of(ann, basket=["apple"], **changes)

    login.func({"session": session}, ann)

    assert "basket" not in session
    assert session[SESSION_KEY] == str(ann.pk)


def test_login_over_another_users_session_starts_anew(ann: User, bob: User) -> None:
    session = session_of(ann, basket=["apple"])

    login.func({"session": session}, bob)

    assert "basket" not in session
    assert session[SESSION_KEY] == str(bob.pk)


@pytest.mark.parametrize("scope", [{}, {"user": None}])
def test_login_of_nobody_is_refused(scope: Scope) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        login.func({"session": {}, **scope}, None)

    assert str(caught.value) == NO_USER


@pytest.mark.parametrize("given", [None, AnonymousUser()])
def test_login_of_an_anonymous_user_is_refused(given: AnonymousUser | None) -> None:
    scope = {"session": {}, "user": AnonymousUser()}

    with pytest.raises(
        ValueError, match="cannot log in AnonymousUser; expected a user of the user model"
    ):
        login.func(scope, given)

    assert scope["session"] == {}


@TWO_BACKENDS
@pytest.mark.parametrize(
    ("argument", "attribute", "chosen"),
    [(SECOND, None, SECOND), (None, SECOND, SECOND), (BACKEND, SECOND, BACKEND)],
)
def test_the_backend_is_the_argument_or_the_users(
    ann: User, argument: str | None, attribute: str | None, chosen: str
) -> None:
    session = SessionStore()
    if attribute:
        ann.backend = attribute

    login.func({"session": session}, ann, backend=argument)

    assert session[BACKEND_SESSION_KEY] == chosen


@TWO_BACKENDS
def test_an_unclear_backend_is_refused_before_anything_changes(ann: User, bob: User) -> None:
    session = session_of(bob)
    scope: Scope = {"session": session}

    with pytest.raises(
        ValueError, match="2 authentication backends are configured; pass the backend argument"
    ):
        login.func(scope, ann)

    assert session[SESSION_KEY] == str(bob.pk)
    assert "user" not in scope


def test_a_backend_that_is_no_path_is_refused(ann: User) -> None:
    with pytest.raises(TypeError, match="backend must be a dotted path, not <class"):
        login.func({"session": SessionStore()}, ann, backend=ModelBackend)


def test_a_user_without_session_hash_is_stored_with_an_empty_one(ann: User) -> None:
    class Hashless:
        pk = ann.pk
        _meta = ann._meta
        id = ann.pk

    session = SessionStore()
    user_logged_in.disconnect(dispatch_uid="update_last_login")
    try:
        login.func({"session": session}, Hashless())
    finally:
        from django.contrib.auth.models import update_last_login

        user_logged_in.connect(update_last_login, dispatch_uid="update_last_login")

    assert session[HASH_SESSION_KEY] == ""


# logout


def test_logout_tells_receivers_before_it_flushes(
    ann: User, signals: list[tuple[str, dict[str, Any]]]
) -> None:
    session = session_of(ann)
    seen: list[bool] = []

    def look(**given: Any) -> None:
        seen.append(SESSION_KEY in session)

    user_logged_out.connect(look)
    scope: Scope = {"session": session, "user": ann}
    try:
        logout.func(scope)
    finally:
        user_logged_out.disconnect(look)

    assert seen == [True]
    given = {"sender": User, "request": None, "user": ann, "session": session}
    assert signals == [("out", given)]
    assert session.is_empty()
    assert isinstance(scope["user"], AnonymousUser)


@pytest.mark.parametrize("scope", [{}, {"user": AnonymousUser()}, {"user": None}])
def test_logout_without_a_user_flushes_quietly(
    ann: User, scope: Scope, signals: list[tuple[str, dict[str, Any]]]
) -> None:
    session = session_of(ann)
    scope = {**scope, "session": session}
    had_user = "user" in scope

    logout.func(scope)

    assert signals == []
    assert session.is_empty()
    assert ("user" in scope) == had_user


# AuthMiddleware


async def send(event: Event) -> None:
    """Take the event."""


async def receive() -> Event:
    return {"type": "websocket.connect"}


async def whole(scope: Scope, receive: Receive, send: Send) -> Scope:
    return scope


def test_a_placeholder_says_that_it_came_too_early() -> None:
    with pytest.raises(ValueError, match="was used before AuthMiddleware had loaded the user"):
        str(UserLazyObject())


def test_populate_scope_needs_a_session() -> None:
    with pytest.raises(ValueError, match="Cannot find session in scope"):
        AuthMiddleware(whole).populate_scope({})


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Scope]:
    """The scope of each call of ``get_user``, which finds ``"loaded"``."""
    calls: list[Scope] = []

    async def fake(scope: Scope) -> str:
        calls.append(scope)
        return "loaded"

    monkeypatch.setattr(auth, "get_user", fake)
    return calls


@pytest.mark.parametrize("scope", [{}, {"user": None}])
async def test_the_user_is_loaded_where_there_is_none(scope: Scope, loads: list[Scope]) -> None:
    scope = {**scope, "session": {}}
    seen = await AuthMiddleware(whole)(scope, receive, send)

    assert type(seen["user"]) is UserLazyObject
    assert seen["user"] == "loaded"
    assert len(loads) == 1
    assert scope.get("user") is None


async def test_a_replaced_get_user_is_asked_of_a_client_without_a_session_too(
    loads: list[Scope],
) -> None:
    seen = await AuthMiddleware(whole)({"session": SessionStore()}, receive, send)

    assert seen["user"] == "loaded"


async def test_a_client_without_a_session_costs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_user, "func", None)

    user = await get_user({"session": SessionStore()})

    assert isinstance(user, AnonymousUser)


@pytest.mark.parametrize("user", [AnonymousUser(), "somebody"])
async def test_a_user_that_is_there_already_is_kept(user: Any, loads: list[Scope]) -> None:
    seen = await AuthMiddleware(whole)({"session": {}, "user": user}, receive, send)

    assert seen["user"] is user
    assert loads == []


async def test_a_lazy_user_of_another_middleware_is_not_touched(loads: list[Scope]) -> None:
    touched: list[int] = []
    user = SimpleLazyObject(lambda: touched.append(1))

    seen = await AuthMiddleware(whole)({"session": {}, "user": user}, receive, send)

    assert seen["user"] is user
    assert touched == []


async def test_a_middleware_inside_another_loads_no_second_time(loads: list[Scope]) -> None:
    await AuthMiddleware(AuthMiddleware(whole))({"session": {}}, receive, send)

    assert len(loads) == 1


async def test_both_hooks_can_be_overridden_and_work_on_the_copy() -> None:
    class Token(AuthMiddleware):
        def populate_scope(self, scope: Scope) -> None:
            scope["user"] = UserLazyObject()

        async def resolve_scope(self, scope: Scope) -> None:
            scope["user"]._wrapped = scope["query_string"]

    scope = {"query_string": b"ann"}
    seen = await Token(whole)(scope, receive, send)

    assert seen["user"] == b"ann"
    assert sorted(scope) == ["query_string"]


# AuthMiddlewareStack


def test_the_stack_is_cookies_around_sessions_around_users() -> None:
    stack: Any = AuthMiddlewareStack(whole)

    assert isinstance(stack, CookieMiddleware)
    assert type(stack.inner) is SessionMiddleware
    assert isinstance(stack.inner.inner, AuthMiddleware)
    assert stack.inner.inner.inner is whole


async def connect(cookie: str, **extra: Any) -> Scope:
    """Return the scope that the stack gives to an application."""
    headers = [(b"cookie", f"sessionid={cookie}".encode("latin-1"))]
    scope = {"type": "websocket", "path": "/", "headers": headers, **extra}
    seen: Scope = await AuthMiddlewareStack(whole)(scope, receive, send)
    return seen


@in_transaction
async def test_a_signed_in_browser_is_known() -> None:
    ann = await User.objects.acreate(username="ann")
    scope: Scope = {"session": SessionStore()}
    await login(scope, ann)
    await scope["session"].asave()

    seen = await connect(scope["session"].session_key)

    assert isinstance(seen["user"], get_user_model())
    assert type(seen["user"]) is UserLazyObject
    assert seen["user"] == ann
    assert seen["user"].is_authenticated


@pytest.mark.parametrize(
    "cookie", ["", "x" * 32, "short", "../../etc/passwd", "' OR 1=1 --", "\xe9" * 32, "y" * 9999]
)
@in_transaction
async def test_a_forged_cookie_is_an_anonymous_visitor_and_makes_no_row(cookie: str) -> None:
    seen = await connect(cookie)

    assert isinstance(seen["user"], AnonymousUser)
    assert not seen["user"].is_authenticated
    assert await Session.objects.acount() == 0


@in_transaction
async def test_an_expired_cookie_is_an_anonymous_visitor_and_makes_no_row() -> None:
    ann = await User.objects.acreate(username="ann")
    scope: Scope = {"session": SessionStore()}
    await login(scope, ann)
    await scope["session"].asave()
    await Session.objects.aupdate(expire_date=timezone.now() - timedelta(seconds=1))

    seen = await connect(scope["session"].session_key)

    assert isinstance(seen["user"], AnonymousUser)
    assert await Session.objects.acount() == 1


@in_transaction
async def test_a_cookie_of_another_site_is_an_anonymous_visitor() -> None:
    scope: Scope = {"session": SessionStore()}
    with override_settings(SECRET_KEY="another site's"):
        await login(scope, await User.objects.acreate(username="ann"))
        await scope["session"].asave()

    seen = await connect(scope["session"].session_key)

    assert isinstance(seen["user"], AnonymousUser)
    assert await Session.objects.acount() == 1


async def handshake(inner: Callable[[], Any] | None = None, **headers: str) -> Any:
    """Return the events of a refusal, or what the application returned: ``inner()``."""
    events = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]
    sent: list[Event] = []

    async def next_event() -> Event:
        return events.pop(0)

    async def note(event: Event) -> None:
        sent.append(event)

    async def application(scope: Scope, receive: Receive, send: Send) -> Any:
        return await inner() if inner is not None else "let in"

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/", "headers": pairs, "session": {}, "user": 1}
    scope["client"] = ("::1", 1)
    return await AuthMiddlewareStack(application)(scope, next_event, note) or sent


async def test_the_page_of_another_site_is_refused_before_its_cookie_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    monkeypatch.setattr("channels.sessions.parse_cookie", read.append)

    seen = await handshake(host="testserver", origin="https://evil.example", cookie="sessionid=1")

    assert seen == [{"type": "websocket.close", "code": 1008}]
    assert read == []


async def test_the_sites_own_page_is_let_in() -> None:
    assert await handshake(host="own.example:8000", origin="http://own.example:8000") == "let in"


async def test_a_client_without_origin_is_let_in() -> None:
    assert await handshake(host="own.example") == "let in"


@override_settings(CHANNELS={"MAX_CONNECTIONS_PER_ADDRESS": 1})
async def test_an_address_that_has_too_many_open_is_refused() -> None:
    assert await handshake(inner=handshake) == [{"type": "websocket.close"}]
    assert await handshake() == "let in"


@override_settings(CHANNELS={"CHECK_ORIGIN": False})
async def test_the_check_can_be_turned_off() -> None:
    assert await handshake(host="own.example", origin="https://evil.example") == "let in"


# Importing


def test_the_modules_import_without_settings_and_models() -> None:
    program = (
        "import channels.auth, channels.routing, channels.security.websocket, sys;"
        "from django.conf import settings;"
        "assert not settings.configured;"
        "assert 'django.contrib.auth.models' not in sys.modules"
    )
    environment = {**os.environ}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    subprocess.run([sys.executable, "-c", program], check=True, env=environment)

"""Cookies and sessions: what reaches the scope, what is saved, and which cookie is set."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Coroutine
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends import cache as memory_engine
from django.contrib.sessions.backends import db as database_engine
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.exceptions import SuspiciousOperation, SynchronousOnlyOperation
from django.test import override_settings

from channels import sessions
from channels.exceptions import ChannelsError
from channels.sessions import (
    CookieMiddleware,
    InstanceSessionWrapper,
    SessionLostError,
    SessionMiddleware,
    SessionMiddlewareStack,
)
from channels.typing import Event, Receive, Scope, Send

IN_MEMORY = memory_engine.__name__
TWO_WEEKS = "1209600"


def in_transaction(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test whose queries all run in the thread of its transaction."""

    @pytest.mark.django_db
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async_to_sync(test)(*args, **kwargs)

    return run


async def receive() -> Event:
    return {"type": "http.request"}


async def send(event: Event) -> None:
    """Take the event."""


def set_cookie(*args: Any, **kwargs: Any) -> str:
    """Return the value of the header that ``set_cookie`` adds."""
    message: Event = {}
    CookieMiddleware.set_cookie(message, *args, **kwargs)
    [(name, value)] = message["headers"]
    assert name == b"Set-Cookie"
    return str(value.decode())


def attribute(cookie: str, name: str) -> str:
    found = re.search(rf"(?:^|; ){name}=([^;]*)", cookie)
    assert found is not None, cookie
    return found[1]


# Reading cookies


async def cookies_of(*headers: tuple[bytes, bytes], **extra: Any) -> Any:
    async def inner(scope: Scope, receive: Receive, send: Send) -> Any:
        return scope["cookies"]

    return await CookieMiddleware(inner)({"headers": headers, **extra}, receive, send)


async def test_cookies_are_parsed_from_the_header() -> None:
    assert await cookies_of((b"host", b"x"), (b"cookie", b'a=1; b="x y"; c=\xe9')) == {
        "a": "1",
        "b": "x y",
        "c": "\xe9",
    }


async def test_without_cookies_there_is_an_empty_dict_in_place_of_an_older_one() -> None:
    assert await cookies_of(cookies={"z": "9"}) == {}


async def test_several_cookie_headers_count_as_one() -> None:
    assert await cookies_of((b"cookie", b"a=1"), (b"cookie", b"b=2; c=3")) == {
        "a": "1",
        "b": "2",
        "c": "3",
    }


async def test_a_connection_without_headers_is_refused() -> None:
    with pytest.raises(ValueError, match="of type 'lifespan' has no headers to read cookies from"):
        await CookieMiddleware(send)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]


# Writing cookies


def test_a_cookie_of_key_and_value_has_exactly_these_bytes() -> None:
    assert set_cookie("k", "v") == "k=v; Path=/; SameSite=lax"


def test_a_value_is_made_a_string_and_quoted() -> None:
    assert set_cookie("k", 5).startswith("k=5;")
    assert set_cookie("k", 'a;b"').startswith(r'k="a\073b\"";')


def test_flags_and_places_are_written_where_given() -> None:
    cookie = set_cookie(
        "k", "v", path="/a", domain="ex.com", secure=True, httponly=True, samesite="Strict"
    )

    assert cookie == "k=v; Domain=ex.com; HttpOnly; Path=/a; SameSite=Strict; Secure"


@pytest.mark.parametrize("samesite", [None, False])
def test_what_is_none_is_left_out(samesite: Any) -> None:
    assert set_cookie("k", "v", path=None, samesite=samesite) == "k=v"


@pytest.mark.parametrize("samesite", ["sometimes", "", True])
def test_an_unknown_samesite_is_refused(samesite: Any) -> None:
    with pytest.raises(AssertionError, match="expected 'strict', 'lax' or 'none'"):
        set_cookie("k", "v", samesite=samesite)


def test_an_age_gives_a_date_as_well() -> None:
    with mock.patch("time.time", return_value=0):
        cookie = set_cookie("k", "v", max_age=60)

    assert attribute(cookie, "Max-Age") == "60"
    assert attribute(cookie, "expires") == "Thu, 01 Jan 1970 00:01:00 GMT"


def test_a_date_as_text_is_used_as_it_is() -> None:
    cookie = set_cookie("k", "v", max_age=60, expires="some day")

    assert attribute(cookie, "expires") == "some day"
    assert attribute(cookie, "Max-Age") == "60"


@pytest.mark.parametrize(
    "zone", [None, datetime.UTC, datetime.timezone(datetime.timedelta(hours=-5))]
)
def test_a_datetime_naive_or_aware_replaces_the_age(zone: datetime.tzinfo | None) -> None:
    moment = datetime.datetime.now(zone or datetime.UTC) + datetime.timedelta(hours=1)

    cookie = set_cookie("k", "v", max_age=5, expires=moment.replace(tzinfo=zone))

    assert attribute(cookie, "Max-Age") == "3600"
    shown = parsedate_to_datetime(attribute(cookie, "expires"))
    assert abs(shown.timestamp() - (moment.timestamp())) < 2


def test_a_datetime_that_has_passed_is_age_zero() -> None:
    cookie = set_cookie("k", "v", expires=datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC))

    assert attribute(cookie, "Max-Age") == "0"


def test_deleting_a_cookie_empties_and_expires_it() -> None:
    message: Event = {}

    CookieMiddleware.delete_cookie(message, "k", path="/a", domain="ex.com")

    assert message["headers"] == [
        (
            b"Set-Cookie",
            (
                b'k=""; Domain=ex.com; expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0; Path=/a; '
                b"SameSite=lax"
            ),
        )
    ]


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_cookie_follows_the_other_headers_of_that_message_alone(kind: Any) -> None:
    shared = kind([(b"a", b"b")])
    message: Event = {"headers": shared}

    CookieMiddleware.set_cookie(message, "k", "v")

    assert message["headers"] == [(b"a", b"b"), (b"Set-Cookie", b"k=v; Path=/; SameSite=lax")]
    assert len(shared) == 1


# The wrapper of one connection


def wrapper_of(
    kind: type[InstanceSessionWrapper] = InstanceSessionWrapper, **scope: Any
) -> tuple[InstanceSessionWrapper, list[Event]]:
    sent: list[Event] = []

    async def note(event: Event) -> str:
        sent.append(event)
        return "sent"

    return kind({"type": "http", **scope}, note), sent


def stored(**data: Any) -> Any:
    session = memory_engine.SessionStore()
    session.update(data)
    session.save()
    return session


def cookies(session: SessionBase) -> dict[str, str]:
    return {"sessionid": session.session_key or ""}


@pytest.fixture
def _memory() -> Any:
    with override_settings(SESSION_ENGINE=IN_MEMORY):
        yield
    cache.clear()


memory = pytest.mark.usefixtures("_memory")


@memory
def test_the_wrapper_keeps_names_and_a_scope_of_its_own() -> None:
    wrapper, _ = wrapper_of(cookies={})

    assert wrapper.cookie_name == "sessionid"
    assert wrapper.session_store.__module__ == IN_MEMORY
    assert wrapper.activated is True
    assert InstanceSessionWrapper.save_message_types == ["http.response.start"]
    assert InstanceSessionWrapper.cookie_response_message_types == ["http.response.start"]


def test_without_session_and_cookies_the_order_of_middlewares_is_named() -> None:
    with pytest.raises(ValueError, match="put SessionMiddleware inside CookieMiddleware"):
        wrapper_of()


@memory
async def test_the_session_is_the_one_that_the_cookie_names() -> None:
    session = stored(name="ann")
    wrapper, _ = wrapper_of(cookies=cookies(session))

    await wrapper.resolve_session()

    found = wrapper.scope["session"]
    assert isinstance(found, SessionBase)
    assert await found.aget("name") == "ann"


async def test_a_session_that_is_there_already_is_left_alone() -> None:
    given = {"name": "ann"}
    wrapper, sent = wrapper_of(session=given)

    await wrapper.resolve_session()
    await wrapper.send({"type": "http.response.start"})

    assert wrapper.activated is False
    assert wrapper.scope["session"] is given
    assert sent == [{"type": "http.response.start"}]


@memory
async def test_a_nested_stack_keeps_the_outer_session_and_its_unsaved_data() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> Any:
        return await scope["session"].aget("unsaved")

    async def between(scope: Scope, receive: Receive, send: Send) -> Any:
        await scope["session"].aset("unsaved", 1)
        return await SessionMiddlewareStack(inner)(scope, receive, send)

    stack = SessionMiddlewareStack(between)

    assert await stack({"type": "http", "headers": []}, receive, send) == 1


@in_transaction
async def test_touching_a_stored_session_synchronously_in_the_loop_is_refused() -> None:
    wrapper, _ = wrapper_of(cookies={"sessionid": "x" * 32})
    await wrapper.resolve_session()

    with pytest.raises(SynchronousOnlyOperation):
        wrapper.scope["session"].get("name")


def test_the_stack_is_cookies_around_sessions() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        """Serve nothing."""

    stack = SessionMiddlewareStack(inner)

    assert type(stack) is CookieMiddleware
    assert type(stack.inner) is SessionMiddleware
    assert stack.inner.inner is inner


# When it saves, and which cookie it sets


async def answer(wrapper: InstanceSessionWrapper, sent: list[Event], status: int = 200) -> str:
    """Start a response and return the cookie that it sets, or nothing."""
    start: Event = {"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]}
    assert await wrapper.send(start) == "sent"
    assert sent == [start]
    assert sent[0] is start
    values = [value.decode() for name, value in start["headers"] if name == b"Set-Cookie"]
    assert len(values) <= 1
    return "".join(values)


async def changed(**scope: Any) -> tuple[InstanceSessionWrapper, list[Event]]:
    wrapper, sent = wrapper_of(**{"cookies": {}, **scope})
    await wrapper.resolve_session()
    await wrapper.scope["session"].aset("seen", 1)
    return wrapper, sent


@memory
async def test_an_untouched_session_sets_no_cookie() -> None:
    wrapper, sent = wrapper_of(cookies=cookies(stored(a=1)))
    await wrapper.resolve_session()

    assert await answer(wrapper, sent) == ""


@memory
@pytest.mark.parametrize("status", [200, 302, 404, 503])
async def test_a_changed_session_is_saved_before_the_response_and_sets_a_cookie(
    status: int,
) -> None:
    wrapper, sent = await changed()

    cookie = await answer(wrapper, sent, status)

    key = attribute(cookie, "sessionid")
    assert attribute(cookie, "Max-Age") == TWO_WEEKS
    assert "HttpOnly" in cookie
    assert wrapper.session_store(key).get("seen") == 1


@memory
async def test_status_500_neither_saves_nor_sets_a_cookie() -> None:
    wrapper, sent = await changed()

    assert await answer(wrapper, sent, 500) == ""
    assert wrapper.scope["session"].session_key is None


@memory
async def test_a_response_without_status_counts_as_200() -> None:
    wrapper, sent = await changed()

    await wrapper.send({"type": "http.response.start"})

    assert len(sent[0]["headers"]) == 1


@memory
@override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
async def test_a_session_as_long_as_the_browser_is_open_has_no_age() -> None:
    cookie = await answer(*await changed())

    assert re.fullmatch(r"sessionid=\w{32}; HttpOnly; Path=/; SameSite=Lax", cookie)


@memory
@override_settings(
    SESSION_COOKIE_NAME="other",
    SESSION_COOKIE_DOMAIN="ex.com",
    SESSION_COOKIE_PATH="/a",
    SESSION_COOKIE_SECURE=True,
    SESSION_COOKIE_HTTPONLY=False,
    SESSION_COOKIE_SAMESITE=False,
    SESSION_EXPIRE_AT_BROWSER_CLOSE=True,
)
async def test_the_cookie_follows_the_settings() -> None:
    cookie = await answer(*await changed())

    assert re.fullmatch(r"other=\w{32}; Domain=ex\.com; Path=/a; Secure", cookie)


@memory
@pytest.mark.parametrize("event_type", ["websocket.accept", "websocket.send", "websocket.close"])
async def test_websocket_messages_neither_save_nor_set_a_cookie(event_type: str) -> None:
    wrapper, sent = await changed(type="websocket")

    await wrapper.send({"type": event_type})

    assert sent == [{"type": event_type}]
    assert wrapper.scope["session"].session_key is None


@memory
async def test_a_project_may_add_types_of_messages() -> None:
    class Sockets(InstanceSessionWrapper):
        save_message_types: ClassVar[list[str]] = ["http.response.start", "websocket.accept"]
        cookie_response_message_types: ClassVar[list[str]] = ["websocket.accept"]

    wrapper, sent = await changed(kind=Sockets, type="websocket")

    await wrapper.send({"type": "websocket.accept"})

    assert sent[0]["headers"][0][0] == b"Set-Cookie"
    assert wrapper.scope["session"].session_key is not None


@memory
async def test_a_message_that_can_carry_no_cookie_may_save_all_the_same() -> None:
    class Sockets(InstanceSessionWrapper):
        save_message_types: ClassVar[list[str]] = ["websocket.close"]

    wrapper, sent = await changed(kind=Sockets, type="websocket")

    await wrapper.send({"type": "websocket.close"})

    assert sent == [{"type": "websocket.close"}]
    assert wrapper.scope["session"].session_key is not None


@in_transaction
async def test_a_flushed_session_leaves_no_row_and_takes_the_cookie_back() -> None:
    session = database_engine.SessionStore()
    await session.aset("a", 1)
    await session.asave()
    wrapper, sent = wrapper_of(cookies=cookies(session))
    await wrapper.resolve_session()
    await wrapper.scope["session"].aflush()

    with override_settings(SESSION_COOKIE_SAMESITE="Strict", SESSION_COOKIE_SECURE=True):
        cookie = await answer(wrapper, sent)

    assert cookie == (
        'sessionid=""; expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0; Path=/; '
        "SameSite=Strict; Secure"
    )
    assert await Session.objects.acount() == 0


@memory
async def test_a_flushed_session_of_a_visitor_without_cookie_sets_none() -> None:
    wrapper, sent = wrapper_of(cookies={})
    await wrapper.resolve_session()
    await wrapper.scope["session"].aflush()

    assert await answer(wrapper, sent) == ""


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
@pytest.mark.parametrize("key", ["x" * 32, "short", "../../etc/passwd"])
@in_transaction
async def test_a_forged_cookie_makes_no_row_and_is_taken_back(key: str) -> None:
    wrapper, sent = wrapper_of(cookies={"sessionid": key})
    await wrapper.resolve_session()

    cookie = await answer(wrapper, sent)

    assert cookie.startswith('sessionid=""; ')
    assert await Session.objects.acount() == 0


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
@in_transaction
async def test_an_anonymous_visitor_makes_no_row_though_every_request_saves() -> None:
    wrapper, sent = wrapper_of(cookies={})
    await wrapper.resolve_session()

    assert await answer(wrapper, sent) == ""
    assert await Session.objects.acount() == 0


@memory
@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
async def test_saving_every_request_renews_the_cookie_of_a_session() -> None:
    session = stored(a=1)
    wrapper, sent = wrapper_of(cookies=cookies(session))
    await wrapper.resolve_session()

    cookie = await answer(wrapper, sent)

    assert attribute(cookie, "sessionid") == session.session_key


@memory
async def test_a_session_deleted_meanwhile_is_said_and_nothing_is_sent() -> None:
    session = stored(a=1)
    wrapper, sent = await changed(cookies=cookies(session))
    session.delete()

    with pytest.raises(SessionLostError, match="the session was deleted before") as caught:
        await wrapper.send({"type": "http.response.start"})

    for kind in (SuspiciousOperation, SessionInterrupted, ChannelsError):
        assert isinstance(caught.value, kind)
    assert sent == []


@memory
async def test_the_middleware_passes_the_result_and_its_own_send() -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> list[Any]:
        await scope["session"].aset("a", 1)
        start: Event = {"type": "http.response.start"}
        await send(start)
        return [receive, start["headers"][0][0]]

    scope = {"type": "http", "cookies": {}}
    seen = await SessionMiddleware(inner)(scope, receive, send)

    assert seen == [receive, b"Set-Cookie"]
    assert sorted(scope) == ["cookies", "type"]


# Names that test suites replace


def test_settings_are_looked_up_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = SimpleNamespace(SESSION_COOKIE_NAME="theirs", SESSION_ENGINE=IN_MEMORY)
    monkeypatch.setattr(sessions, "settings", theirs)

    assert wrapper_of(cookies={})[0].cookie_name == "theirs"


def test_import_module_is_looked_up_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SimpleNamespace(SessionStore=dict)
    monkeypatch.setattr(sessions, "import_module", lambda path: engine)

    assert wrapper_of(cookies={})[0].session_store is dict


async def test_parse_cookie_is_looked_up_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "parse_cookie", lambda text: {"theirs": text})

    assert await cookies_of((b"cookie", b"a=1")) == {"theirs": "a=1"}

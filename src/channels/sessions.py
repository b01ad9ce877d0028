"""Cookies and Django's sessions in the scope of a connection."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from importlib import import_module
from typing import Any, ClassVar, Final

# Test suites replace these names here, so they are looked up in this module when they are used.
from django.conf import settings  # noqa: TID251
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.exceptions import SuspiciousOperation
from django.http import parse_cookie
from django.utils.functional import LazyObject
from django.utils.http import http_date

from channels.exceptions import ChannelsError
from channels.middleware import BaseMiddleware, hands_over
from channels.typing import App, Event, Receive, Scope, Send

EPOCH: Final = "Thu, 01-Jan-1970 00:00:00 GMT"


class SessionLostError(ChannelsError, SessionInterrupted, SuspiciousOperation):
    """The session was deleted elsewhere while this connection was using it. Nothing was saved."""


class CookieMiddleware(BaseMiddleware):
    """Puts the cookies of the request into the scope, as the dict ``cookies``.

    Args:
        inner: The application to wrap.
    """

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass the connection on with ``cookies`` in a new scope.

        Raises:
            ValueError: The scope has no headers.
        """
        if "headers" not in scope:
            raise ValueError(
                f"a connection of type {scope.get('type')!r} has no headers to read cookies from; "
                "CookieMiddleware serves HTTP and WebSocket connections"
            )
        # HTTP/2 may split the cookies into several headers (RFC 9113, 8.2.3).
        header = b"; ".join([value for name, value in scope["headers"] if name == b"cookie"])
        cookies = parse_cookie(header.decode("latin-1"))
        return self.inner({**scope, "cookies": cookies}, receive, send)

    @classmethod
    def set_cookie(
        cls,
        message: Event,
        key: str,
        value: object = "",
        max_age: float | None = None,
        expires: datetime | str | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | bool | None = "lax",
    ) -> None:
        """Add a ``Set-Cookie`` header to a message, in a list of its own.

        Args:
            message: An event with or without ``headers``.
            key: The cookie's name.
            value: The cookie's value; quoted where it has to be.
            max_age: Seconds until the browser forgets it; ``None`` for when it closes.
            expires: A date as text, used as it is, or a ``datetime`` that replaces ``max_age``;
                a naive one is UTC.
            path: Path under which the browser sends it.
            domain: Domain to whose hosts the browser sends it.
            secure: Send over TLS only.
            httponly: Hide from scripts.
            samesite: ``"strict"``, ``"lax"`` or ``"none"``; ``None`` or ``False`` leaves it out.

        Raises:
            AssertionError: ``samesite`` is something else.
        """
        if samesite is False:
            samesite = None
        if samesite is not None and str(samesite).lower() not in ("strict", "lax", "none"):
            raise AssertionError(f"samesite is {samesite!r}; expected 'strict', 'lax' or 'none'")
        if isinstance(expires, datetime):
            max_age, expires = _seconds_until(expires), None
        if not expires and max_age is not None:
            expires = http_date(time.time() + max_age)
        attributes: dict[str, Any] = {
            "expires": expires,
            "max-age": max_age,
            "path": path,
            "domain": domain,
            "secure": secure or None,
            "httponly": httponly or None,
            "samesite": samesite,
        }
        cookie: SimpleCookie = SimpleCookie({key: str(value)})
        cookie[key].update({name: given for name, given in attributes.items() if given is not None})
        header = (b"Set-Cookie", cookie[key].OutputString().encode())
        # Never appended in place: an application may send one list of headers to many clients.
        message["headers"] = [*(message.get("headers") or ()), header]

    @classmethod
    def delete_cookie(
        cls, message: Event, key: str, path: str | None = "/", domain: str | None = None
    ) -> None:
        """Add a ``Set-Cookie`` header that makes the browser forget the cookie."""
        cls.set_cookie(message, key, max_age=0, expires=EPOCH, path=path, domain=domain)


class InstanceSessionWrapper:
    """The session of one connection: a scope that holds it, and a ``send`` that saves it.

    Args:
        scope: The connection's scope, with ``cookies``, or with a ``session`` that is kept.
        send: The server's ``send``.

    Attributes:
        save_message_types: Types of messages before which a changed session is saved.
        cookie_response_message_types: Those of them that can carry a cookie.
        cookie_name: The session cookie's name.
        session_store: The session engine's class.
        scope: A copy of the scope, with ``session``.
        activated: False where the scope had a session already: then nothing is done here.
        real_send: The server's ``send``.

    Raises:
        ValueError: The scope has neither ``session`` nor ``cookies``.
    """

    save_message_types: ClassVar[list[str]] = ["http.response.start"]
    cookie_response_message_types: ClassVar[list[str]] = ["http.response.start"]

    def __init__(self, scope: Scope, send: Send) -> None:
        self.cookie_name: str = settings.SESSION_COOKIE_NAME
        self.session_store: Any = import_module(settings.SESSION_ENGINE).SessionStore
        self.scope: Scope = dict(scope)
        self.activated: bool = "session" not in scope
        self.real_send = send
        if not self.activated:
            return
        if "cookies" not in scope:
            raise ValueError(
                "no cookies in the scope to find a session with; "
                "put SessionMiddleware inside CookieMiddleware"
            )
        self.scope["session"] = LazyObject()

    async def resolve_session(self) -> None:
        """Look up the store of the cookie's session. Runs no query."""
        if self.activated:
            key = self.scope["cookies"].get(self.cookie_name)
            self.scope["session"]._wrapped = self.session_store(key or None)

    async def send(self, message: Event) -> Any:
        """Send a message; before the response starts, save a changed session and set its cookie.

        A status of 500 saves nothing and sets no cookie. An empty session is not saved; its
        cookie is deleted if the request carried one.

        Raises:
            SessionLostError: The session was deleted elsewhere. Nothing was sent.
        """
        if self._saves_before(message) and await self._needs_save():
            is_empty = self.scope["session"].is_empty()
            if not is_empty:
                await self.save_session()
            if message["type"] in self.cookie_response_message_types:
                if not is_empty:
                    await self._set_session_cookie(message)
                elif self.cookie_name in self.scope["cookies"]:
                    self._set_cookie(message, "", max_age=0, expires=EPOCH)
        return await self.real_send(message)

    def saves_in_websockets(self) -> bool:
        """Return whether some message of a WebSocket saves the session."""
        return any(kind.startswith("websocket.") for kind in self.save_message_types)

    async def save_session(self) -> None:
        """Save the session.

        Raises:
            SessionLostError: It was deleted elsewhere, for instance by a logout.
        """
        try:
            await self.scope["session"].asave()
        except UpdateError as error:
            raise SessionLostError(
                "the session was deleted before this request completed; "
                "its user may have logged out in another request"
            ) from error

    def _saves_before(self, message: Event) -> bool:
        return (
            self.activated
            and message["type"] in self.save_message_types
            and message.get("status", 200) != 500
        )

    async def _needs_save(self) -> bool:
        session = self.scope["session"]
        if session.modified:
            return True
        if not settings.SESSION_SAVE_EVERY_REQUEST:
            return False
        # Only a loaded session knows whether the cookie's key still exists.
        await session.akeys()
        return True

    async def _set_session_cookie(self, message: Event) -> None:
        session = self.scope["session"]
        ends_with_browser = await session.aget_expire_at_browser_close()
        max_age = None if ends_with_browser else await session.aget_expiry_age()
        self._set_cookie(
            message,
            session.session_key,
            max_age=max_age,
            httponly=settings.SESSION_COOKIE_HTTPONLY,
        )

    def _set_cookie(self, message: Event, value: str, **attributes: Any) -> None:
        CookieMiddleware.set_cookie(
            message,
            self.cookie_name,
            value,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite=settings.SESSION_COOKIE_SAMESITE,
            **attributes,
        )


class SessionMiddleware(BaseMiddleware):
    """Puts Django's session into the scope, as ``session``, and saves it with HTTP responses.

    Data is read when it is first touched; in a coroutine by the async methods, such as ``aget``.
    A WebSocket message can carry no cookie, so a consumer saves the session itself (``asave``).

    Args:
        inner: The application to wrap.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the connection on with ``session`` in a new scope.

        Raises:
            ValueError: The scope has neither ``session`` nor ``cookies``.
        """
        wrapper = InstanceSessionWrapper(scope, send)
        await wrapper.resolve_session()
        # A send that nothing is done for is not wrapped: that costs each message.
        needs_send = scope["type"] != "websocket" or wrapper.saves_in_websockets()
        served = self.inner(wrapper.scope, receive, wrapper.send if needs_send else send)
        # Nobody looks at these again, and together they are a kilobyte in each open WebSocket.
        del scope, wrapper
        return await served


def SessionMiddlewareStack(inner: App) -> CookieMiddleware:  # noqa: N802 (name of the contract)
    """Wrap an application in ``CookieMiddleware`` and ``SessionMiddleware``."""
    return CookieMiddleware(SessionMiddleware(inner))


def _seconds_until(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0, math.ceil((aware - datetime.now(UTC)).total_seconds()))

"""The user of a connection.

Imports no models, so that ``asgi.py`` may import this before Django is set up.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
    user_logged_in,
    user_logged_out,
)
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare
from django.utils.functional import LazyObject, empty

from channels.conf import authentication_backends
from channels.db import DatabaseSyncToAsync, database_sync_to_async
from channels.lanes import enter_lane
from channels.middleware import BaseMiddleware, hands_over
from channels.security.limits import ConnectionLimits
from channels.security.websocket import SiteOriginValidator
from channels.sessions import CookieMiddleware, SessionMiddleware
from channels.typing import App, Receive, Scope, Send

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    _LazyObject = LazyObject[Any]
else:
    _LazyObject = LazyObject


class _GetUser(DatabaseSyncToAsync[[Scope], "AbstractBaseUser | AnonymousUser"]):
    """Needs no thread to say that a client without a session, as most of a crowd, is nobody."""

    async def __call__(self, scope: Scope) -> AbstractBaseUser | AnonymousUser:
        if _is_blank(scope.get("session")):
            from django.contrib.auth.models import AnonymousUser

            return AnonymousUser()
        return await super().__call__(scope)


@_GetUser
def get_user(scope: Scope) -> AbstractBaseUser | AnonymousUser:
    """Return the user of the connection's session, or an ``AnonymousUser``.

    A session whose user changed their password is flushed. One that was signed with a key now in
    ``SECRET_KEY_FALLBACKS`` is accepted and signed anew; its key is cycled over HTTP only, where
    the response carries the new cookie. Saves nothing and leaves ``scope["user"]`` alone.

    Raises:
        ValueError: There is no session in the scope.
    """
    from django.contrib.auth.models import AnonymousUser

    session = _require_session(scope)
    user = _load_user(session)
    if user is None or not _is_verified(user, session, may_cycle=scope.get("type") == "http"):
        return AnonymousUser()
    return user


@database_sync_to_async
def login(
    scope: Scope,
    user: AbstractBaseUser | AnonymousUser | None,
    backend: str | None = None,
) -> None:
    """Make ``user`` the user of the connection's session and of this scope.

    Nothing is saved for the client. Over HTTP, log in before the response starts: it saves the
    session and carries the cookie. A WebSocket cannot carry one: save the session yourself, and
    mind that for a session without a user the key is cycled, so a cookie that the browser holds
    from before names no session any more. Log in over HTTP where you can.

    Args:
        scope: The connection's scope.
        user: Who logs in; ``None`` for ``scope["user"]``.
        backend: Dotted path of the backend that knows the user; by default ``user.backend``, or
            the one that is configured.

    Raises:
        ValueError: There is no session, no user, an anonymous user, or the backend is not clear.
            Nothing was changed.
        TypeError: ``backend`` is not a string. Nothing was changed.
    """
    session = _require_session(scope)
    person = _require_user(scope, user)
    backend = _require_backend(person, backend)
    session_hash = person.get_session_auth_hash() if _has_hash(person) else ""
    if SESSION_KEY not in session:
        session.cycle_key()
    elif not _is_session_of(person, session, session_hash):
        # Nobody gets what another user left in the session.
        session.flush()
    session[SESSION_KEY] = person._meta.pk.value_to_string(person)
    session[BACKEND_SESSION_KEY] = backend
    session[HASH_SESSION_KEY] = session_hash
    scope["user"] = person
    user_logged_in.send(sender=person.__class__, request=None, user=person)


@database_sync_to_async
def logout(scope: Scope) -> None:
    """Flush the connection's session and make the scope's user anonymous.

    Receivers of ``user_logged_out`` run before, if there was a user. There is no request; they are
    given the ``session``. Connections of topics end that the session has.

    Raises:
        ValueError: There is no session in the scope.
    """
    from django.contrib.auth.models import AnonymousUser

    session = _require_session(scope)
    user = scope.get("user")
    if user is not None and getattr(user, "is_authenticated", True):
        user_logged_out.send(sender=user.__class__, request=None, user=user, session=session)
    session.flush()
    if "user" in scope:
        scope["user"] = AnonymousUser()


class UserLazyObject(_LazyObject):
    """Stands in ``scope["user"]`` until ``AuthMiddleware`` has loaded the user."""

    def _setup(self) -> None:
        raise ValueError("scope['user'] was used before AuthMiddleware had loaded the user")


class AuthMiddleware(BaseMiddleware):
    """Puts the session's user into the scope, as ``user``; one that is there already is kept.

    Costs a call of ``get_user`` before the inner application runs: a hop to a thread and the
    queries of session and user, or nothing for a client without a session. Subclasses override
    ``populate_scope`` or ``resolve_scope``.

    Args:
        inner: The application to wrap.
    """

    def populate_scope(self, scope: Scope) -> None:
        """Put a placeholder into the scope, where there is no user.

        Raises:
            ValueError: There is no session in the scope.
        """
        _require_session(scope)
        if scope.get("user") is None:
            scope["user"] = UserLazyObject()

    async def resolve_scope(self, scope: Scope) -> None:
        """Load the user into the placeholder."""
        user = scope["user"]
        # By its type: isinstance would ask a lazy user of someone else's for its class.
        if issubclass(type(user), UserLazyObject) and user._wrapped is empty:
            user._wrapped = await get_user(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass the connection on with ``user`` in a new scope."""
        scope = dict(scope)
        self.populate_scope(scope)
        # The user is loaded on the thread that the connection's consumer will keep.
        with enter_lane() if scope.get("type") == "websocket" else nullcontext():
            await self.resolve_scope(scope)
            served = self._behind()(scope, receive, send)
            # The applications within have their own, and this one would be kept for as long.
            del scope
            return await served

    def _behind(self) -> App:
        return self.inner


class _CheckedCookieMiddleware(CookieMiddleware):
    """``CookieMiddleware`` that refuses pages of other sites before it reads a cookie."""

    def __init__(self, inner: App) -> None:
        super().__init__(inner)
        self._checked = SiteOriginValidator(super().__call__)

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        return self._checked(scope, receive, send)


class _LimitedAuthMiddleware(AuthMiddleware):
    """``AuthMiddleware`` that hands on no more connections of its user than there may be."""

    def __init__(self, inner: App) -> None:
        super().__init__(inner)
        self._limited = ConnectionLimits(inner)

    def _behind(self) -> App:
        return self._limited


def AuthMiddlewareStack(inner: App) -> CookieMiddleware:  # noqa: N802 (name of the contract)
    """Wrap an application in ``CookieMiddleware``, ``SessionMiddleware`` and ``AuthMiddleware``.

    WebSockets opened by pages of other sites are refused: see ``SiteOriginValidator``. So are those
    of users and addresses that have too many open, if there is a limit: see ``ConnectionLimits``.
    """
    return _CheckedCookieMiddleware(SessionMiddleware(_LimitedAuthMiddleware(inner)))


def _require_session(scope: Scope) -> Any:
    if "session" not in scope:
        raise ValueError(
            "Cannot find session in scope. You should wrap your consumer in SessionMiddleware."
        )
    return scope["session"]


def _require_user(scope: Scope, user: Any) -> Any:
    if user is None:
        user = scope.get("user")
    if user is None:
        raise ValueError("User must be passed as an argument or must be present in the scope.")
    if getattr(user, "is_anonymous", False):
        raise ValueError(f"cannot log in {user}; expected a user of the user model")
    return user


def _require_backend(user: Any, backend: str | None) -> str:
    chosen = backend or getattr(user, "backend", None)
    if chosen is None:
        configured = authentication_backends()
        if len(configured) != 1:
            raise ValueError(
                f"{len(configured)} authentication backends are configured; pass the backend "
                "argument to login(), or set the user's backend attribute"
            )
        chosen = configured[0]
    if not isinstance(chosen, str):
        raise TypeError(f"backend must be a dotted path, not {chosen!r}")
    return chosen


def _get_user_session_key(session: Any) -> Any:
    """Return the primary key of the session's user.

    Raises:
        KeyError: The session has no user.
        ValidationError: What it has is no primary key of the user model.
    """
    return get_user_model()._meta.pk.to_python(session[SESSION_KEY])


def _is_blank(session: Any) -> bool:
    """Return whether it came without a key and has not been touched, so that nothing is in it."""
    # Asked of what is in the lazy object, which takes long to pass each question on.
    store = getattr(session, "_wrapped", session)
    return (
        isinstance(store, SessionBase)
        and store.session_key is None
        and not hasattr(store, "_session_cache")
    )


def _load_user(session: Any) -> AbstractBaseUser | None:
    try:
        user_id = _get_user_session_key(session)
    except (KeyError, ValidationError):
        return None
    path = session.get(BACKEND_SESSION_KEY)
    if path not in authentication_backends():
        return None
    user: AbstractBaseUser | None = load_backend(path).get_user(user_id)
    return user


def _is_verified(user: Any, session: Any, *, may_cycle: bool) -> bool:
    """Return whether the session was made with the user's password, or flush it."""
    if not _has_hash(user):
        return True
    given = session.get(HASH_SESSION_KEY)
    fresh = user.get_session_auth_hash()
    if given and constant_time_compare(given, fresh):
        return True
    fallbacks = getattr(user, "get_session_auth_fallback_hash", tuple)
    if given and any(constant_time_compare(given, old) for old in fallbacks()):
        if may_cycle:
            session.cycle_key()
        session[HASH_SESSION_KEY] = fresh
        return True
    session.flush()
    return False


def _is_session_of(user: Any, session: Any, session_hash: str) -> bool:
    try:
        is_same = bool(_get_user_session_key(session) == user.pk)
    except ValidationError:
        return False
    given = session.get(HASH_SESSION_KEY, "")
    return is_same and (not session_hash or constant_time_compare(given, session_hash))


def _has_hash(user: object) -> bool:
    return hasattr(user, "get_session_auth_hash")

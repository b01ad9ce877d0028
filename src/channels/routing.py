"""From a connection's scope to the application that serves it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.urls.exceptions import Resolver404
from django.urls.resolvers import RegexPattern, RoutePattern, URLPattern, URLResolver

from channels.conf import asgi_application
from channels.exceptions import NoRouteError
from channels.middleware import hands_over
from channels.typing import App, Receive, Scope, Send

MOST_LISTED: Final = 10
"""How many known routes an error names before it only counts the rest."""


class _NoNestedRouteError(Resolver404):
    """A nested router has no match: the router around it goes on with its next route.

    A type of its own, so that a ``Resolver404`` of a running consumer is not taken for one.
    """


def get_default_application() -> Any:
    """Import and return the object that ``ASGI_APPLICATION`` names.

    Raises:
        ImproperlyConfigured: The setting is missing or no dotted path, its module cannot be
            imported, or the module has no such attribute. Any other error of the module is
            raised as it is.
    """
    path = asgi_application()
    if not isinstance(path, str) or "." not in path:
        raise ImproperlyConfigured(
            f"ASGI_APPLICATION is {path!r}; expected the dotted path of an ASGI application, "
            "such as 'mysite.asgi.application'."
        )
    module_name, _, attribute = path.rpartition(".")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"ASGI_APPLICATION is {path!r}, but module {module_name!r} cannot be imported: {error}"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise ImproperlyConfigured(
            f"ASGI_APPLICATION is {path!r}, but module {module_name!r} has no {attribute!r}."
        ) from error


class ProtocolTypeRouter:
    """Picks the application by the type of the connection.

    Args:
        application_mapping: Application for each type, such as ``"http"`` and ``"websocket"``.

    Raises:
        TypeError: An application is a consumer class instead of its ``as_asgi()``.
    """

    def __init__(self, application_mapping: Mapping[str, App]) -> None:
        self.application_mapping = application_mapping
        _refuse_classes(application_mapping)

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass the connection on, its scope untouched.

        Raises:
            NoRouteError: No application serves this type. For ``"lifespan"`` a server takes that
                as "not supported" and carries on (ASGI 2.0, lifespan).
        """
        application = self.application_mapping.get(scope["type"])
        if application is None:
            raise NoRouteError(
                f"no application for connections of type {scope['type']!r:.200}; "
                f"known types: {_listed(self.application_mapping)}"
            )
        return application(scope, receive, send)


class ChannelNameRouter:
    """Picks the application by the channel that a worker reads.

    Args:
        application_mapping: Application for each channel.

    Raises:
        TypeError: An application is a consumer class instead of its ``as_asgi()``.
    """

    def __init__(self, application_mapping: Mapping[str, App]) -> None:
        self.application_mapping = application_mapping
        _refuse_classes(application_mapping)

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass the connection on, its scope untouched.

        Raises:
            NoRouteError: The scope names no channel, or one that no application serves.
        """
        if "channel" not in scope:
            raise NoRouteError(
                f"ChannelNameRouter serves channels of a worker, but this connection of type "
                f"{scope.get('type')!r:.200} has no 'channel' in its scope"
            )
        application = self.application_mapping.get(scope["channel"])
        if application is None:
            raise NoRouteError(
                f"no application for channel {scope['channel']!r:.200}; "
                f"known channels: {_listed(self.application_mapping)}"
            )
        return application(scope, receive, send)


class URLRouter:
    """Picks the application by the path of the connection.

    Routers nest: one inside another sees the part of the path that the outer did not match. A
    route over a nested router is replaced by a copy whose pattern matches a prefix; the route
    passed in is not changed.

    Args:
        routes: What ``django.urls.path`` and ``re_path`` return, with ASGI applications as views.

    Raises:
        ImproperlyConfigured: A route is an ``include()`` or ``i18n_patterns()``.
        TypeError: A route's view is a consumer class instead of its ``as_asgi()``.
        ValueError: The pattern over a nested router is of a class that cannot match a prefix.
    """

    _path_routing = True
    """Says to a router around this one that its pattern has to match a prefix only."""

    def __init__(self, routes: Iterable[Any]) -> None:
        prepared = [_prepare(route) for route in routes]
        # The sequence passed in is kept where nothing of it is replaced: others append to it.
        self.routes: Sequence[Any] = routes if prepared == routes else prepared

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Pass the connection on with ``path_remaining`` and ``url_route`` in a new scope.

        Routes are tried in order, O(routes). When a nested router has no match, the next route
        is tried; an error of a running consumer is never taken for that.

        Raises:
            NoRouteError: No route matches, and this is the outermost router.
            Resolver404: No route matches, and this router is nested in another.
        """
        matches = self._matches(scope)
        application, inner = first = next(matches)
        if getattr(application, "_path_routing", None) is True:
            return _try_each(chain([first], matches), receive, send)
        return application(inner, receive, send)

    def _matches(self, scope: Scope) -> Iterator[tuple[App, Scope]]:
        """Yield what matches, with its scope; raise where nothing more does."""
        path = _path_to_match(scope)
        for route in self.routes:
            match = route.pattern.match(path)
            if match is not None:
                yield route.callback, _inner_scope(scope, route, match)
        raise _no_match(scope, path, self.routes)


async def _try_each(matches: Iterator[tuple[App, Scope]], receive: Receive, send: Send) -> Any:
    """Pass the connection on to the first that has a route, where routers are nested."""
    while True:
        application, scope = next(matches)
        with contextlib.suppress(_NoNestedRouteError):
            return await application(scope, receive, send)


def _prepare(route: Any) -> Any:
    """Return the route, or a copy with a prefix pattern where its view is a nested router."""
    callback = getattr(route, "callback", None)
    if callback is None and isinstance(route, URLResolver):
        raise ImproperlyConfigured(
            f"{route.pattern}: include() is not supported in URLRouter. "
            "Put another URLRouter there instead."
        )
    _refuse_class(callback, f"route {str(route.pattern)!r}")
    if getattr(callback, "_path_routing", None) is not True:
        return route
    nested: URLPattern = copy.copy(route)
    nested.pattern = _as_prefix(route.pattern)
    return nested


def _as_prefix(pattern: Any) -> Any:
    if isinstance(pattern, RegexPattern):
        source = pattern._regex  # type: ignore[attr-defined]
    elif isinstance(pattern, RoutePattern):
        source = pattern._route  # type: ignore[attr-defined]
    else:
        raise ValueError(
            f"a nested URLRouter cannot stand under a {type(pattern).__name__} "
            f"({pattern}); expected path() or re_path()"
        )
    return type(pattern)(source, name=pattern.name, is_endpoint=False)


def _path_to_match(scope: Scope) -> str:
    path = scope.get("path_remaining", scope.get("path"))
    if path is None:
        raise NoRouteError(
            f"a connection of type {scope.get('type')!r:.200} has no path, so URLRouter cannot "
            "route it; put the router under a type of ProtocolTypeRouter"
        )
    if "path_remaining" not in scope:
        path = _below_root(path, scope.get("root_path", ""))
    stripped: str = path.lstrip("/")
    return stripped


def _below_root(path: str, root: str) -> str:
    """Remove the prefix ``root``, which has to end where a segment of the path does."""
    rest = path[len(root) :]
    on_boundary = not root or root.endswith("/") or rest[:1] in ("", "/")
    if not (path.startswith(root) and on_boundary):
        raise NoRouteError(f"path {path!r:.200} is not below the root path {root!r:.200}")
    return rest


def _inner_scope(scope: Scope, route: Any, match: tuple[str, tuple[Any, ...], Any]) -> Scope:
    remaining, args, captured = match
    outer = scope.get("url_route", {})
    return {
        **scope,
        "path_remaining": remaining,
        "url_route": {
            "args": (*outer.get("args", ()), *args),
            "kwargs": {**outer.get("kwargs", {}), **captured, **route.default_args},
        },
    }


def _no_match(scope: Scope, path: str, routes: Iterable[Any]) -> Exception:
    error = _NoNestedRouteError if "path_remaining" in scope else NoRouteError
    known = _listed(_patterns(routes))
    return error(f"no route matches path {path!r:.200}; known routes: {known}")


def _patterns(routes: Iterable[Any], prefix: str = "") -> Iterator[str]:
    for route in routes:
        pattern = f"{prefix}{route.pattern}"
        if isinstance(route.callback, URLRouter):
            yield from _patterns(route.callback.routes, pattern)
        else:
            yield pattern


def _refuse_classes(application_mapping: Mapping[str, object]) -> None:
    for key, application in application_mapping.items():
        _refuse_class(application, repr(key))


def _refuse_class(application: object, where: str) -> None:
    # A class whose instances can be awaited is an ASGI application after all.
    if isinstance(application, type) and not hasattr(application, "__await__"):
        name = application.__name__
        raise TypeError(
            f"the application for {where} is the class {name}; expected an ASGI application, "
            f"such as {name}.as_asgi()"
        )


def _listed(known: Iterable[object]) -> str:
    names = [repr(name) for name in known]
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "") or "none"

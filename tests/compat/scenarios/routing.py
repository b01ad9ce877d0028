"""Contract 01: the ASGI entry point and the routers."""

from __future__ import annotations

import asyncio
import inspect
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import include, path, re_path, resolve
from django.urls.exceptions import Resolver404
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern

from channels.consumer import AsyncConsumer
from channels.middleware import BaseMiddleware
from channels.routing import (
    ChannelNameRouter,
    ProtocolTypeRouter,
    URLRouter,
    get_default_application,
)
from support import aoutcome, atext_of, outcome, text_of

Scope = dict[str, Any]


async def _echo(scope: Scope, receive: Any, send: Any) -> Scope:
    """Return what routing added to the scope."""
    return {key: scope.get(key) for key in ("url_route", "path_remaining")}


def _named(name: str) -> Any:
    async def app(scope: Scope, receive: Any, send: Any) -> object:
        return [name, scope.get("url_route", {}).get("kwargs"), scope.get("path_remaining")]

    return app


NOT_AN_APPLICATION = 5


async def _route(router: Any, where: str, **extra: Any) -> Any:
    scope = {"type": "websocket", "path": where, **extra}
    return await aoutcome(router(scope, None, None))


# --- get_default_application


def default_application_is_returned_as_it_is() -> object:
    """Contract 01, get_default_application: the object is returned without a callability check."""
    with override_settings(ASGI_APPLICATION="scenarios.routing._echo"):
        function = get_default_application() is _echo
    with override_settings(ASGI_APPLICATION="scenarios.routing.NOT_AN_APPLICATION"):
        return [function, get_default_application()]


def default_application_failures() -> object:
    """Contract 01, get_default_application: each failure raises ImproperlyConfigured."""
    values = [None, "nodots", "scenarios.routing.absent", "no_such_module_anywhere.application"]
    seen: list[Any] = []
    for value in values:
        with override_settings(ASGI_APPLICATION=value):
            seen.append(isinstance(outcome(get_default_application), ImproperlyConfigured))
    with override_settings():
        if hasattr(settings, "ASGI_APPLICATION"):
            del settings.ASGI_APPLICATION
        seen.append(isinstance(outcome(get_default_application), ImproperlyConfigured))
    return seen


def _importing(source: str) -> BaseException:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "compat_asgi.py").write_text(source)
        sys.path.insert(0, directory)
        try:
            with override_settings(ASGI_APPLICATION="compat_asgi.application"):
                return outcome(get_default_application)
        finally:
            sys.path.remove(directory)
            sys.modules.pop("compat_asgi", None)


def default_application_lets_other_errors_through() -> object:
    """Contract 01, get_default_application: other exceptions of the module propagate."""
    return [_importing("raise RuntimeError"), _importing("1 / 0"), _importing("import absent_one")]


def default_application_names_the_cause() -> object:
    """Contract 01, quirks: the ImportError behind the failure is chained explicitly."""
    error = _importing("import absent_one")
    return {
        "cause": type(error.__cause__).__name__,
        "says which module is missing": "absent_one" in str(error),
    }


# --- ProtocolTypeRouter


async def protocol_type_router_dispatches_on_type() -> object:
    """Contract 01, ProtocolTypeRouter: the app for the type is called, its result returned."""
    router = ProtocolTypeRouter({"http": _named("http"), "websocket": _named("websocket")})
    return [
        (await router({"type": "http"}, None, None))[0],
        (await router({"type": "websocket"}, None, None))[0],
    ]


async def protocol_type_router_passes_everything_untouched() -> object:
    """Contract 01, ProtocolTypeRouter: scope, receive and send are the same objects."""
    given: list[Any] = [{"type": "http"}, object(), object()]

    async def app(*arguments: Any) -> list[bool]:
        return [one is other for one, other in zip(given, arguments, strict=True)]

    return await ProtocolTypeRouter({"http": app})(*given)


async def protocol_type_router_refuses_unknown_types() -> object:
    """Contract 01, ProtocolTypeRouter: unmapped type, lifespan included, is a ValueError."""
    router = ProtocolTypeRouter({"http": _echo})
    return {
        "lifespan": await aoutcome(router({"type": "lifespan"}, None, None)),
        "names the type": "mqtt" in await atext_of(router({"type": "mqtt"}, None, None)),
        "without type": await aoutcome(router({}, None, None)),
    }


async def protocol_type_router_keeps_its_mapping() -> object:
    """Contract 01, names: ``application_mapping`` is the dict passed in."""
    mapping = {"http": _echo}
    router = ProtocolTypeRouter(mapping)
    mapping["late"] = _named("late")
    return [router.application_mapping is mapping, await router({"type": "late"}, None, None)]


def routers_are_coroutine_callables() -> object:
    """Contract 01: everything routable is an ASGI 3 callable with an ``async __call__``."""
    classes = [ProtocolTypeRouter, URLRouter, ChannelNameRouter]
    return [inspect.iscoroutinefunction(each.__call__) for each in classes]


# --- URLRouter: matching


async def url_router_captures_with_converters() -> object:
    """Contract 01, matching 4: converters apply, ``<int:n>`` yields an int."""
    router = URLRouter([path("rooms/<int:n>/<slug:name>/", _echo)])
    return [await _route(router, "/rooms/7/lobby/"), await _route(router, "/rooms/x/lobby/")]


async def url_router_contract_example() -> object:
    """Contract 01, nesting: the example of the contract."""
    rooms = URLRouter([path("<slug:room>/", _echo)])
    root = URLRouter([path("org/<int:org>/", rooms), path("health/", _named("health"))])
    return [await _route(root, "/org/7/lobby/"), await _route(root, "/health/")]


async def url_router_regex_captures() -> object:
    """Contract 01, matching 4 [run]: unanchored search, optional and positional groups."""
    return {
        "unanchored": await _route(URLRouter([re_path("bar", _echo)]), "/foo/bar/baz/"),
        "positional": await _route(URLRouter([re_path(r"^a/(\w+)/(\d+)/$", _echo)]), "/a/b/3/"),
        "unmatched positional": await _route(URLRouter([re_path(r"^a/(\d+)?$", _echo)]), "/a/"),
        "unmatched named": await _route(URLRouter([re_path(r"^a/(?P<n>\d+)?$", _echo)]), "/a/"),
        "named discards positional": await _route(
            URLRouter([re_path(r"^(\w+)/(?P<n>\d+)/$", _echo)]), "/a/4/"
        ),
    }


async def url_router_takes_the_first_match() -> object:
    """Contract 01, matching 4: routes are tried in order."""
    router = URLRouter([path("a/", _named("first")), re_path("a", _named("second"))])
    return [(await _route(router, where))[0] for where in ("/a/", "/ab/")]


async def url_router_strips_all_leading_slashes() -> object:
    """Contract 01, matching 3: ``//bar`` matches ``bar``."""
    router = URLRouter([path("bar", _echo)])
    return [await _route(router, where) for where in ("/bar", "//bar", "bar", "///bar")]


async def url_router_needs_a_path() -> object:
    """Contract 01, matching 1: a missing path, or ``None``, is a ValueError."""
    router = URLRouter([path("", _echo)])
    return [
        await aoutcome(router({"type": "lifespan"}, None, None)),
        await aoutcome(router({"type": "websocket", "path": None}, None, None)),
    ]


async def url_router_prefers_path_remaining() -> object:
    """Contract 01, matching 1: ``path_remaining`` beats ``path``, also when it is empty."""
    router = URLRouter([path("inner/", _echo), path("", _named("empty"))])
    return [
        await _route(router, "/outer/inner/", path_remaining="inner/"),
        await _route(router, "/inner/", path_remaining=""),
    ]


async def url_router_strips_root_path_outermost_only() -> object:
    """Contract 01, matching 2: root path is a required prefix for the outermost router alone."""
    router = URLRouter([path("bar/", _echo)])
    nested = URLRouter([path("a/", URLRouter([path("b/", _echo)]))])
    return {
        "stripped": await _route(router, "/root/bar/", root_path="/root"),
        "not a prefix": await _route(router, "/bar/", root_path="/root"),
        "empty": await _route(router, "/bar/", root_path=""),
        "inner ignores it": await _route(nested, "/root/a/b/", root_path="/root"),
        "given the rest": await _route(
            router, "/root/bar/", root_path="/elsewhere", path_remaining="bar/"
        ),
    }


async def url_router_root_path_ends_at_a_slash() -> object:
    """Contract 01, quirks [run]: root path ``/root`` and the path ``/rootbar/``."""
    return await _route(URLRouter([path("bar/", _echo)]), "/rootbar/", root_path="/root")


async def url_router_adds_to_a_copy_of_the_scope() -> object:
    """Contract 01, matching 5: the app gets a new, shallow copy; the caller's is unchanged."""
    shared: list[int] = []
    scope: Scope = {"type": "websocket", "path": "/a/", "shared": shared}

    async def app(inner: Scope, receive: Any, send: Any) -> list[bool]:
        return [inner is scope, inner["shared"] is shared, receive == "r", send == "s"]

    seen = await URLRouter([path("a/", app)])(scope, "r", "s")
    return [seen, sorted(scope)]


async def url_router_merges_kwargs_and_args() -> object:
    """Contract 01, matching 5: outer args first; options beat captures, inner beats outer."""
    inner = URLRouter([re_path(r"^(\d+)/$", _echo)])
    overlapping = URLRouter([path("<slug:n>/", _echo, {"static": "inner"})])
    return {
        "positional": await _route(URLRouter([re_path(r"^(\w+)/", inner)]), "/a/3/"),
        "options": await _route(URLRouter([path("<int:n>/", _echo, {"n": "static"})]), "/3/"),
        "inner beats outer": await _route(
            URLRouter([path("<int:n>/", overlapping, {"static": "outer", "kept": 1})]), "/3/four/"
        ),
        "set by hand": await _route(
            URLRouter([path("<int:n>/", _echo)]),
            "/3/",
            url_route={"args": ("x",), "kwargs": {"m": 1, "n": 0}},
        ),
    }


async def url_router_sets_path_remaining() -> object:
    """Contract 01, matching 5: the unmatched tail, empty for a full match."""
    router = URLRouter([re_path(r"^a/", _echo)])
    return [(await _route(router, where))["path_remaining"] for where in ("/a/", "/a/b/c/")]


async def url_router_without_a_match() -> object:
    """Contract 01, matching 7: ValueError outermost naming the path, Resolver404 nested."""
    router = URLRouter([path("a/", _echo)])
    scope = {"type": "websocket", "path": "/nowhere/at/all"}
    return {
        "outermost": await _route(router, "/b/"),
        "names the path": "nowhere/at/all" in await atext_of(router(scope, None, None)),
        "nested": await _route(router, "/b/", path_remaining="b/"),
        "no routes": await _route(URLRouter([]), "/b/"),
        "no routes, nested": await _route(URLRouter([]), "/b/", path_remaining="b/"),
        "below": await _route(URLRouter([path("a/", URLRouter([path("b/", _echo)]))]), "/a/c/"),
    }


async def url_router_serves_connections_concurrently() -> object:
    """Contract 01: routers are safe to call concurrently."""

    async def slow(scope: Scope, receive: Any, send: Any) -> object:
        await asyncio.sleep(0)
        return scope["url_route"]["kwargs"]["n"]

    router = URLRouter([path("<int:n>/", slow)])
    return await asyncio.gather(*(_route(router, f"/{n}/") for n in range(20)))


# --- URLRouter: nesting and construction


async def url_router_falls_through_a_nested_router() -> object:
    """Contract 01, nesting: without a match inside, the outer list resumes."""
    inner = URLRouter([path("y/", _named("inner"))])
    router = URLRouter([path("p/", inner), path("p/x/", _named("outer"))])
    return [await _route(router, "/p/y/"), await _route(router, "/p/x/")]


async def url_router_under_an_anchored_regex() -> object:
    """Contract 01, nesting: below a regex ending in ``$`` only an empty tail is left."""
    inner = URLRouter([path("", _named("empty")), path("b/", _named("b"))])
    router = URLRouter([re_path(r"^a/$", inner)])
    return [await _route(router, "/a/"), await _route(router, "/a/b/")]


async def url_router_hidden_by_a_middleware_under_re_path() -> object:
    """Contract 01, nesting [run]: an unanchored regex reaches a router inside a middleware."""
    hidden = BaseMiddleware(URLRouter([path("b/", _echo)]))
    return await _route(URLRouter([re_path(r"^a/", hidden)]), "/a/b/")


async def url_router_hidden_by_a_middleware_under_path() -> object:
    """Contract 01, quirks: ``path()`` over a middleware that wraps a router."""
    hidden = BaseMiddleware(URLRouter([path("b/", _echo)]))
    return await _route(URLRouter([path("a/", hidden)]), "/a/b/")


async def url_router_wrappers_opt_in() -> object:
    """Contract 01, nesting: ``_path_routing = True`` opts in, on functions and on objects."""
    inner = URLRouter([path("b/", _echo)])

    async def function(scope: Scope, receive: Any, send: Any) -> Any:
        return await inner(scope, receive, send)

    class Wrapper:
        _path_routing = True

        async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
            return await inner(scope, receive, send)

    function._path_routing = True  # type: ignore[attr-defined]
    return [await _route(URLRouter([path("a/", app)]), "/a/b/") for app in (function, Wrapper())]


async def url_router_opt_in_must_be_exactly_true() -> object:
    """Contract 01, construction 1: a merely truthy ``_path_routing`` is not an opt-in."""

    class Wrapper:
        _path_routing = 1

        async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
            return await _echo(scope, receive, send)

    router = URLRouter([path("a/", Wrapper())])
    return [await _route(router, "/a/"), await _route(router, "/a/b/")]


def url_router_rewrites_patterns_of_nested_routers() -> object:
    """Contract 01, construction 1: same class, source and name, with ``is_endpoint=False``."""
    inner = URLRouter([path("b/", _echo)])
    router = URLRouter([path("<int:n>/", inner, name="in"), re_path(r"^x/", inner, name="re")])
    return [
        [
            type(route.pattern) in (RoutePattern, RegexPattern) and type(route.pattern).__name__,
            str(route.pattern),
            route.pattern.name,
            route.pattern._is_endpoint,
            route.name,
        ]
        for route in router.routes
    ]


def url_router_and_the_callers_route() -> object:
    """Contract 01, construction 1 [run] and quirks: is the caller's route object changed?"""
    route = path("a/", URLRouter([path("b/", _echo)]))
    URLRouter([route])
    return {"still an endpoint": route.pattern._is_endpoint}


def url_router_cannot_rebuild_other_patterns() -> object:
    """Contract 01, construction 1: another pattern class over a nested router is a ValueError."""
    route = path("a/", URLRouter([path("b/", _echo)]))
    route.pattern = LocalePrefixPattern()
    return outcome(URLRouter, [route])


def url_router_refuses_include() -> object:
    """Contract 00, pinned texts: ``include()`` and ``i18n_patterns()`` are refused."""
    included = path("a/", include([path("b/", _echo)]))
    pinned = "include() is not supported in URLRouter."
    return {
        "include": outcome(URLRouter, [included]),
        "text": pinned in text_of(URLRouter, [included]),
        "i18n": outcome(URLRouter, i18n_patterns(path("b/", _echo))),
        "i18n text": pinned in text_of(URLRouter, i18n_patterns(path("b/", _echo))),
    }


def url_router_names() -> object:
    """Contract 01, names: ``routes`` holds the routes passed in, ``_path_routing`` is True."""
    routes = [path("a/", _echo), re_path("b", _echo)]
    router = URLRouter(routes)
    return {
        "routes": [route.callback is _echo for route in router.routes],
        "path routing": URLRouter._path_routing,
        "length": len(router.routes),
    }


async def url_router_calls_the_routes_callback() -> object:
    """Contract 01, matching 5: ``route.callback`` is called, as tracers replace it."""
    route = path("a/", _echo)
    router = URLRouter([route])
    router.routes[0].callback = _named("replaced")
    return await _route(router, "/a/")


class _Accepting(AsyncConsumer):
    async def websocket_connect(self, event: Any) -> None:
        await self.send({"type": "websocket.accept"})


async def url_router_given_a_consumer_class() -> object:
    """Contract 01, quirks [run]: a consumer class instead of ``as_asgi()``: when does it fail?"""
    router = outcome(URLRouter, [path("a/", _Accepting)])
    if isinstance(router, Exception):
        return {"fails at": "construction", "names as_asgi": "as_asgi" in str(router)}
    return {"fails at": "connect", "error": await _route(router, "/a/")}


async def url_router_and_a_consumers_own_resolver404() -> object:
    """Contract 01, quirks [run]: a consumer that calls ``resolve()`` raises Resolver404 itself."""

    async def resolving(scope: Scope, receive: Any, send: Any) -> Any:
        with override_settings(ROOT_URLCONF="project.empty_urls"):
            return resolve("/no/such/view/")

    router = URLRouter([path("a/", resolving), path("a/", _named("next"))])
    seen = await _route(router, "/a/")
    return "Resolver404" if isinstance(seen, Resolver404) else seen


async def consumer_instances_and_products_are_apps() -> object:
    """Contract 01: consumer instances and ``as_asgi()`` products are both valid apps."""
    from support import CONNECT, Connection

    seen = []
    for app in (_Accepting(), _Accepting.as_asgi()):
        async with Connection(URLRouter([path("", app)])) as connection:
            connection.feed(CONNECT)
            seen.append(await connection.sent(1))
    return seen


# --- ChannelNameRouter


async def channel_name_router() -> object:
    """Contract 01, ChannelNameRouter: dispatch on the channel; absent or unmapped ValueError."""
    mapping = {"thumbs": _named("thumbs")}
    router = ChannelNameRouter(mapping)
    return {
        "mapped": (await router({"type": "channel", "channel": "thumbs"}, None, None))[0],
        "unmapped": await aoutcome(router({"type": "channel", "channel": "other"}, None, None)),
        "absent": await aoutcome(router({"type": "channel"}, None, None)),
        "mapping": router.application_mapping is mapping,
    }


async def routers_pass_state_and_extensions_through() -> object:
    """Contract 13, lifespan: routers and middlewares keep ``state`` and ``extensions``."""

    async def app(scope: Scope, receive: Any, send: Any) -> object:
        return [scope["state"], scope["extensions"], scope["unknown"]]

    application = ProtocolTypeRouter({"websocket": BaseMiddleware(URLRouter([path("a/", app)]))})
    return await _route(application, "/a/", state={"a": 1}, extensions={"x": {}}, unknown=b"u")

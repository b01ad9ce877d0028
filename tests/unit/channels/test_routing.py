"""The way from a scope to its application, and what is said where there is none."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import include, path, re_path
from django.urls.exceptions import Resolver404
from django.urls.resolvers import LocalePrefixPattern, URLPattern

from channels.auth import AuthMiddlewareStack
from channels.exceptions import NoRouteError
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import (
    ChannelNameRouter,
    ProtocolTypeRouter,
    URLRouter,
    get_default_application,
)
from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator
from channels.sessions import CookieMiddleware, SessionMiddlewareStack
from channels.typing import Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> Scope:
    return scope


async def other(scope: Scope, receive: Receive, send: Send) -> str:
    return "other"


async def receive() -> dict[str, Any]:
    return {"type": "websocket.connect"}


async def send(event: dict[str, Any]) -> None:
    """Take the event."""


async def route(router: Any, where: str, **extra: Any) -> Any:
    return await router({"type": "websocket", "path": where, **extra}, receive, send)


# ASGI_APPLICATION


@override_settings(ASGI_APPLICATION="channels.routing.URLRouter")
def test_the_default_application_is_returned_as_it_is() -> None:
    assert get_default_application() is URLRouter


@pytest.mark.parametrize("value", [None, "asgi", 5])
def test_a_setting_that_is_no_dotted_path_is_named(value: object) -> None:
    with (
        override_settings(ASGI_APPLICATION=value),
        pytest.raises(
            ImproperlyConfigured,
            match=rf"ASGI_APPLICATION is {value!r}; expected the dotted path of an ASGI",
        ),
    ):
        get_default_application()


def test_a_missing_setting_is_reported_like_an_empty_one() -> None:
    with pytest.raises(ImproperlyConfigured, match="ASGI_APPLICATION is None"):
        get_default_application()


@override_settings(ASGI_APPLICATION="made_asgi.application")
def test_the_import_that_failed_inside_the_module_is_named_and_chained(
    module_directory: Path,
) -> None:
    (module_directory / "made_asgi.py").write_text("import absent_dependency")

    with pytest.raises(ImproperlyConfigured, match="No module named 'absent_dependency'") as caught:
        get_default_application()

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@override_settings(ASGI_APPLICATION="made_asgi.application")
def test_another_error_of_the_module_is_raised_as_it_is(module_directory: Path) -> None:
    (module_directory / "made_asgi.py").write_text("1 / 0")

    with pytest.raises(ZeroDivisionError):
        get_default_application()


@override_settings(ASGI_APPLICATION="channels.routing.application")
def test_a_missing_attribute_is_named() -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"module 'channels\.routing' has no 'application'"
    ):
        get_default_application()


# ProtocolTypeRouter and ChannelNameRouter


async def test_the_type_picks_the_application_and_the_scope_is_not_copied() -> None:
    router = ProtocolTypeRouter({"websocket": echo, "http": other})
    scope = {"type": "websocket"}

    assert await router(scope, receive, send) is scope
    assert await router({"type": "http"}, receive, send) == "other"


async def test_a_type_without_application_is_refused_with_the_known_ones() -> None:
    router = ProtocolTypeRouter({"http": other, "websocket": echo})

    with pytest.raises(
        ValueError,
        match="no application for connections of type 'lifespan'; known types: 'http', 'websocket'",
    ) as caught:
        await router({"type": "lifespan"}, receive, send)

    assert isinstance(caught.value, NoRouteError)
    assert caught.value.close_code == 1008


async def test_a_scope_without_type_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="type"):
        await ProtocolTypeRouter({})({}, receive, send)


async def test_the_channel_picks_the_application() -> None:
    mapping = {"thumbnails": other}
    router = ChannelNameRouter(mapping)

    assert router.application_mapping is mapping
    assert await router({"type": "channel", "channel": "thumbnails"}, receive, send) == "other"


async def test_a_channel_without_application_is_refused_with_the_known_ones() -> None:
    router = ChannelNameRouter({"thumbnails": other})

    with pytest.raises(
        NoRouteError, match="no application for channel 'mail'; known channels: 'thumbnails'"
    ):
        await router({"type": "channel", "channel": "mail"}, receive, send)


async def test_a_scope_without_channel_is_refused() -> None:
    with pytest.raises(NoRouteError, match="type 'http' has no 'channel' in its scope"):
        await ChannelNameRouter({})({"type": "http"}, receive, send)


async def test_an_application_added_later_is_found() -> None:
    mapping: dict[str, Any] = {}
    router = ProtocolTypeRouter(mapping)

    mapping["http"] = other

    assert await router({"type": "http"}, receive, send) == "other"


# A class in place of an application


@pytest.mark.parametrize("router_class", [ProtocolTypeRouter, ChannelNameRouter])
def test_a_router_refuses_a_consumer_class_at_once(router_class: Any) -> None:
    with pytest.raises(
        TypeError,
        match=r"the application for 'websocket' is the class AsyncWebsocketConsumer; "
        r"expected an ASGI application, such as AsyncWebsocketConsumer\.as_asgi\(\)",
    ):
        router_class({"websocket": AsyncWebsocketConsumer})


def test_a_url_router_refuses_a_consumer_class_at_once() -> None:
    with pytest.raises(TypeError, match=r"for route 'chat/' is the class AsyncWebsocketConsumer"):
        URLRouter([path("chat/", AsyncWebsocketConsumer)])


async def test_a_class_whose_instances_are_awaitable_is_an_application() -> None:
    class Endpoint:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.scope = scope

        def __await__(self) -> Any:
            yield from ()
            return self.scope["path"]

    assert await route(URLRouter([path("a/", Endpoint)]), "/a/") == "/a/"


# Matching


async def test_converters_apply_and_the_scope_is_a_copy() -> None:
    scope = {"type": "websocket", "path": "/rooms/7/lobby/", "state": {}}

    seen = await URLRouter([path("rooms/<int:n>/<slug:name>/", echo)])(scope, receive, send)

    assert seen["url_route"] == {"args": (), "kwargs": {"n": 7, "name": "lobby"}}
    assert seen["path_remaining"] == ""
    assert seen["state"] is scope["state"]
    assert sorted(scope) == ["path", "state", "type"]


@pytest.mark.parametrize("where", ["bar", "/bar", "//bar", "///bar"])
async def test_all_leading_slashes_are_ignored(where: str) -> None:
    assert await route(URLRouter([path("bar", other)]), where) == "other"


@pytest.mark.parametrize(
    ("pattern", "where", "url_route"),
    [
        (r"bar", "/foo/bar/", {"args": (), "kwargs": {}}),
        (r"^a/(\w+)/(\d+)/$", "/a/b/3/", {"args": ("b", "3"), "kwargs": {}}),
        (r"^a/(\d+)?$", "/a/", {"args": (None,), "kwargs": {}}),
        (r"^a/(?P<n>\d+)?$", "/a/", {"args": (), "kwargs": {}}),
        (r"^(\w+)/(?P<n>\d+)/$", "/a/4/", {"args": (), "kwargs": {"n": "4"}}),
    ],
)
async def test_regular_expressions_follow_djangos_rules(
    pattern: str, where: str, url_route: object
) -> None:
    assert (await route(URLRouter([re_path(pattern, echo)]), where))["url_route"] == url_route


async def test_static_options_beat_captures() -> None:
    seen = await route(URLRouter([path("<int:n>/", echo, {"n": "static"})]), "/3/")

    assert seen["url_route"]["kwargs"] == {"n": "static"}


async def test_inner_arguments_beat_outer_ones() -> None:
    inner = URLRouter([path("<slug:name>/", echo, {"kept": "inner"})])
    router = URLRouter([path("<int:name>/", inner, {"kept": "outer", "also": 1})])

    seen = await route(router, "/3/four/")

    assert seen["url_route"]["kwargs"] == {"name": "four", "kept": "inner", "also": 1}


async def test_what_an_outer_router_found_is_merged() -> None:
    router = URLRouter([re_path(r"^(\d+)/$", echo)])

    seen = await route(router, "/3/", url_route={"args": ("x",), "kwargs": {"m": 1}})

    assert seen["url_route"] == {"args": ("x", "3"), "kwargs": {"m": 1}}


async def test_the_callback_is_read_from_the_route_at_each_call() -> None:
    router = URLRouter([path("a/", echo)])

    router.routes[0].callback = other

    assert await route(router, "/a/") == "other"


# The root path


@pytest.mark.parametrize("root", ["/root", "/root/"])
async def test_the_root_path_is_removed(root: str) -> None:
    router = URLRouter([path("bar/", other)])

    assert await route(router, "/root/bar/", root_path=root) == "other"


async def test_an_empty_root_path_changes_nothing() -> None:
    assert await route(URLRouter([path("bar/", other)]), "/bar/", root_path="") == "other"


@pytest.mark.parametrize("where", ["/bar/", "/rootbar/", "/roo"])
async def test_a_path_that_is_not_below_the_root_path_is_refused(where: str) -> None:
    with pytest.raises(NoRouteError, match=f"path '{where}' is not below the root path '/root'"):
        await route(URLRouter([path("bar/", other)]), where, root_path="/root")


async def test_the_root_path_itself_is_the_empty_path() -> None:
    assert await route(URLRouter([path("", other)]), "/root", root_path="/root") == "other"


async def test_a_nested_router_ignores_the_root_path() -> None:
    router = URLRouter([path("a/", URLRouter([path("b/", other)]))])

    assert await route(router, "/root/a/b/", root_path="/root") == "other"


# Nesting


async def test_the_contracts_example() -> None:
    rooms = URLRouter([path("<slug:room>/", echo)])
    root = URLRouter([path("org/<int:org>/", rooms), path("health/", other)])

    assert (await route(root, "/org/7/lobby/"))["url_route"] == {
        "args": (),
        "kwargs": {"org": 7, "room": "lobby"},
    }
    assert await route(root, "/health/") == "other"


async def test_the_outer_router_goes_on_where_a_nested_one_has_no_match() -> None:
    inner = URLRouter([path("y/", echo)])
    router = URLRouter([path("p/", inner), path("p/x/", other)])

    assert await route(router, "/p/x/") == "other"


async def test_the_outer_router_goes_on_behind_middleware_too() -> None:
    inner = AuthMiddlewareStack(URLRouter([path("y/", echo)]))
    router = URLRouter([re_path("^p/", inner), path("p/x/", other)])

    assert await route(router, "/p/x/", headers=[], session={}, user=1) == "other"


async def test_an_applications_own_resolver404_is_not_taken_for_no_match() -> None:
    async def resolving(scope: Scope, receive: Receive, send: Send) -> None:
        raise Resolver404({"path": "from the application"})

    router = URLRouter([path("a/", URLRouter([path("", resolving)])), path("a/", other)])

    with pytest.raises(Resolver404, match="from the application"):
        await route(router, "/a/")


@pytest.mark.parametrize(
    "wrap",
    [
        BaseMiddleware,
        CookieMiddleware,
        SessionMiddlewareStack,
        AuthMiddlewareStack,
        AllowedHostsOriginValidator,
        lambda inner: OriginValidator(inner, ["*"]),
        lambda inner: OriginValidator(AuthMiddlewareStack(inner), ["*"]),
    ],
)
async def test_a_router_inside_our_middleware_is_still_seen(wrap: Any) -> None:
    router = URLRouter([path("a/", wrap(URLRouter([path("b/", other)])))])
    headers = [(b"origin", b"http://localhost")]

    seen = await route(router, "/a/b/", headers=headers, session={}, user=1)

    assert seen == "other"


@pytest.mark.parametrize("wrap", [BaseMiddleware, lambda inner: OriginValidator(inner, ["*"])])
def test_middleware_around_an_application_is_no_router(wrap: Any) -> None:
    router = URLRouter([path("a/", wrap(other))])

    assert router.routes[0].pattern.match("a/b/") is None


async def test_a_wrapper_opts_in_by_an_attribute() -> None:
    inner = URLRouter([path("b/", other)])

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> Any:
        return await inner(scope, receive, send)

    wrapper._path_routing = True  # type: ignore[attr-defined]

    assert await route(URLRouter([path("a/", wrapper)]), "/a/b/") == "other"


def test_a_route_over_a_nested_router_is_copied_with_a_prefix_pattern() -> None:
    inner = URLRouter([])
    given = path("<int:n>/", inner, name="outer")
    expression = re_path(r"^x/", inner)
    before = given.pattern

    router = URLRouter([given, expression])

    assert given.pattern is before
    assert given.pattern.match("1/rest/") is None
    assert router.routes[0].pattern.match("1/rest/") == ("rest/", (), {"n": 1})
    assert router.routes[0].name == router.routes[0].pattern.name == "outer"
    assert router.routes[1].pattern.match("x/rest/") == ("rest/", (), {})


def test_the_sequence_passed_in_is_kept_where_nothing_is_replaced() -> None:
    routes = [path("a/", echo)]

    assert URLRouter(routes).routes is routes
    assert URLRouter(each for each in routes).routes == routes


def test_a_pattern_that_cannot_match_a_prefix_is_refused_over_a_nested_router() -> None:
    given = copy.copy(path("a/", URLRouter([])))
    assert isinstance(given, URLPattern)
    given.pattern = LocalePrefixPattern()

    with pytest.raises(ValueError, match="cannot stand under a LocalePrefixPattern"):
        URLRouter([given])


def test_include_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"include\(\) is not supported in URLRouter\."):
        URLRouter([path("a/", include([path("b/", echo)]))])


def test_translated_prefixes_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"include\(\) is not supported in URLRouter\."):
        URLRouter(i18n_patterns(path("b/", echo)))


# No match


async def test_a_path_without_a_route_is_named_with_the_known_routes() -> None:
    inner = URLRouter([path("<slug:room>/", echo)])
    router = URLRouter([path("chat/", inner), re_path("^notes/$", echo)])

    with pytest.raises(
        ValueError,
        match=r"no route matches path 'chat/a/b'; known routes: 'chat/<slug:room>/', '\^notes/\$'",
    ) as caught:
        await route(router, "/chat/a/b")

    assert isinstance(caught.value, NoRouteError)
    assert caught.value.close_code == 1008
    assert caught.value.__context__ is None


async def test_the_text_stays_short_whatever_the_client_sends_and_the_site_has() -> None:
    router = URLRouter([path(f"{number}/", echo) for number in range(500)])

    with pytest.raises(NoRouteError, match=r"'9/' and 490 more$") as caught:
        await route(router, "/" + "x" * 100_000)

    assert len(str(caught.value)) < 400


async def test_a_router_without_routes_matches_nothing() -> None:
    with pytest.raises(NoRouteError, match="no route matches path ''; known routes: none"):
        await route(URLRouter([]), "/")


async def test_a_nested_router_without_a_match_raises_resolver404() -> None:
    with pytest.raises(Resolver404) as caught:
        await route(URLRouter([path("a/", echo)]), "/b/", path_remaining="b/")

    assert not isinstance(caught.value, ValueError)


@pytest.mark.parametrize("scope", [{"type": "lifespan"}, {"type": "lifespan", "path": None}])
async def test_a_connection_without_path_is_refused(scope: Scope) -> None:
    with pytest.raises(NoRouteError, match="a connection of type 'lifespan' has no path"):
        await URLRouter([path("", echo)])(scope, receive, send)

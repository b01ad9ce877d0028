"""Contract 07: origin checking."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import urlparse

from django.test import override_settings

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.security.websocket import (
    AllowedHostsOriginValidator,
    OriginValidator,
    WebsocketDenier,
)
from support import (
    BYE,
    CONNECT,
    Connection,
    Event,
    aoutcome,
    converse,
    http_scope,
    outcome,
    websocket_scope,
)

# Patterns, then the origins that are tried against them.
TABLE: list[tuple[list[str], list[str | None]]] = [
    (["ex.com"], ["http://ex.com:9000", "HTTPS://EX.COM", "http://user@ex.com", "http://a.ex.com"]),
    (["EX.com"], ["http://ex.com"]),
    ([".ex.com"], ["http://ex.com", "http://a.b.ex.com", "http://badex.com", "", "something"]),
    ([".Ex.com"], ["http://A.ex.COM"]),
    (
        ["http://ex.com"],
        ["http://ex.com:80", "http://ex.com", "https://ex.com", "http://ex.com:81"],
    ),
    (["http://ex.com"], ["HTTP://EX.COM", "ex.com", "http://ex.com/path"]),
    (["http://ex.com:80"], ["http://ex.com", "http://ex.com:80", "http://ex.com:8080"]),
    (["https://ex.com"], ["https://ex.com:443", "https://ex.com:80"]),
    (["http://.ex.com:8080"], ["http://a.ex.com:8080", "http://ex.com:8080", "http://a.ex.com"]),
    (["ws://ex.com"], ["http://ex.com", "ws://ex.com", "ws://ex.com:80"]),
    (["wss://ex.com:443"], ["wss://ex.com"]),
    (["chrome-extension://abc"], ["chrome-extension://abc", "chrome-extension://abd"]),
    (["*"], [None, "null", "", "anything", "http://ex.com"]),
    (["a.com", "*"], [None, "null", "http://b.com"]),
    ([], [None, "null", "http://ex.com"]),
    (["ex.com"], [None, "null", "", "ex.com"]),
    (["*.ex.com", "http://*"], ["http://a.ex.com", "http://ex.com", "http://x"]),
    (["127.0.0.1", "[::1]"], ["http://127.0.0.1:3000", "http://[::1]:9", "http://127.0.0.2"]),
    (["localhost"], ["http://localhost:8000", "http://a.localhost"]),
    (["a.com", "b.com"], ["http://b.com", "http://c.com"]),
]


async def _inner(scope: Event, receive: Any, send: Any) -> str:
    return "inner app"


def _headers(*origins: str | None) -> list[tuple[bytes, bytes]]:
    return [(b"origin", origin.encode("latin-1")) for origin in origins if origin is not None]


async def _ask(validator: Any, *origins: str | None) -> Any:
    """Return ``inner app``, what the denier sent, or the error that came out."""

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    sent: list[Event] = []
    events = [dict(CONNECT), dict(BYE)]
    scope = websocket_scope(headers=_headers(*origins))
    return await aoutcome(validator(scope, receive, send)) or sent


async def origins_against_patterns() -> object:
    """Contract 07, pattern matching [run]: the whole table."""
    seen = []
    for patterns, origins in TABLE:
        validator = OriginValidator(_inner, patterns)
        answers = {str(origin): await _ask(validator, origin) for origin in origins}
        seen.append([patterns, answers])
    return seen


async def the_inner_app_gets_the_same_scope() -> object:
    """Contract 07, OriginValidator 3: the same scope is delegated, the result returned."""
    scope = websocket_scope(headers=_headers("http://ex.com"))

    async def app(*given: Any) -> list[bool]:
        return [given[0] is scope, given[1] == "r", given[2] == "s"]

    return await OriginValidator(app, ["ex.com"])(scope, "r", "s")


async def only_websockets_are_checked() -> object:
    """Contract 07, OriginValidator 1: another scope type is a ValueError."""
    return await aoutcome(OriginValidator(_inner, ["*"])(http_scope(), None, None))


async def header_names_match_exactly() -> object:
    """Contract 07, OriginValidator 2: the header is named exactly ``b"origin"``."""
    scope = websocket_scope(headers=[(b"Origin", b"http://ex.com")])
    return (await converse(OriginValidator(_inner, ["ex.com"]), CONNECT, BYE, scope=scope))["sent"]


async def several_origin_headers() -> object:
    """Contract 07, OriginValidator 2 [run] and quirks: several differing Origin headers."""
    validator = OriginValidator(_inner, ["ex.com"])
    return {
        "last is good": await _ask(validator, "http://evil.com", "http://ex.com"),
        "last is bad": await _ask(validator, "http://ex.com", "http://evil.com"),
        "same twice": await _ask(validator, "http://ex.com", "http://ex.com"),
    }


async def malformed_origins() -> object:
    """Contract 07, quirks [run]: origins that cannot be parsed."""
    validator = OriginValidator(_inner, ["http://ex.com"])
    origins = ["http://[::1", "http://ex.com:99999", "http://ex.com:abc"]
    return {origin: await _ask(validator, origin) for origin in origins}


async def malformed_ports_under_a_bare_host() -> object:
    """Contract 07, quirks: a port that is no port, where the pattern ignores ports."""
    validator = OriginValidator(_inner, ["ex.com"])
    return [await _ask(validator, each) for each in ("http://ex.com:99999", "http://ex.com:abc")]


async def a_port_after_a_bare_host() -> object:
    """Contract 07, quirks [run]: patterns like ``localhost:8000`` and ``127.0.0.1:3000``."""
    return {
        pattern: [await _ask(OriginValidator(_inner, [pattern]), each) for each in origins]
        for pattern, origins in {
            "localhost:8000": ["http://localhost:8000", "http://localhost:9000"],
            "127.0.0.1:3000": ["http://127.0.0.1:3000", "http://127.0.0.1:4000"],
        }.items()
    }


async def denial_is_a_bare_close() -> object:
    """Contract 07, denial [run]: a bare close, then alive until the disconnect; clean end."""
    scope = websocket_scope(headers=_headers("http://evil.com"))
    async with Connection(OriginValidator(_inner, ["ex.com"]), scope) as connection:
        connection.feed(CONNECT)
        sent = list(await connection.sent(1))
        running = not connection.task.done()
        connection.feed({"type": "websocket.disconnect", "code": 1006})
        return [sent, running, await connection.end()]


async def the_denier_and_the_layer() -> object:
    """Contract 07, quirks: does the denier open a channel on the layer?"""
    async with Connection(WebsocketDenier()) as connection:
        connection.feed(CONNECT)
        await connection.sent(1)
        return len(get_channel_layer().channels)


def the_denier_is_a_consumer() -> object:
    """Contract 03 and 07, names: WebsocketDenier is an AsyncWebsocketConsumer."""
    return issubclass(WebsocketDenier, AsyncWebsocketConsumer)


def attributes_and_checks() -> object:
    """Contract 07, names: the attributes as given, the four checks are sync methods."""
    patterns = {"ex.com": 1}
    validator = OriginValidator(_inner, patterns)
    checks = ["valid_origin", "validate_origin", "match_allowed_origin", "get_origin_port"]
    return [
        validator.application is _inner,
        validator.allowed_origins is patterns,
        [inspect.iscoroutinefunction(getattr(validator, name)) for name in checks],
    ]


def checks_can_be_called() -> object:
    """Contract 07, checks: each of the four methods by itself."""
    validator = OriginValidator(_inner, ["ex.com"])
    anything = OriginValidator(_inner, ["*"])
    good, bad = urlparse("http://ex.com"), urlparse("http://evil.com")
    urls = ["http://a", "ws://a", "https://a", "wss://a", "https://a:81", "ftp://a", "http://a:0"]
    return {
        "valid": [bool(validator.valid_origin(each)) for each in (None, good, bad)],
        "valid under star": [bool(anything.valid_origin(each)) for each in (None, good)],
        "validate": [bool(validator.validate_origin(each)) for each in (good, bad)],
        "match": [
            bool(validator.match_allowed_origin(good, each)) for each in ("ex.com", "http://ex.com")
        ],
        "no hostname": bool(validator.match_allowed_origin(urlparse("null"), "null")),
        "none": outcome(lambda: bool(validator.match_allowed_origin(None, "ex.com"))),
        "ports": [validator.get_origin_port(urlparse(each)) for each in urls],
    }


async def checks_can_be_overridden() -> object:
    """Contract 07, checks: all are overridable; ``valid_origin`` gets the parsed origin."""
    seen: list[Any] = []

    class Picky(OriginValidator):
        def valid_origin(self, parsed_origin: Any) -> bool:
            seen.append(parsed_origin and parsed_origin.geturl())
            return True

    class Matching(OriginValidator):
        def match_allowed_origin(self, parsed_origin: Any, pattern: str) -> bool:
            seen.append(pattern)
            return True

    return [
        await _ask(Picky(_inner, []), "http://evil.com"),
        await _ask(Picky(_inner, [])),
        await _ask(Matching(_inner, ["a"]), "http://evil.com"),
        seen,
    ]


async def allowed_hosts() -> object:
    """Contract 07, AllowedHostsOriginValidator: ALLOWED_HOSTS; localhost when DEBUG is on."""
    seen = {}
    for name, table in {
        "hosts": {"ALLOWED_HOSTS": [".ex.com"]},
        "debug": {"ALLOWED_HOSTS": [], "DEBUG": True},
        "hosts and debug": {"ALLOWED_HOSTS": ["ex.com"], "DEBUG": True},
        "nothing": {"ALLOWED_HOSTS": []},
        "star": {"ALLOWED_HOSTS": ["*"]},
    }.items():
        with override_settings(**table):
            validator = AllowedHostsOriginValidator(_inner)
            origins = ["http://a.ex.com", "http://ex.com", "http://localhost:80", "http://[::1]"]
            answers = [await _ask(validator, each) for each in (*origins, None)]
            seen[name] = [isinstance(validator, OriginValidator), answers]
    return seen


async def allowed_hosts_in_debug_and_subdomains_of_localhost() -> object:
    """Contract 07, quirks: ``*.localhost`` while DEBUG is on."""
    with override_settings(ALLOWED_HOSTS=[], DEBUG=True):
        validator = AllowedHostsOriginValidator(_inner)
        return [list(validator.allowed_origins), await _ask(validator, "http://shop.localhost")]


async def allowed_hosts_are_read_when() -> object:
    """Contract 07, quirks: the settings change after the factory was called."""
    with override_settings(ALLOWED_HOSTS=["old.com"]):
        validator = AllowedHostsOriginValidator(_inner)
    with override_settings(ALLOWED_HOSTS=["new.com"]):
        return [list(validator.allowed_origins), await _ask(validator, "http://new.com")]

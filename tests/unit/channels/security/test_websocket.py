"""Which origins may open a WebSocket, and what a refusal tells whom."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import ParseResult, urlparse

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import override_settings

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels.security.websocket import (
    AllowedHostsOriginValidator,
    OriginValidator,
    SiteOriginValidator,
    WebsocketDenier,
)
from channels.typing import Event, Receive, Scope, Send

CLOSE = {"type": "websocket.close"}
REFUSED = {"type": "websocket.close", "code": 1008}


async def inner(scope: Scope, receive: Receive, send: Send) -> str:
    return "let in"


def scope_of(*origins: str, **headers: str) -> Scope:
    """Return the scope of a handshake with these Origin headers and others."""
    pairs = [*headers.items(), *(("origin", origin) for origin in origins)]
    return {
        "type": "websocket",
        "path": "/chat/",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }


async def ask(validator: Any, scope: Scope) -> Any:
    """Return what the application returned, or the events of a refusal."""
    events = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    return await validator(scope, receive, send) or sent


# OriginValidator


@pytest.mark.parametrize(
    ("patterns", "origin"),
    [
        (["ex.com"], "http://ex.com:9000"),
        (["ex.com"], "HTTPS://EX.COM"),
        (["EX.com"], "http://ex.com"),
        (["ex.com"], "http://user@ex.com"),
        ([".ex.com"], "http://ex.com"),
        ([".Ex.com"], "http://a.b.ex.com"),
        (["127.0.0.1", "[::1]"], "http://[::1]:9"),
        (["localhost:8000"], "http://localhost:8000"),
        (["localhost:8000"], "http://localhost:9000"),
        (["127.0.0.1:3000"], "http://127.0.0.1:4000"),
        (["http://ex.com"], "http://ex.com:80"),
        (["http://ex.com:80"], "http://ex.com"),
        (["HTTPS://Ex.com"], "https://ex.com:443"),
        (["http://.ex.com:8080"], "http://a.ex.com:8080"),
        (["chrome-extension://abc"], "chrome-extension://abc"),
        (["a.com", "b.com"], "http://b.com"),
        ({"ex.com"}, "http://ex.com"),
        (["*"], "null"),
        (["*"], "http://[::1"),
        (["a.com", "*"], "anything"),
    ],
)
async def test_an_origin_that_a_pattern_allows_is_let_in(patterns: Any, origin: str) -> None:
    assert await ask(OriginValidator(inner, patterns), scope_of(origin)) == "let in"


@pytest.mark.parametrize(
    ("patterns", "origin"),
    [
        ([], "http://ex.com"),
        (["ex.com"], "http://a.ex.com"),
        (["ex.com"], "null"),
        (["ex.com"], ""),
        (["ex.com"], "ex.com"),
        ([".ex.com"], "http://badex.com"),
        ([".ex.com"], "something-invalid"),
        (["*.ex.com", "http://*"], "http://a.ex.com"),
        (["http://ex.com"], "https://ex.com"),
        (["http://ex.com"], "http://ex.com:81"),
        (["ws://ex.com"], "http://ex.com"),
        (["chrome-extension://abc"], "chrome-extension://abd"),
        (["http://[::1"], "http://ex.com"),
        ([""], "http://ex.com"),
        (["ex.com"], "http://[::1"),
        (["ex.com"], "http://ex.com:99999"),
        (["http://ex.com"], "http://ex.com:abc"),
    ],
)
async def test_any_other_origin_is_refused_with_a_bare_close(patterns: Any, origin: str) -> None:
    assert await ask(OriginValidator(inner, patterns), scope_of(origin)) == [CLOSE]


async def test_a_missing_origin_is_refused_unless_everything_is_allowed() -> None:
    assert await ask(OriginValidator(inner, ["ex.com"]), scope_of()) == [CLOSE]
    assert await ask(OriginValidator(inner, ["ex.com", "*"]), scope_of()) == "let in"


async def test_several_origins_are_refused_whatever_their_order() -> None:
    validator = OriginValidator(inner, ["ex.com"])

    assert await ask(validator, scope_of("http://evil.com", "http://ex.com")) == [CLOSE]
    assert await ask(validator, scope_of("http://ex.com", "http://evil.com")) == [CLOSE]
    assert await ask(validator, scope_of("http://ex.com", "http://ex.com")) == "let in"


async def test_an_origin_of_any_bytes_is_read() -> None:
    assert await ask(OriginValidator(inner, ["ex.com"]), scope_of("http://\xff.com")) == [CLOSE]


async def test_a_handshake_without_headers_counts_as_one_without_origin() -> None:
    assert await ask(OriginValidator(inner, ["ex.com"]), {"type": "websocket"}) == [CLOSE]


async def test_the_application_gets_the_same_scope() -> None:
    async def identity(scope: Scope, receive: Receive, send: Send) -> Scope:
        return scope

    scope = scope_of("http://ex.com")

    assert await ask(OriginValidator(identity, ["ex.com"]), scope) is scope


async def test_another_type_of_connection_is_refused() -> None:
    with pytest.raises(ValueError, match=r"OriginValidator serves WebSockets only, not .* 'http'"):
        await ask(OriginValidator(inner, ["*"]), {"type": "http"})


async def test_a_refused_connection_lives_until_the_client_has_left() -> None:
    talk = ApplicationCommunicator(OriginValidator(inner, []), scope_of("http://evil.com"))

    await talk.send_input({"type": "websocket.connect"})
    assert await talk.receive_output() == CLOSE
    await asyncio.sleep(0)
    assert not talk.future.done()

    await talk.send_input({"type": "websocket.disconnect", "code": 1006})
    await talk.wait()


async def test_a_refusal_names_origin_and_patterns_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await ask(OriginValidator(inner, ["ex.com"]), scope_of("http://evil.com"))

    assert caplog.record_tuples == [
        (
            "django.channels.security",
            logging.WARNING,
            "WebSocket '/chat/' refused: Origin 'http://evil.com' is not among ['ex.com'].",
        )
    ]


def test_the_checks_can_be_called_one_by_one() -> None:
    validator = OriginValidator(inner, ["ex.com"])
    good = urlparse("http://ex.com")

    assert validator.application is inner
    assert validator.allowed_origins == ["ex.com"]
    assert validator.valid_origin(good)
    assert not validator.valid_origin(None)
    assert validator.validate_origin(good)
    assert validator.match_allowed_origin(good, "http://ex.com")
    assert not validator.match_allowed_origin(None, "ex.com")


@pytest.mark.parametrize(
    ("origin", "port"),
    [("http://a", 80), ("ws://a", 80), ("https://a", 443), ("wss://a", 443), ("http://a:0", 0)],
)
def test_the_port_is_the_given_one_or_the_schemes(origin: str, port: int) -> None:
    assert OriginValidator(inner, []).get_origin_port(urlparse(origin)) == port


def test_an_unknown_scheme_has_no_port() -> None:
    assert OriginValidator(inner, []).get_origin_port(urlparse("app://a")) is None


async def test_a_subclass_may_decide_itself() -> None:
    class Lenient(OriginValidator):
        def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
            return parsed_origin is not None and parsed_origin.port == 9

    assert await ask(Lenient(inner, []), scope_of("http://evil.com:9")) == "let in"
    assert await ask(Lenient(inner, []), scope_of("http://evil.com")) == [CLOSE]


async def test_a_subclass_may_read_ports_in_its_own_way() -> None:
    class Portless(OriginValidator):
        def get_origin_port(self, origin: ParseResult) -> int | None:
            return None

    assert await ask(Portless(inner, ["http://ex.com"]), scope_of("http://ex.com:81")) == "let in"


# AllowedHostsOriginValidator


async def test_allowed_hosts_are_read_when_they_are_needed() -> None:
    with override_settings(ALLOWED_HOSTS=["old.com"]):
        validator = AllowedHostsOriginValidator(inner)
    with override_settings(ALLOWED_HOSTS=["new.com", ".more.com"]):
        assert validator.allowed_origins == ["new.com", ".more.com"]
        assert list(validator.allowed_origins) == ["new.com", ".more.com"]
        assert len(validator.allowed_origins) == 2
        assert "new.com" in validator.allowed_origins
        assert repr(validator.allowed_origins) == "['new.com', '.more.com']"
        assert await ask(validator, scope_of("https://a.more.com")) == "let in"
        assert await ask(validator, scope_of("https://old.com")) == [CLOSE]


@override_settings(ALLOWED_HOSTS=[], DEBUG=True)
async def test_while_debugging_the_own_machine_is_allowed() -> None:
    validator = AllowedHostsOriginValidator(inner)

    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "shop.localhost"):
        assert await ask(validator, scope_of(f"http://{host}")) == "let in"
    assert await ask(validator, scope_of("http://ex.com")) == [CLOSE]


@override_settings(ALLOWED_HOSTS=[], DEBUG=False)
async def test_without_allowed_hosts_nobody_is_let_in() -> None:
    validator = AllowedHostsOriginValidator(inner)

    assert await ask(validator, scope_of("http://localhost")) == [CLOSE]


# WebsocketDenier


async def test_the_denier_refuses_and_opens_no_channel() -> None:
    channel_layers.backends.clear()
    layer = get_channel_layer()
    assert isinstance(layer, InMemoryChannelLayer)
    talk = ApplicationCommunicator(WebsocketDenier(), scope_of())

    await talk.send_input({"type": "websocket.connect"})
    assert await talk.receive_output() == CLOSE
    assert not layer.channels

    await talk.send_input({"type": "websocket.disconnect", "code": 1006})
    await talk.wait()
    assert issubclass(WebsocketDenier, AsyncWebsocketConsumer)


# SiteOriginValidator, the default of AuthMiddlewareStack


SITE = override_settings(
    ALLOWED_HOSTS=["chat.example", ".team.example"],
    CSRF_TRUSTED_ORIGINS=["https://partner.example:8443", "https://*.friends.example"],
)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        # The request's own host, which need not be in the settings for that.
        ("http://own.example", "own.example"),
        ("https://own.example", "own.example:443"),
        ("https://own.example:8443", "own.example"),
        ("http://OWN.example:8000", "own.EXAMPLE:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        # ALLOWED_HOSTS, whatever scheme and port.
        ("https://chat.example:9", "inside:8000"),
        ("http://a.team.example", "inside:8000"),
        # CSRF_TRUSTED_ORIGINS, with scheme and port.
        ("https://partner.example:8443", "inside:8000"),
        ("https://a.friends.example", "inside:8000"),
        ("https://friends.example:443", "inside:8000"),
    ],
)
@SITE
async def test_a_page_of_the_site_or_of_a_trusted_one_is_let_in(origin: str, host: str) -> None:
    assert await ask(SiteOriginValidator(inner), scope_of(origin, host=host)) == "let in"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "own.example"),
        ("http://own.example:9000", "own.example:8000"),
        ("https://own.example", "own.example:8000"),
        ("http://own.example.evil.example", "own.example"),
        ("http://notteam.example", "own.example"),
        ("http://partner.example:8443", "own.example"),
        ("https://partner.example", "own.example"),
        ("http://a.friends.example", "own.example"),
        ("https://badfriends.example", "own.example"),
        ("null", "own.example"),
        ("null", ""),
        ("", "own.example"),
        ("own.example", "own.example"),
        ("http://own.example", "own.example:99999"),
        ("http://[::1", "own.example"),
        ("http://own.example:abc", "own.example"),
    ],
)
@SITE
async def test_a_page_of_any_other_site_is_refused(origin: str, host: str) -> None:
    assert await ask(SiteOriginValidator(inner), scope_of(origin, host=host)) == [REFUSED]


@SITE
async def test_a_client_that_sends_no_origin_is_let_in() -> None:
    assert await ask(SiteOriginValidator(inner), scope_of(host="own.example")) == "let in"


@SITE
async def test_without_host_the_settings_decide_alone() -> None:
    assert await ask(SiteOriginValidator(inner), scope_of("http://own.example")) == [REFUSED]
    assert await ask(SiteOriginValidator(inner), scope_of("http://chat.example")) == "let in"


@SITE
async def test_several_hosts_are_no_own_host() -> None:
    scope = scope_of("http://own.example", host="own.example")
    scope["headers"].append((b"host", b"other.example"))

    assert await ask(SiteOriginValidator(inner), scope) == [REFUSED]


@override_settings(ALLOWED_HOSTS=["*"])
async def test_every_host_being_allowed_lets_in_every_page_that_says_which_it_is() -> None:
    validator = SiteOriginValidator(inner)

    assert await ask(validator, scope_of("http://any.example", host="own")) == "let in"
    assert await ask(validator, scope_of("null", host="own")) == "let in"
    assert await ask(validator, scope_of("http://[::1", host="own")) == [REFUSED]
    assert await ask(validator, scope_of("http://a.b", "http://c.d", host="own")) == [REFUSED]


@override_settings(ALLOWED_HOSTS=[], DEBUG=True)
async def test_while_debugging_another_port_of_the_own_machine_is_let_in() -> None:
    scope = scope_of("http://localhost:3000", host="localhost:8000")

    assert await ask(SiteOriginValidator(inner), scope) == "let in"


@SITE
async def test_the_check_can_be_turned_off_and_on_while_running() -> None:
    validator = SiteOriginValidator(inner)
    scope = scope_of("http://evil.example", host="own.example")

    with override_settings(CHANNELS={"CHECK_ORIGIN": False}):
        assert await ask(validator, scope) == "let in"
    assert await ask(validator, scope) == [REFUSED]


@SITE
async def test_other_connections_are_not_checked() -> None:
    scope = {**scope_of("http://evil.example", host="own.example"), "type": "http"}

    assert await ask(SiteOriginValidator(inner), scope) == "let in"


@SITE
async def test_what_a_validator_around_it_accepted_is_let_in() -> None:
    stack = OriginValidator(SiteOriginValidator(inner), ["https://page.example"])

    assert await ask(stack, scope_of("https://page.example", host="own.example")) == "let in"


@SITE
async def test_a_validator_around_another_connection_accepts_nothing_here() -> None:
    async def opens_another(scope: Scope, receive: Receive, send: Send) -> Any:
        return await ask(SiteOriginValidator(inner), scope_of("http://evil.example", host="own"))

    outer = OriginValidator(opens_another, ["https://page.example"])

    assert await ask(outer, scope_of("https://page.example")) == [REFUSED]
    assert await ask(SiteOriginValidator(inner), scope_of("https://page.example")) == [REFUSED]


@SITE
async def test_a_refusal_says_which_settings_would_allow_the_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scope = scope_of("http://evil.example", host="own.example:8000")

    await ask(SiteOriginValidator(inner), scope)

    [record] = caplog.records
    assert (record.name, record.levelno) == ("django.channels.security", logging.WARNING)
    assert record.getMessage() == (
        "WebSocket '/chat/' refused: Origin 'http://evil.example' is neither the host of the "
        "request ('own.example:8000') nor allowed. To allow it, add its host to ALLOWED_HOSTS or "
        "the whole of it to CSRF_TRUSTED_ORIGINS; CHANNELS = {'CHECK_ORIGIN': False} turns this "
        "check off."
    )


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (["http://[::1"], "Origin 'http://[::1' is not one origin such as 'https://example.com'."),
        (["http://b", "http://a"], "Origin 'http://a' and 'http://b' is not one origin such as "),
    ],
)
async def test_a_refusal_says_what_is_wrong_with_the_header(
    origins: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(SiteOriginValidator(inner), scope_of(*origins, host="own.example"))

    assert said in caplog.text


async def test_the_line_in_the_log_stays_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    scope = scope_of("http://a\nb" + "x" * 9999, "http://b" * 999, host="h" * 9999)
    scope["path"] = "/\n" + "p" * 9999

    await ask(SiteOriginValidator(inner), scope)

    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < 1500


def test_a_string_in_place_of_a_list_of_patterns_is_refused() -> None:
    with pytest.raises(TypeError, match=r"is 'example\.org'; expected a list of patterns, as "):
        OriginValidator(_never, "example.org")

    assert OriginValidator(_never, "*").valid_origin(None)


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nobody comes here")

"""Which web pages may open a WebSocket here.

A browser sends cookies along with a WebSocket whatever page opens it, and says in the Origin
header which page that is (RFC 6455, 10.2). So a site that knows its visitors by cookies has to
look at the Origin, or any other site can act in their name.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextvars import ContextVar
from typing import Any, Final, overload
from urllib.parse import ParseResult, urlparse

from django.utils.http import is_same_domain

from channels.conf import allowed_hosts, channels_settings, trusted_origins
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import deny, hands_over
from channels.typing import App, Receive, Scope, Send

DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}

LONGEST_KEPT: Final = 600
"""Bytes of an Origin and a Host whose comparison is remembered; names have 253 at most."""

UNREADABLE: Final = urlparse("")
"""Stands for an Origin that cannot be read; as it has no host, only ``"*"`` allows it."""

logger: logging.Logger = logging.getLogger("django.channels.security")

# The Origin that a validator around the current one has accepted: who names the pages of his
# choice there need not repeat them in the settings.
_accepted: ContextVar[frozenset[bytes]] = ContextVar("accepted_origin", default=frozenset())


class OriginValidator:
    """Refuses WebSockets of pages whose origin is not listed.

    A pattern is a host (``"example.com"``, any scheme and port), a host with all its subdomains
    (``".example.com"``), a whole origin (``"https://example.com:8443"``, also with the leading
    dot) or ``"*"``. The port in a pattern without a scheme is ignored. A client that sends no
    Origin, or several, or one that cannot be read, is refused unless ``"*"`` is listed.

    A refusal is status 403, and one line at WARNING on the logger ``django.channels.security``.

    Args:
        application: The application to guard.
        allowed_origins: The patterns; read at each handshake.

    Raises:
        TypeError: They are one string, whose letters would be the patterns.
    """

    def __init__(self, application: App, allowed_origins: Collection[str]) -> None:
        # "*" alone has always meant what ["*"] means.
        if isinstance(allowed_origins, str | bytes) and allowed_origins != "*":
            raise TypeError(
                f"allowed_origins is {allowed_origins!r}; expected a list of patterns, as "
                '["example.org"]'
            )
        self.application = application
        self.allowed_origins = allowed_origins

    @property
    def _path_routing(self) -> bool:
        # A nested URLRouter stays visible to the outer one through the validator around it.
        return getattr(self.application, "_path_routing", None) is True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Refuse the handshake or pass the connection on, its scope untouched.

        Raises:
            ValueError: The connection is no WebSocket.
        """
        if scope["type"] != "websocket":
            raise ValueError(
                f"{type(self).__name__} serves WebSockets only, not a connection of type "
                f"{scope['type']!r}; put it under 'websocket' of ProtocolTypeRouter"
            )
        headers = _header(scope, b"origin")
        if not self.valid_origin(_read_origin(headers)):
            _log_refusal(scope, f"{_shown(headers)} is not among {self.allowed_origins!r:.500}")
            return await deny(receive, send)
        token = _accepted.set(headers)
        try:
            return await self.application(scope, receive, send)
        finally:
            _accepted.reset(token)

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        """Return whether a handshake with this Origin, or with none, is let in."""
        if parsed_origin is None:
            return "*" in self.allowed_origins
        return self.validate_origin(parsed_origin)

    def validate_origin(self, parsed_origin: ParseResult) -> bool:
        """Return whether any pattern allows this Origin."""
        return any(
            pattern == "*" or self.match_allowed_origin(parsed_origin, pattern)
            for pattern in self.allowed_origins
        )

    def match_allowed_origin(self, parsed_origin: ParseResult | None, pattern: str) -> bool:
        """Return whether this one pattern, other than ``"*"``, allows this Origin."""
        if parsed_origin is None or not parsed_origin.hostname:
            return False
        has_scheme = "://" in pattern
        allowed = _parse(pattern if has_scheme else f"//{pattern}")
        if has_scheme and not (
            allowed.scheme == parsed_origin.scheme
            and self.get_origin_port(allowed) == self.get_origin_port(parsed_origin)
        ):
            return False
        return is_same_domain(parsed_origin.hostname, allowed.hostname or "")

    def get_origin_port(self, origin: ParseResult) -> int | None:
        """Return the port, or its scheme's default, or ``None`` where there is none."""
        return _port(origin)


class SiteOriginValidator(OriginValidator):
    """Refuses WebSockets that a browser opens from the page of another site.

    Let in are: a handshake without Origin, as no browser sends one; the host that the request
    itself went to; what ``ALLOWED_HOSTS`` or ``CSRF_TRUSTED_ORIGINS`` allow, ``"*"`` among the
    former being every host; and what an ``OriginValidator`` around this one has accepted.
    ``CHANNELS = {"CHECK_ORIGIN": False}`` turns it off. Other connections pass.

    A refusal is status 403, and one line at WARNING on the logger ``django.channels.security``.

    Args:
        application: The application to guard.
    """

    def __init__(self, application: App) -> None:
        super().__init__(application, _SettingsPatterns(_site_patterns))

    @hands_over
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Refuse the handshake or pass the connection on, its scope untouched."""
        if scope.get("type") != "websocket" or not channels_settings().check_origin:
            return self.application(scope, receive, send)
        reason = self._refusal(scope)
        if reason is None:
            return self.application(scope, receive, send)
        _log_refusal(scope, reason)
        return deny(receive, send, code=1008)

    def _refusal(self, scope: Scope) -> str | None:
        """Return why the handshake is refused, or ``None`` if it is not."""
        headers, hosts = _header(scope, b"origin"), _header(scope, b"host")
        if _is_own_host(headers, hosts):
            return None
        origin = _read_origin(headers)
        if origin is None or headers == _accepted.get():
            return None
        if origin is UNREADABLE:
            return f"{_shown(headers)} is not one origin such as 'https://example.com'"
        if self.validate_origin(origin):
            return None
        return (
            f"{_shown(headers)} is neither the host of the request ({_shown(hosts)}) nor allowed. "
            "To allow it, add its host to ALLOWED_HOSTS or the whole of it to "
            "CSRF_TRUSTED_ORIGINS; CHANNELS = {'CHECK_ORIGIN': False} turns this check off"
        )


def AllowedHostsOriginValidator(application: App) -> OriginValidator:  # noqa: N802 (contract)
    """Refuse WebSockets of pages whose host is not in ``ALLOWED_HOSTS``, read when it is needed.

    While ``DEBUG`` is on and the setting is empty, ``localhost``, its subdomains and the loopback
    addresses are allowed.
    """
    return OriginValidator(application, _SettingsPatterns(allowed_hosts))


class WebsocketDenier(AsyncWebsocketConsumer):
    """Refuses every handshake."""

    # No layer has this name: to refuse takes no channel.
    channel_layer_alias = ""

    async def connect(self) -> None:
        """Refuse."""
        await self.close()


class _SettingsPatterns(Sequence[str]):
    """Patterns that are read from the settings each time they are looked at."""

    def __init__(self, read: Callable[[], list[str]]) -> None:
        self._read = read

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._read()[index]

    def __len__(self) -> int:
        return len(self._read())

    def __eq__(self, other: object) -> bool:
        return self._read() == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._read())


def _site_patterns() -> list[str]:
    # Django's wildcard for subdomains is "*." there, ours is "." as in ALLOWED_HOSTS.
    trusted = [origin.replace("://*.", "://.", 1) for origin in trusted_origins()]
    return [*allowed_hosts(), *trusted]


def _header(scope: Scope, name: bytes) -> frozenset[bytes]:
    """Return the differing values of one header."""
    return frozenset([value for key, value in scope.get("headers", ()) if key == name])


def _is_own_host(origins: frozenset[bytes], hosts: frozenset[bytes]) -> bool:
    """Return whether the page is of the host that the request went to."""
    if len(origins) != 1 or len(hosts) != 1:
        return False
    (origin,), (host,) = origins, hosts
    # Clients choose what is kept.
    return len(origin) + len(host) <= LONGEST_KEPT and _is_of_host(origin, host)


@functools.lru_cache(maxsize=256)
def _is_of_host(origin: bytes, host: bytes) -> bool:
    page, own = (_parse(text.decode("latin-1")) for text in (origin, b"//" + host))
    # Proxies often leave the port out of Host.
    return bool(page.hostname) and (
        own.hostname == page.hostname and (own.port is None or own.port == _port(page))
    )


def _port(origin: ParseResult) -> int | None:
    return DEFAULT_PORTS.get(origin.scheme) if origin.port is None else origin.port


def _read_origin(headers: frozenset[bytes]) -> ParseResult | None:
    if not headers:
        return None
    if len(headers) > 1:
        return UNREADABLE
    return _parse(b"".join(headers).decode("latin-1"))


def _parse(url: str) -> ParseResult:
    try:
        parsed = urlparse(url)
        _ = parsed.port  # raises as well, where it is no port
    except ValueError:
        return UNREADABLE
    return parsed


def _shown(headers: frozenset[bytes]) -> str:
    values = sorted(value.decode("latin-1") for value in headers)
    return " and ".join(f"{value!r:.200}" for value in values[:3]) or "none"


def _log_refusal(scope: Scope, reason: str) -> None:
    logger.warning("WebSocket %.200r refused: Origin %s.", scope.get("path"), reason)

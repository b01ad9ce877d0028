"""The reader of Django's settings, shared by the runtime and the system checks."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed

from channels.exceptions import InvalidChannelLayerError


class Problem(NamedTuple):
    """Why a setting cannot be used, in words for the site's developer."""

    name: str
    message: str
    hint: str


class LayerConfig(NamedTuple):
    """One entry of ``CHANNEL_LAYERS``, checked.

    ``test_options`` is ``None`` where ``TEST_CONFIG`` is absent.
    """

    backend: str
    options: Mapping[str, Any]
    test_options: Mapping[str, Any] | None


class ChannelsSettings(NamedTuple):
    """The ``CHANNELS`` setting with its defaults.

    Times are in seconds, ``message_rate`` in messages a second; ``None`` is no limit.
    ``docs/reference/settings.md`` says what each is.
    """

    check_origin: bool = True
    disconnect_grace: float = 10.0
    sync_threads: int = 8
    max_frame_bytes: int = 1024 * 1024
    max_message_bytes: int = 1024 * 1024
    max_connections: int = 10_000
    header_timeout: float = 10.0
    handshake_timeout: float = 10.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    outbox_frames: int = 100
    outbox_bytes: int = 1024 * 1024
    message_rate: float | None = None
    idle_timeout: float | None = None
    max_connections_per_user: int | None = None
    max_connections_per_address: int | None = None


def parse_layers(raw: object) -> tuple[dict[str, LayerConfig], list[Problem]]:
    """Split a raw ``CHANNEL_LAYERS`` value into good entries and problems."""
    if not isinstance(raw, Mapping):
        return {}, [Problem("*", "CHANNEL_LAYERS is not a dict.", "Map aliases to dicts.")]
    good: dict[str, LayerConfig] = {}
    bad: list[Problem] = []
    for alias, entry in raw.items():
        problem = _layer_problem(alias, entry)
        if problem is None:
            good[alias] = LayerConfig(
                entry["BACKEND"], entry.get("CONFIG", {}), entry.get("TEST_CONFIG")
            )
        else:
            bad.append(problem)
    return good, bad


def raw_layers() -> dict[str, Any]:
    """Return ``CHANNEL_LAYERS`` as it is now, unparsed."""
    raw: dict[str, Any] = getattr(settings, "CHANNEL_LAYERS", {})
    return raw


def layer_config(alias: str) -> LayerConfig:
    """Return the settings of one layer.

    Raises:
        KeyError: There is no such alias.
        InvalidChannelLayerError: The alias exists but cannot be used.
    """
    good, bad = parse_layers(raw_layers())
    for problem in bad:
        if problem.name in (alias, "*"):
            raise InvalidChannelLayerError(f"{problem.message} {problem.hint}")
    return good[alias]


def asgi_application() -> str | None:
    """Return ``ASGI_APPLICATION``, or ``None`` where it is not set."""
    path: str | None = getattr(settings, "ASGI_APPLICATION", None)
    return path


class ServerSettings(NamedTuple):
    """What ``runserver`` reads. A limit of 0 bytes is none; ``root_path`` may be empty."""

    debug: bool
    settings_module: str
    root_path: str
    max_message_bytes: int
    max_frame_bytes: int


def server_settings() -> ServerSettings:
    """Return the settings of ``runserver``, as they are now."""
    return ServerSettings(
        settings.DEBUG,
        str(settings.SETTINGS_MODULE),
        (settings.FORCE_SCRIPT_NAME or "").rstrip("/"),
        getattr(settings, "DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE", 1048576),
        getattr(settings, "DAPHNE_WEBSOCKET_MAX_FRAME_SIZE", 1048576),
    )


def allowed_hosts() -> list[str]:
    """Return ``ALLOWED_HOSTS``, or what Django takes in its place while ``DEBUG`` is on."""
    if settings.DEBUG and not settings.ALLOWED_HOSTS:
        return ["localhost", "127.0.0.1", "[::1]", ".localhost"]
    return list(settings.ALLOWED_HOSTS)


def trusted_origins() -> list[str]:
    """Return ``CSRF_TRUSTED_ORIGINS``."""
    return list(settings.CSRF_TRUSTED_ORIGINS)


def authentication_backends() -> list[str]:
    """Return ``AUTHENTICATION_BACKENDS``, dotted paths."""
    return list(settings.AUTHENTICATION_BACKENDS)


def parse_channels(raw: object) -> tuple[ChannelsSettings, list[Problem]]:
    """Read a raw ``CHANNELS`` value; what cannot be used keeps its default."""
    defaults = ChannelsSettings(sync_threads=_default_sync_threads())
    if not isinstance(raw, Mapping):
        return defaults, [Problem("*", "CHANNELS is not a dict.", f"Known keys: {KNOWN}.")]
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in raw.items():
        rule = RULES.get(key)
        if rule is None:
            problems.append(Problem(key, f"CHANNELS has no key {key!r}.", f"Known keys: {KNOWN}."))
        elif not rule.accepts(value):
            problems.append(
                Problem(key, f"CHANNELS[{key!r}] is {value!r}.", f"Expected {rule.expected}.")
            )
        else:
            values[key.lower()] = value
    return defaults._replace(**values), problems


@functools.cache
def channels_settings() -> ChannelsSettings:
    """Return the site's ``CHANNELS``, read once and again when a test changes it."""
    return read_channels()[0]


def read_channels() -> tuple[ChannelsSettings, list[Problem]]:
    """Parse the site's ``CHANNELS`` as it is now."""
    return parse_channels(getattr(settings, "CHANNELS", {}))


class Rule(NamedTuple):
    """What a value of ``CHANNELS`` must be."""

    accepts: Callable[[object], bool]
    expected: str


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _above_0(what: str) -> Rule:
    return Rule(
        lambda value: _is_number(value) and 0 < value < math.inf,  # type: ignore[operator]
        f"a number of {what} above 0",
    )


def _whole(what: str) -> Rule:
    return Rule(lambda value: type(value) is int and value > 0, f"a whole number of {what} above 0")


def _or_none(rule: Rule) -> Rule:
    return Rule(
        lambda value: value is None or rule.accepts(value), f"{rule.expected}, or None for no limit"
    )


RULES: Final[Mapping[str, Rule]] = {
    "CHECK_ORIGIN": Rule(lambda value: isinstance(value, bool), "True or False"),
    "DISCONNECT_GRACE": _above_0("seconds"),
    "SYNC_THREADS": _whole("threads"),
    "MAX_FRAME_BYTES": _whole("bytes"),
    "MAX_MESSAGE_BYTES": _whole("bytes"),
    "MAX_CONNECTIONS": _whole("connections"),
    "HEADER_TIMEOUT": _above_0("seconds"),
    "HANDSHAKE_TIMEOUT": _above_0("seconds"),
    "PING_INTERVAL": _or_none(_above_0("seconds")),
    "PING_TIMEOUT": _or_none(_above_0("seconds")),
    "OUTBOX_FRAMES": _whole("frames"),
    "OUTBOX_BYTES": _whole("bytes"),
    "MESSAGE_RATE": _or_none(_above_0("messages a second")),
    "IDLE_TIMEOUT": _or_none(_above_0("seconds")),
    "MAX_CONNECTIONS_PER_USER": _or_none(_whole("connections")),
    "MAX_CONNECTIONS_PER_ADDRESS": _or_none(_whole("connections")),
}
KNOWN: Final = ", ".join(RULES)


def _default_sync_threads() -> int:
    # ASGI_THREADS is the name under which Channels documents a limit on threads.
    asked = os.environ.get("ASGI_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else ChannelsSettings().sync_threads


def _layer_problem(alias: object, entry: object) -> Problem | None:
    name = str(alias)
    if not isinstance(entry, Mapping):
        return Problem(name, f"Channel layer {alias!r} is not a dict.", "Give it a BACKEND.")
    if "ROUTING" in entry:
        return Problem(
            name,
            f"Channel layer {alias!r} has a ROUTING key, which Channels 1 used.",
            "Remove it; routing starts at ASGI_APPLICATION.",
        )
    backend = entry.get("BACKEND")
    if not isinstance(backend, str) or "." not in backend:
        return Problem(
            name,
            f"BACKEND of channel layer {alias!r} is {backend!r}."
            if backend
            else f"Channel layer {alias!r} has no BACKEND.",
            "Give the dotted path of a class, such as 'channels.layers.InMemoryChannelLayer'.",
        )
    for key in ("CONFIG", "TEST_CONFIG"):
        if not isinstance(entry.get(key, {}), Mapping):
            return Problem(
                name, f"{key} of channel layer {alias!r} is not a dict.", "Map options to values."
            )
    return None


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "CHANNELS":
        channels_settings.cache_clear()


setting_changed.connect(_forget)

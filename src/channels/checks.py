"""What ``manage.py check`` says about a project's use of this package.

Each id keeps its meaning for good; docs/reference/checks.md lists them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.management import find_commands, load_command_class
from django.db import connections
from django.utils.module_loading import import_string

from channels import DEFAULT_CHANNEL_LAYER, conf
from channels.topics.topic import alike, has_topics
from channels.utils import name_that_thing

TAG: Final = "channels"
OUR_RUNSERVER: Final = "channels.management.commands.runserver"
UPSTREAM: Final = {"channels": "channels", "channels-redis": "channels_redis"}
"""Distributions that bring packages of the same names as ours."""


def register_checks() -> None:
    """Register every check of this module with Django. Idempotent."""
    for check in (
        check_layers,
        check_backends,
        check_channels,
        check_topics,
        check_patterns,
        check_asgi_application,
        check_runserver,
        check_upstream,
    ):
        register(check, TAG)
    register(check_allowed_hosts, TAG, Tags.security, deploy=True)
    register(check_persistent_connections, TAG, Tags.database, deploy=True)


def check_layers(**kwargs: Any) -> list[CheckMessage]:
    """E001: an entry of ``CHANNEL_LAYERS`` cannot be used."""
    _, problems = conf.parse_layers(conf.raw_layers())
    return [_error("E001", problem.message, problem.hint) for problem in problems]


def check_channels(**kwargs: Any) -> list[CheckMessage]:
    """E002: a key or value of ``CHANNELS`` cannot be used."""
    _, problems = conf.read_channels()
    return [_error("E002", problem.message, problem.hint) for problem in problems]


def check_backends(**kwargs: Any) -> list[CheckMessage]:
    """E003: the ``BACKEND`` of a channel layer cannot be imported."""
    layers, _ = conf.parse_layers(conf.raw_layers())
    return [message for alias in layers for message in _check_backend(alias, layers[alias].backend)]


def check_topics(**kwargs: Any) -> list[CheckMessage]:
    """E005: there are topics, and no channel layer that keeps them."""
    if not has_topics():
        return []
    config = conf.parse_layers(conf.raw_layers())[0].get(DEFAULT_CHANNEL_LAYER)
    if config is not None:
        try:
            backend = import_string(config.backend)
        except ImportError:
            return []  # E003 says so
        if hasattr(backend, "topic_broker"):
            return []
    return [
        _error(
            "E005",
            "There are topics, but the channel layer 'default' "
            + ("is not configured." if config is None else f"({config.backend}) cannot keep them."),
            "Use channels.layers.InMemoryChannelLayer, or one of channels_redis.",
        )
    ]


def check_patterns(**kwargs: Any) -> list[CheckMessage]:
    """W006: two topic classes match the same names, so one of them never serves."""
    return [
        _warning(
            "W006",
            f"{name_that_thing(other)} ({other.pattern.text!r}) serves no topic: "
            f"{name_that_thing(first)} ({first.pattern.text!r}) matches the same names.",
            "Give each topic class a pattern of its own, such as one that begins with its app's "
            "name.",
        )
        for first, *others in alike()
        for other in others
    ]


def check_asgi_application(**kwargs: Any) -> list[CheckMessage]:
    """E004 and W001: ``ASGI_APPLICATION`` is no dotted path, or is missing."""
    path: object = conf.asgi_application()
    hint = "Name your application, for example ASGI_APPLICATION = 'mysite.asgi.application'."
    if path is None:
        text = "ASGI_APPLICATION is not set, so runserver serves no WebSockets."
        return [_warning("W001", text, hint)]
    if not isinstance(path, str) or "." not in path:
        return [_error("E004", f"ASGI_APPLICATION is {path!r}, which is no dotted path.", hint)]
    return []


def check_runserver(**kwargs: Any) -> list[CheckMessage]:
    """W002: another app's ``runserver`` is used, which serves no WebSockets."""
    if conf.asgi_application() is None:
        return []
    owner = next(_apps_with_runserver(), TAG)
    if _serves_websockets(owner):
        return []
    return [
        _warning(
            "W002",
            f"runserver is that of {owner!r}, which serves no WebSockets.",
            f"Put 'channels' before {owner!r} in INSTALLED_APPS.",
        )
    ]


def check_upstream(**kwargs: Any) -> list[CheckMessage]:
    """W003: a distribution is installed whose files are in the place of ours."""
    return [
        _upstream_warning(name, package)
        for name, package in UPSTREAM.items()
        if _is_installed(name)
    ]


def check_allowed_hosts(**kwargs: Any) -> list[CheckMessage]:
    """W004: any site may open WebSockets with its visitors' cookies."""
    if not conf.channels_settings().check_origin or "*" not in conf.allowed_hosts():
        return []
    return [
        _warning(
            "W004",
            "ALLOWED_HOSTS contains '*', so pages of every site may open WebSockets here, and a "
            "visitor's cookies come along.",
            "List your hosts, or put OriginValidator(application, [...]) around your routes and "
            "silence this check.",
        )
    ]


def check_persistent_connections(**kwargs: Any) -> list[CheckMessage]:
    """W005: database connections are kept open between requests."""
    if conf.asgi_application() is None:
        return []
    return [
        _warning(
            "W005",
            f"Database {alias!r} has CONN_MAX_AGE {age!r}: under ASGI each thread keeps a "
            "connection open.",
            "Set it to 0, and use a connection pool if opening connections is too slow.",
        )
        for alias in connections
        if (age := connections.settings[alias]["CONN_MAX_AGE"]) != 0
    ]


def _check_backend(alias: str, path: str) -> Iterator[CheckMessage]:
    try:
        import_string(path)
    except ImportError as error:
        yield _error(
            "E003",
            f"BACKEND {path!r} of channel layer {alias!r} cannot be imported: {error}",
            _hint_for(path, error),
        )


def _hint_for(path: str, error: ImportError) -> str:
    is_found = not str(error.name).startswith("channels_redis")
    if path.startswith("channels_redis.") and error.name is not None and is_found:
        return 'Install what it needs: pip install "seaway[redis]".'
    return "Check the path, and that its distribution is installed."


def _apps_with_runserver() -> Iterator[str]:
    for config in apps.get_app_configs():
        if "runserver" in find_commands(os.path.join(config.path, "management")):
            yield config.name


def _serves_websockets(app: str) -> bool:
    if app in ("channels", "daphne"):
        return True
    # It may be built on ours, found by looking further down in INSTALLED_APPS.
    command = type(load_command_class(app, "runserver"))
    return any(base.__module__ == OUR_RUNSERVER for base in command.__mro__)


def _is_installed(distribution: str) -> bool:
    return any(True for _ in metadata.distributions(name=distribution))


def _upstream_warning(distribution: str, package: str) -> CheckMessage:
    wanted_by = ", ".join(sorted(set(_dependents(distribution))))
    return _warning(
        "W003",
        f"The distribution {distribution!r} is installed beside this one"
        + (f", required by {wanted_by}" if wanted_by else "")
        + f". Both write to the package {package!r}, so one has overwritten files of the other.",
        f"With pip: pip uninstall {distribution}, then pip install --force-reinstall --no-deps "
        "seaway (./seaway, a checkout, until there is a release); install what requires "
        f"{distribution} with --no-deps. With uv: put "
        f"override-dependencies = [\"{distribution}; sys_platform == 'never'\"] under [tool.uv], "
        "then uv sync --reinstall-package seaway.",
    )


def _dependents(distribution: str) -> Iterator[str]:
    for other in metadata.distributions():
        for requirement in other.requires or ():
            name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
            if re.sub(r"[._-]+", "-", name).lower() == distribution:
                yield other.name


def _error(number: str, text: str, hint: str) -> CheckMessage:
    return Error(text, hint=hint, id=f"channels.{number}")


def _warning(number: str, text: str, hint: str) -> CheckMessage:
    return Warning(text, hint=hint, id=f"channels.{number}")

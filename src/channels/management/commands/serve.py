"""``manage.py serve``: the production server."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
from importlib import util
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.conf import asgi_application
from channels.exceptions import InvalidChannelLayerError
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.serving import logs
from channels.serving.listeners import close_listener, open_listener, show_address
from channels.serving.options import Options, problem_of
from channels.serving.supervisor import Supervisor

DEFAULTS: Final = Options()
OPEN_MAX: Final = 10_240
"""Open files that macOS gives a process that asks."""

logger: logging.Logger = logging.getLogger("channels.server")


class Command(BaseCommand):
    """Serves ``ASGI_APPLICATION`` with several processes, until SIGTERM or Ctrl-C."""

    help = "Serves ASGI_APPLICATION in production: HTTP and WebSockets, with several workers."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what ``Options`` has."""
        _add_address(parser.add_argument_group("where to listen"))
        _add_workers(parser.add_argument_group("workers and their end"))
        _add_http(parser.add_argument_group("HTTP and proxies"))
        _add_logs(parser.add_argument_group("logs and health"))

    def handle(self, *args: Any, **given: Any) -> None:
        """Serve; the exit status is 1 if no worker starts, or one had to be killed."""
        names = [field.name for field in dataclasses.fields(Options)]
        options = Options(**{name: given[name] for name in names})
        _require(options)
        logs.configure(options)
        _raise_descriptor_limit()
        try:
            listener = open_listener(options)
        except OSError as error:
            raise CommandError(f"cannot listen: {error}") from error
        try:
            number = _number_of_workers(options.workers)
            logger.info("Seaway at %s, %d worker(s).", show_address(listener, options), number)
            status = asyncio.run(Supervisor(options, listener, number).run())
        finally:
            close_listener(listener)
        if status:
            raise SystemExit(status)


def _require(options: Options) -> None:
    """Check that serving can be tried.

    Raises:
        CommandError: It cannot, and why.
    """
    if os.name != "posix":
        raise CommandError("serve needs Unix; here, run uvicorn with channels.server's protocols.")
    for name in ("uvicorn", "websockets"):
        if util.find_spec(name) is None:
            raise CommandError(f'serve needs {name}: pip install "seaway[server]".')
    if asgi_application() is None:
        raise CommandError("serve needs the setting ASGI_APPLICATION: a dotted path.")
    problem = problem_of(options)
    if problem is not None:
        raise CommandError(problem)


def _raise_descriptor_limit() -> None:
    """Allow as many open sockets as the system does; often the default is 1,024."""
    # Here, since Windows has no such module and is to be told what it lacks.
    import resource

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says that there is no limit, and takes only one that is.
    wanted = most if most != resource.RLIM_INFINITY else max(now, OPEN_MAX)
    if wanted != now:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _number_of_workers(asked: int | None) -> int:
    """Return how many workers there will be; one, if they could not hear each other."""
    try:
        is_alone = isinstance(get_channel_layer(), InMemoryChannelLayer)
    except InvalidChannelLayerError:
        # The workers will say what is wrong.
        is_alone = False
    if asked is None:
        return 1 if is_alone else _number_of_cores()
    if is_alone and asked > 1:
        logger.warning(
            "The default channel layer is in memory: groups end at the borders of the %d workers.",
            asked,
        )
    return asked


def _number_of_cores() -> int:
    """Return how many this process may use, or, where that is not known, as on macOS, has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _add_address(group: Any) -> None:
    _add(group, "host", metavar="ADDRESS", help="Address to listen at. Default: 127.0.0.1.")
    _add(group, "port", type=int, help="Its port; 0 for any. Default: 8000.")
    _add(group, "unix_socket", metavar="PATH", help="Listen at a Unix socket in their place.")
    _add(
        group,
        "unix_mode",
        type=lambda text: int(text, 8),
        metavar="OCTAL",
        help="Who may use the Unix socket. Default: 660.",
    )
    _add(group, "fd", type=int, help="Listen at this descriptor, as systemd hands it over.")
    _add(group, "backlog", type=_whole, help="Connections that may wait to be accepted.")


def _add_workers(group: Any) -> None:
    _add(
        group,
        "workers",
        type=_whole,
        metavar="N",
        help="Processes that serve. Default: one per core; one, if the channel layer is in memory.",
    )
    _add(group, "loop", choices=["auto", "uvloop", "asyncio"], help="Event loop. Default: auto.")
    _add_seconds(group, "drain_window", "Over how long WebSockets are closed when a worker ends.")
    _add_seconds(group, "drain_timeout", "After how long what still runs is cut.")
    _add_seconds(group, "readiness_delay", "How long a worker still accepts when it is not ready.")
    _add_seconds(
        group, "hang_timeout", "After how long without a move a worker is replaced; 0 is never."
    )
    _add_seconds(group, "start_timeout", "How long a worker may take to start.")
    _add(
        group,
        "touch_reload",
        metavar="FILE",
        help="Roll the workers when this file changes, as SIGHUP does.",
    )


def _add_http(group: Any) -> None:
    _add(group, "keep_alive", type=_whole, metavar="SECONDS", help="For idle HTTP. Default: 5.")
    _add(group, "tls_certificate", metavar="FILE", help="Serve TLS with this chain (PEM).")
    _add(group, "tls_key", metavar="FILE", help="Its key (PEM).")
    _add(
        group,
        "trusted_proxies",
        metavar="LIST",
        help="Addresses and networks whose X-Forwarded-For and -Proto are believed, with commas; "
        "* for all. Default: FORWARDED_ALLOW_IPS from the environment, or this host; all at a "
        "Unix socket.",
    )
    _add_off(group, "proxy_headers", "Believe no proxy headers.")


def _add_logs(group: Any) -> None:
    _add(
        group,
        "log_format",
        choices=["text", "json"],
        help="Format of all logs. Default: that of LOGGING if it has a root logger, else text.",
    )
    _add(group, "log_level", choices=["debug", "info", "warning", "error"], help="Default: info.")
    _add_off(group, "access_log", "Log no requests.")
    _add(group, "health_path", metavar="PATH", help="200 while a worker lives. Empty for none.")
    _add(group, "ready_path", metavar="PATH", help="200 while it takes new work, else 503.")


def _add(group: Any, name: str, **options: Any) -> None:
    flag = "--" + name.replace("_", "-")
    group.add_argument(flag, dest=name, default=getattr(DEFAULTS, name), **options)


def _add_seconds(group: Any, name: str, text: str) -> None:
    default = getattr(DEFAULTS, name)
    _add(group, name, type=_seconds, metavar="SECONDS", help=f"{text} Default: {default:g}.")


def _add_off(group: Any, name: str, text: str) -> None:
    flag = "--no-" + name.replace("_", "-")
    group.add_argument(flag, dest=name, action="store_false", default=True, help=text)


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; expected at least 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no time; expected seconds from 0 on")
    return seconds

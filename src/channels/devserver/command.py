"""What ``runserver`` is made of, beyond Django's own command.

Django's command does the rest (addresses, checks, autoreload, clear errors). It takes
``DevelopmentServer`` in place of its WSGI server and a ``Site`` in place of a WSGI handler.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import metadata, util
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from channels.conf import server_settings
from channels.routing import get_default_application
from channels.typing import App

if TYPE_CHECKING:
    from channels.devserver.site import Site

if TYPE_CHECKING or not apps.is_installed("django.contrib.staticfiles"):
    from django.core.management.commands.runserver import Command as DjangoRunserver
else:
    from django.contrib.staticfiles.management.commands.runserver import Command as DjangoRunserver

RunserverCommand = DjangoRunserver

LONGEST_END: Final = 1.0
"""Seconds until a process that should have ended is ended without its threads."""


def add_arguments(parser: CommandParser) -> None:
    """Add the options that Django's ``runserver`` has not got."""
    defaults = server_settings()
    parser.add_argument(
        "--noasgi",
        action="store_false",
        dest="use_asgi",
        help="Serves WSGI with Django's own server: no WebSockets.",
    )
    parser.add_argument(
        "--http_timeout",
        type=int,
        metavar="SECONDS",
        help="Longest time a request may take. Default: no limit.",
    )
    parser.add_argument(
        "--websocket_handshake_timeout",
        type=int,
        default=5,
        metavar="SECONDS",
        help="Longest time until a WebSocket is accepted. Default: 5; 0 is no limit.",
    )
    sizes = {"message": defaults.max_message_bytes, "frame": defaults.max_frame_bytes}
    for unit, default in sizes.items():
        parser.add_argument(
            f"--websocket-max-{unit}-size",
            type=_size,
            default=default,
            metavar="BYTES",
            help=f"Largest WebSocket {unit} taken. Default: {default}; 0 is no limit.",
        )


def require_uvicorn() -> None:
    """Check that the optional server is installed.

    Raises:
        CommandError: It is not.
    """
    for name in ("uvicorn", "websockets"):
        if util.find_spec(name) is None:
            raise CommandError(
                f'runserver needs {name}: pip install "seaway[server]". '
                "runserver --noasgi does without, but serves no WebSockets."
            )


def load_application(options: Mapping[str, Any]) -> Any:
    """Return the project's application, behind its static files where those are served.

    Raises:
        ImproperlyConfigured: ``ASGI_APPLICATION`` names nothing.
        ImportError: Its module cannot be imported.
    """
    try:
        application = get_default_application()
    except ImproperlyConfigured as error:
        if isinstance(error.__cause__, ImportError):
            # The autoreloader watches the file where an error came from.
            raise error.__cause__ from None
        raise
    if not apps.is_installed("django.contrib.staticfiles"):
        return application
    if options["use_static_handler"] and (server_settings().debug or options["insecure_serving"]):
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        return ASGIStaticFilesHandler(application)
    return application


def make_site(command: Any, application: App, options: Mapping[str, Any]) -> Site:
    """Return what ``DevelopmentServer`` serves for ``command``."""
    # Here, because uvicorn is optional.
    from channels.devserver.site import LONGEST_SHUTDOWN, Site

    def interrupted() -> None:
        # A request that blocks its thread can block the end of the event loop as well. What the
        # application does at the end of its lifespan has this time, too.
        _end_soon(command, 0, LONGEST_SHUTDOWN + LONGEST_END)

    return Site(application, options, command.log_action, interrupted=interrupted)


def start_message(command: Any, port: int) -> str:
    """Return what ``command`` prints once it listens at ``port``."""
    host = "0.0.0.0" if command.addr == "0" else command.addr  # noqa: S104
    if ":" in host:
        host = f"[{host}]"
    quit_key = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
    settings_module = server_settings().settings_module
    return (
        f"{datetime.now():%B %d, %Y - %X}\n"  # noqa: DTZ005 - the clock on the person's wall
        f"Django version {command.get_version()}, using settings {settings_module!r}\n"
        f"Starting ASGI/uvicorn version {metadata.version('uvicorn')} development server at "
        f"{command.protocol}://{host}:{port}/\n"
        f"Quit the server with {quit_key}."
    )


class DevelopmentServer:
    """Listens at an address, and serves a ``Site`` there.

    Args:
        server_address: Host and port; port 0 is any that is free.
        handler_class: Django's, not used.
        ipv6: Listen at an IPv6 address.

    Raises:
        OSError: The address cannot be had.
    """

    def __init__(
        self, server_address: tuple[str, int], handler_class: object = None, ipv6: bool = False
    ) -> None:
        self._listener = socket.create_server(
            server_address,
            family=socket.AF_INET6 if ipv6 else socket.AF_INET,
            dualstack_ipv6=ipv6 and socket.has_dualstack_ipv6(),
        )
        self.server_port: int = self._listener.getsockname()[1]

    def set_app(self, application: Site) -> None:
        """Take the site to serve."""
        self._site = application

    def serve_forever(self) -> None:
        """Serve it until it is stopped."""
        self._site.serve(self._listener)


@contextlib.contextmanager
def ending_promptly(command: Any) -> Iterator[None]:
    """Stop the command's site when the block ends, and see to it that the process then really ends.

    At its end Python waits for the threads that run sync code. One that blocks must not keep the
    autoreloader or Ctrl-C waiting, so the process is ended without it after a while. Where the
    command was called by a program, that goes on.
    """
    status = 0
    try:
        yield
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        if command.site is not None:
            command.site.stop()
        _end_soon(command, status, LONGEST_END)


def _end_soon(command: Any, status: int, seconds: float) -> None:
    if command._called_from_command_line:
        end = threading.Timer(seconds, os._exit, [status])
        end.daemon = True
        end.start()


def _size(text: str) -> int:
    size = int(text)
    if size < 0:
        raise argparse.ArgumentTypeError(f"{size} is no size; expected bytes, or 0 for no limit")
    return size

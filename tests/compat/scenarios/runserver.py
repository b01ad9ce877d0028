"""Contract 12: options and log lines of ``runserver``; upstream's is in its server package."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.management import CommandError, get_commands, load_command_class
from django.test import override_settings

from project.sockets import fetch, handshake, leave
from support import SIDE, logged, outcome

# The app that brings the command comes first; ours is ``channels`` itself.
APPS = [
    *(["daphne"] if SIDE == "upstream" else []),
    "channels",
    "django.contrib.staticfiles",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
]
OPTIONS = [
    "addrport",
    "use_ipv6",
    "use_threading",
    "use_reloader",
    "skip_checks",
    "http_timeout",
    "websocket_handshake_timeout",
    "use_static_handler",
    "insecure_serving",
]
COMPAT = Path(__file__).resolve().parents[1]


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Stand in for the project's application."""


@contextlib.contextmanager
def _command(**table: Any) -> Iterator[Any]:
    table = {"INSTALLED_APPS": APPS, "STATIC_URL": "/static/", **table}
    with override_settings(**table):
        get_commands.cache_clear()
        yield load_command_class(get_commands()["runserver"], "runserver")
    get_commands.cache_clear()


def options_and_defaults() -> object:
    """Contract 12, runserver: every option of the table and its default."""
    with _command() as command:
        found = vars(command.create_parser("manage.py", "runserver").parse_args([]))
    return {name: found.get(name, "no such option") for name in OPTIONS}


def options_as_typed() -> object:
    """Contract 12, runserver: how each option is written and what it gives."""
    typed = [
        "127.0.0.1:8001",
        "--ipv6",
        "--nothreading",
        "--noreload",
        "--skip-checks",
        "--noasgi",
        "--http_timeout=30",
        "--websocket_handshake_timeout=7",
        "--websocket-max-message-size=1000",
        "--websocket-max-frame-size=0",
        "--nostatic",
        "--insecure",
    ]
    seen = {}
    with _command() as command:
        parser = command.create_parser("manage.py", "runserver")
        for each in typed:
            try:
                parsed = vars(parser.parse_args([each]))
            except (CommandError, argparse.ArgumentError, SystemExit):
                seen[each] = "refused"
                continue
            default = vars(parser.parse_args([]))
            seen[each] = {
                name: value for name, value in parsed.items() if value != default.get(name)
            }
    return seen


def _given_to_the_server(*typed: str, **table: Any) -> dict[str, Any]:
    """Run the command with a server class that only writes down its keywords."""
    given: dict[str, Any] = {}

    class Server:
        def __init__(self, **keywords: Any) -> None:
            given.update(keywords)

        def run(self) -> None:
            given["ran"] = True

    table = {"ASGI_APPLICATION": "scenarios.runserver._application", "DEBUG": True, **table}
    with _command(**table) as command:
        command.server_cls = Server
        options = vars(
            command.create_parser("manage.py", "runserver").parse_args(
                ["--noreload", "--skip-checks", "127.0.0.1:0", *typed]
            )
        )
        ended = outcome(command.execute, **options, stdout=io.StringIO(), stderr=io.StringIO())
    return {"ended": ended, **given}


def what_the_server_class_gets() -> object:
    """Contract 12, runserver: ``server_cls`` is called with keywords, then ``run()``."""
    typed = ["--http_timeout=30", "--websocket_handshake_timeout=7"]
    given = _given_to_the_server(*typed, FORCE_SCRIPT_NAME="/root")
    names = ["http_timeout", "websocket_handshake_timeout", "root_path", "ran", "ended"]
    return {name: given.get(name, "not given") for name in names}


def sizes_from_settings() -> object:
    """Contract 12, runserver: limits by option, else by the two settings, else 1 MiB."""
    names = ["websocket_max_message_size", "websocket_max_frame_size"]
    table = {
        "DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE": 5000,
        "DAPHNE_WEBSOCKET_MAX_FRAME_SIZE": 6000,
    }
    typed = ["--websocket-max-message-size=1000", "--websocket-max-frame-size=0"]

    def limits(*typed: str, **table: Any) -> list[Any]:
        with _command(**table) as command:
            parsed = vars(command.create_parser("manage.py", "runserver").parse_args(typed))
        # The default is filled in when the options are read, or when the server is made.
        if parsed[names[0]] is None:
            parsed = _given_to_the_server(*typed, **table)
        return [parsed.get(name) for name in names]

    return [limits(), limits(**table), limits(*typed, **table)]


def without_an_application() -> object:
    """Contract 12, runserver: ``ASGI_APPLICATION`` not defined: a CommandError, or what?"""
    with (
        _command() as command,
        mock.patch("django.core.management.commands.runserver.run") as serve,
    ):
        parser = command.create_parser("manage.py", "runserver")
        options = vars(parser.parse_args(["--noreload", "0"]))
        said = io.StringIO()
        ended = outcome(command.execute, **options, stdout=said, stderr=said)
        return {
            "CommandError": isinstance(ended, CommandError),
            "serves by WSGI": serve.called,
            "names the setting": "ASGI_APPLICATION" in f"{ended}{said.getvalue()}",
        }


def the_application_it_serves() -> object:
    """Contract 12, runserver: static files if handled and DEBUG or ``--insecure``."""
    seen = []
    for debug, static, insecure in [
        (True, True, False),
        (False, True, False),
        (False, True, True),
        (True, False, False),
    ]:
        with _command(ASGI_APPLICATION="scenarios.runserver._application", DEBUG=debug) as command:
            application = command.get_application(
                {"use_static_handler": static, "insecure_serving": insecure}
            )
            seen.append(
                [
                    isinstance(application, ASGIStaticFilesHandler),
                    application is _application,
                ]
            )
    return seen


def overridables() -> object:
    """Contract 12, runserver: ``server_cls``, ``protocol`` and the two methods."""
    with _command() as command:
        return [
            hasattr(command, "server_cls"),
            command.protocol,
            callable(command.get_application),
            callable(command.log_action),
        ]


def log_lines() -> object:
    """Contract 12, log lines [run]: formats and levels on ``django.channels.server``."""
    request = {"path": "/a?b=c", "method": "GET", "client": "127.0.0.1:5", "time_taken": 0.126}
    actions = [
        *(
            ("http", "complete", {**request, "status": status, "size": 3})
            for status in (200, 204, 302, 304, 400, 404, 500, 503)
        ),
        *(
            ("websocket", action, {"path": "/chat/", "client": "127.0.0.1:5"})
            for action in ("connecting", "connected", "rejected", "disconnected")
        ),
    ]
    with _command() as command, logged("django.channels.server") as lines:
        for each in actions:
            command.log_action(*each)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


MANAGE = """
    import logging, sys
    sys.path.insert(0, {here!r})
    from django.conf import settings
    settings.configure(
        SECRET_KEY="compat-only", DEBUG=True, ALLOWED_HOSTS=["*"], INSTALLED_APPS={apps!r},
        ASGI_APPLICATION="project.application.application",
        ROOT_URLCONF="project.empty_urls", STATIC_URL="/static/",
        DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    )
    import django
    django.setup()
    logging.getLogger("django.channels.server").addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("django.channels.server").setLevel(logging.INFO)
    from django.core.management import execute_from_command_line
    execute_from_command_line(["manage.py", "runserver", "--noreload", "127.0.0.1:{port}"])
"""


def log_lines_of_a_running_server() -> object:
    """Contract 12, log lines [run]: what a socket and a page leave in the log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = textwrap.dedent(MANAGE).format(here=str(COMPAT), apps=APPS, port=port)
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", "DJANGO_COLORS": "nocolor"}
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
    )
    try:
        _until_it_listens(port)
        static = fetch(f"http://127.0.0.1:{port}/static/absent.css")[0]
        connection, status = handshake(port, "/chat/?room=1")
        leave(connection)
        time.sleep(0.3)
    finally:
        server.terminate()
        output, _ = server.communicate(timeout=10)
    lines = [line for line in output.splitlines() if re.match("HTTP |WebSocket ", line)]
    masked = [re.sub(r"\[(\d+\.\d\d, )?127\.0\.0\.1:\d+\]", r"[CLIENT]", line) for line in lines]
    address = f"http://127.0.0.1:{port}/"
    return [static, status, masked, any("ASGI" in x and address in x for x in output.splitlines())]


def _until_it_listens(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server does not listen")

"""What ``runserver`` is made of: its options, its application, its address and its end."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.test import override_settings

from channels.devserver import command
from channels.devserver.command import DevelopmentServer, ending_promptly
from channels.typing import Receive, Scope, Send

STATIC_FILES = "django.contrib.staticfiles"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for a project's application."""


HERE = f"{__name__}.application"


def parse(*arguments: str) -> dict[str, Any]:
    parser = CommandParser(called_from_command_line=False)
    command.add_arguments(parser)
    return vars(parser.parse_args(arguments))


def test_options_have_the_defaults_of_the_contract() -> None:
    assert parse() == {
        "use_asgi": True,
        "http_timeout": None,
        "websocket_handshake_timeout": 5,
        "websocket_max_message_size": 1048576,
        "websocket_max_frame_size": 1048576,
    }


def test_options_are_taken_as_typed() -> None:
    options = parse(
        "--noasgi",
        "--http_timeout=30",
        "--websocket_handshake_timeout=7",
        "--websocket-max-message-size=1000",
        "--websocket-max-frame-size=0",
    )

    assert list(options.values()) == [False, 30, 7, 1000, 0]


@override_settings(
    DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE=5000,
    DAPHNE_WEBSOCKET_MAX_FRAME_SIZE=0,
)
def test_sizes_default_to_the_settings_of_daphne() -> None:
    options = parse()

    assert options["websocket_max_message_size"] == 5000
    assert options["websocket_max_frame_size"] == 0


def test_negative_size_is_refused() -> None:
    with pytest.raises(CommandError, match="-1 is no size; expected bytes, or 0 for no limit"):
        parse("--websocket-max-frame-size=-1")


@pytest.mark.parametrize("name", ["uvicorn", "websockets"])
def test_missing_server_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(CommandError) as caught:
        command.require_uvicorn()

    assert str(caught.value) == (
        f'runserver needs {name}: pip install "seaway[server]". '
        "runserver --noasgi does without, but serves no WebSockets."
    )


def test_installed_server_is_no_error() -> None:
    command.require_uvicorn()


@pytest.mark.parametrize(
    ("debug", "static", "insecure", "is_wrapped"),
    [
        (True, True, False, True),
        (False, True, False, False),
        (False, True, True, True),
        (True, False, False, False),
    ],
)
def test_static_files_are_in_front_of_the_application_where_they_are_served(
    debug: bool, static: bool, insecure: bool, is_wrapped: bool
) -> None:
    options = {"use_static_handler": static, "insecure_serving": insecure}

    with override_settings(
        ASGI_APPLICATION=HERE, DEBUG=debug, INSTALLED_APPS=[STATIC_FILES], STATIC_URL="/static/"
    ):
        loaded = command.load_application(options)

    assert isinstance(loaded, ASGIStaticFilesHandler) is is_wrapped
    assert (loaded is application) is not is_wrapped


@override_settings(ASGI_APPLICATION=HERE, DEBUG=True)
def test_without_staticfiles_the_application_stands_alone() -> None:
    assert command.load_application({}) is application


@override_settings(ASGI_APPLICATION="no_such_module.application")
def test_failed_import_is_raised_as_it_was() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        command.load_application({})


@override_settings(ASGI_APPLICATION=f"{__name__}.absent")
def test_absent_application_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="has no 'absent'"):
        command.load_application({})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("0", "http://0.0.0.0:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("localhost", "http://localhost:8000/"),
    ],
)
def test_start_message_has_the_address_to_open(address: str, shown: str) -> None:
    running = SimpleNamespace(addr=address, protocol="http", get_version=lambda: "5.2")

    lines = command.start_message(running, 8000).splitlines()

    assert lines[1] == "Django version 5.2, using settings 'tests.settings'"
    assert re.fullmatch(
        rf"Starting ASGI/uvicorn version [\d.]+ development server at {re.escape(shown)}", lines[2]
    )
    assert lines[3] == "Quit the server with CONTROL-C."


def test_start_message_names_the_quit_key_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    running = SimpleNamespace(addr="127.0.0.1", protocol="http", get_version=lambda: "5.2")

    assert command.start_message(running, 8000).endswith("Quit the server with CTRL-BREAK.")


class RecordingSite:
    """A site that notes what happens to it."""

    def __init__(self) -> None:
        self.listeners: list[socket.socket] = []
        self.stopped = 0

    def serve(self, listener: socket.socket) -> None:
        self.listeners.append(listener)
        listener.close()

    def stop(self) -> None:
        self.stopped += 1


def test_server_listens_before_it_serves() -> None:
    site: Any = RecordingSite()
    server = DevelopmentServer(("127.0.0.1", 0))
    with socket.create_connection(("127.0.0.1", server.server_port)):
        pass

    server.set_app(site)
    server.serve_forever()

    assert len(site.listeners) == 1


def test_server_refuses_an_address_in_use_as_django_expects() -> None:
    site: Any = RecordingSite()
    first = DevelopmentServer(("127.0.0.1", 0))
    first.set_app(site)

    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what Django looks at
        DevelopmentServer(("127.0.0.1", first.server_port))

    assert caught.value.errno == errno.EADDRINUSE
    first.serve_forever()


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses with which the process would have been ended, after 0 s."""
    statuses: list[int] = []
    monkeypatch.setattr(command, "LONGEST_END", 0)
    monkeypatch.setattr(os, "_exit", statuses.append)
    return statuses


def run_and_end(error: BaseException | None, *, from_command_line: bool) -> RecordingSite:
    site = RecordingSite()
    running = SimpleNamespace(site=site, _called_from_command_line=from_command_line)
    try:
        with ending_promptly(running):
            if error is not None:
                raise error
    finally:
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    return site


def test_command_that_a_program_calls_stops_its_site_and_lets_the_program_go_on(
    ends: list[int],
) -> None:
    site = run_and_end(None, from_command_line=False)

    assert site.stopped == 1
    assert ends == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(3), 3),
        (SystemExit(), 0),
        (SystemExit("a reason"), 1),
    ],
)
def test_process_that_exits_is_ended_with_its_status(
    ends: list[int], error: SystemExit, status: int
) -> None:
    with pytest.raises(SystemExit):
        run_and_end(error, from_command_line=True)

    assert ends == [status]


def test_process_whose_server_has_returned_is_ended(ends: list[int]) -> None:
    run_and_end(None, from_command_line=True)

    assert ends == [0]


def test_process_without_a_site_is_ended_too(ends: list[int]) -> None:
    running = SimpleNamespace(site=None, _called_from_command_line=False)

    with ending_promptly(running):
        pass

    assert ends == []

"""The command ``runserver``: what it chooses, and what a subclass may replace."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.servers.basehttp import WSGIServer
from django.test import override_settings

from channels.devserver.command import DevelopmentServer
from channels.devserver.site import Site
from channels.management.commands.runserver import Command
from channels.typing import Receive, Scope, Send

pytestmark = pytest.mark.django_db
HERE = f"{__name__}.application"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for a project's application."""


class RecordingServer:
    """A server that notes what it is given, and returns at once."""

    made: list[RecordingServer] = []  # noqa: RUF012 - shared on purpose
    server_port = 8001

    def __init__(self, address: tuple[str, int], handler: object, ipv6: bool) -> None:
        self.address = address
        self.ipv6 = ipv6
        self.made.append(self)

    def set_app(self, application: Any) -> None:
        self.application = application

    def serve_forever(self) -> None:
        pass


class RecordingCommand(Command):
    server_cls = RecordingServer


@pytest.fixture(autouse=True)
def made() -> list[RecordingServer]:
    RecordingServer.made.clear()
    return RecordingServer.made


def run(command: Command, *arguments: str) -> str:
    output = io.StringIO()
    call_command(command, *arguments, "--noreload", "--skip-checks", stdout=output)
    return output.getvalue()


@override_settings(ASGI_APPLICATION=HERE)
def test_server_gets_the_address_and_the_site(made: list[RecordingServer]) -> None:
    output = run(RecordingCommand(), "127.0.0.1:8001")

    [server] = made
    assert server.address == ("127.0.0.1", 8001)
    assert server.ipv6 is False
    assert isinstance(server.application, Site)
    assert "Starting ASGI/uvicorn version" in output
    assert "http://127.0.0.1:8001/\n" in output


@override_settings(ASGI_APPLICATION=HERE)
def test_ipv6_is_passed_on(made: list[RecordingServer]) -> None:
    output = run(RecordingCommand(), "--ipv6")

    assert made[0].address == ("::1", 8000)
    assert made[0].ipv6 is True
    assert "http://[::1]:8001/\n" in output


@pytest.mark.parametrize(
    ("setting", "arguments"), [(HERE, ["--noasgi"]), (None, []), (None, ["--noasgi"])]
)
def test_without_asgi_the_server_is_that_of_django(
    setting: str | None, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(
        "django.core.management.commands.runserver.run",
        lambda *address, on_bind, **given: served.append(given["server_cls"]) or on_bind(8001),  # type: ignore[func-returns-value]
    )

    with override_settings(ASGI_APPLICATION=setting):
        output = run(RecordingCommand(), *arguments)

    assert served == [WSGIServer]
    assert "ASGI/uvicorn" not in output
    assert "development server at http://127.0.0.1:8001/\n" in output


@override_settings(ASGI_APPLICATION="application")
def test_malformed_application_is_refused_by_name(made: list[RecordingServer]) -> None:
    with pytest.raises(Exception, match="ASGI_APPLICATION is 'application'; expected the dotted"):
        run(RecordingCommand())


@override_settings(ASGI_APPLICATION=HERE)
def test_missing_uvicorn_stops_the_command_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, made: list[RecordingServer]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    with pytest.raises(
        CommandError, match=r'runserver needs uvicorn: pip install "seaway\[server\]"'
    ):
        run(RecordingCommand())
    assert made == []


@override_settings(ASGI_APPLICATION="no.such.module")
def test_application_and_log_may_be_replaced(
    made: list[RecordingServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    class Custom(RecordingCommand):
        def get_application(self, options: dict[str, Any]) -> Any:
            given.append(options["http_timeout"])
            return application

        def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
            """Log nothing."""

    made_sites: list[Any] = []
    monkeypatch.setattr(
        "channels.devserver.command.make_site", lambda *each: made_sites.append(each)
    )
    custom = Custom()
    run(custom, "--http_timeout", "30")

    assert given == [30]
    [(command, served, options)] = made_sites
    assert command is custom
    assert served is application
    assert options["websocket_handshake_timeout"] == 5


def test_what_may_be_replaced_has_our_defaults() -> None:
    assert Command.server_cls is DevelopmentServer
    assert Command.protocol == "http"


def test_log_action_writes_in_the_style_of_the_command(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "django.channels.server")

    Command(no_color=True).log_action("websocket", "connected", {"path": "/", "client": "x"})

    assert caplog.messages == ["WebSocket CONNECT / [x]"]

"""What a live server test case does before there is a server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.db.backends.dummy import base as dummy
from django.db.backends.sqlite3 import base as sqlite
from django.test import override_settings

from channels.testing import ChannelsLiveServerTestCase, live
from channels.testing.live import (
    ServerThread,
    make_application,
    set_database_connection,
)
from channels.typing import Receive, Scope, Send

IMPORT_WITHOUT_SERVERS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("uvicorn", "websockets", "daphne", "twisted", "pytest"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import channels.testing
import channels.testing.application, channels.testing.http
import channels.testing.live, channels.testing.websocket
print(*channels.testing.__all__)
"""


async def project(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for the project's application, which is never called here."""


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put other databases into the settings."""
    replacement: dict[str, Any] = {
        "default": {"NAME": "site", "TEST": {"NAME": None}},
        "other": {"NAME": "other", "TEST": {"NAME": "named"}},
    }
    monkeypatch.setattr(connections, "settings", replacement)
    return replacement


def test_the_package_imports_without_settings_without_a_server_and_without_pytest() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT_SERVERS],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.stderr == ""
    assert outcome.stdout.split() == [
        "ApplicationCommunicator",
        "ChannelsLiveServerTestCase",
        "HttpCommunicator",
        "WebsocketCommunicator",
    ]


def test_a_missing_server_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "find_spec", lambda name: None)

    with pytest.raises(ImproperlyConfigured) as raised:
        ServerThread("localhost", lambda: project)

    assert str(raised.value) == (
        "ChannelsLiveServerTestCase needs uvicorn and websockets. Install 'seaway[server]', "
        "or set ProtocolServerProcess to another server."
    )


def test_the_defaults_are_those_of_the_interface() -> None:
    assert ChannelsLiveServerTestCase.host == "localhost"
    assert ChannelsLiveServerTestCase.serve_static is True
    assert ChannelsLiveServerTestCase.ProtocolServerProcess is ServerThread


def test_the_application_is_the_project_s() -> None:
    with override_settings(ASGI_APPLICATION=f"{__name__}.project"):
        assert make_application(static_wrapper=None) is project


def test_the_application_is_wrapped_for_static_files() -> None:
    with override_settings(ASGI_APPLICATION=f"{__name__}.project"):
        assert make_application(static_wrapper=lambda inner: ("static", inner)) == (
            "static",
            project,
        )


def test_another_process_uses_the_test_databases_by_their_default_names(
    databases: dict[str, Any],
) -> None:
    set_database_connection()

    assert {alias: database["NAME"] for alias, database in databases.items()} == {
        "default": "test_site",
        "other": "named",
    }


def test_another_process_uses_the_test_databases_by_the_names_it_is_given(
    databases: dict[str, Any],
) -> None:
    set_database_connection({"default": "test_site_gw1", "other": "named_gw1"})

    assert {alias: database["NAME"] for alias, database in databases.items()} == {
        "default": "test_site_gw1",
        "other": "named_gw1",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (":memory:", True),
        ("file:memorydb_default?mode=memory&cache=shared", True),
        ("/var/site.sqlite3", False),
    ],
)
def test_a_database_in_memory_is_told_from_one_on_disk(name: str, expected: bool) -> None:
    database = sqlite.DatabaseWrapper(connection.settings_dict | {"NAME": name}, "other")

    assert ChannelsLiveServerTestCase._is_in_memory_db(database) is expected


def test_a_database_of_another_kind_is_not_in_memory() -> None:
    assert (
        ChannelsLiveServerTestCase._is_in_memory_db(dummy.DatabaseWrapper(connection.settings_dict))
        is False
    )

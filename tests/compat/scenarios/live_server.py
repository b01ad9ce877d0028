"""Contract 11: ``ChannelsLiveServerTestCase`` and what stands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.db import connections
from django.test import override_settings

from channels.testing import ChannelsLiveServerTestCase
from channels.testing.live import make_application, set_database_connection
from support import outcome, signature

COMPAT = Path(__file__).resolve().parents[1]


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Stand in for the project's application."""


def _probe(kind: str) -> Any:
    directory = os.environ["COMPAT_DIRECTORY"]
    done = subprocess.run(
        [sys.executable, "-m", "project.live_probe", kind, directory],
        cwd=COMPAT,
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else done.stderr


def a_live_test_case() -> object:
    """Contract 11, ChannelsLiveServerTestCase: one server a class, static files, database."""
    return _probe("file")


def a_live_test_case_with_a_database_in_memory() -> object:
    """Contract 11, setUpClass: an in-memory SQLite database."""
    return _probe("memory")


def attributes() -> object:
    """Contract 11, ChannelsLiveServerTestCase: class attributes and their values."""
    case = ChannelsLiveServerTestCase
    return [
        case.host,
        case.serve_static,
        case.static_wrapper is ASGIStaticFilesHandler,
        isinstance(case.ProtocolServerProcess, type) or callable(case.ProtocolServerProcess),
        isinstance(case.live_server_url, property),
        isinstance(case.live_server_ws_url, property),
    ]


def the_server_process() -> object:
    """Contract 11, ProtocolServerProcess: constructor, ``ready``, ``port``, ``errors``."""
    process_class = ChannelsLiveServerTestCase.ProtocolServerProcess
    process = process_class("localhost", _application)
    return {
        "signature": signature(process_class),
        "ready": process.ready.is_set(),
        "port": hasattr(process.port, "value"),
        "errors": hasattr(process.errors, "get"),
        "methods": [
            callable(getattr(process, name, None))
            for name in ("start", "terminate", "join", "is_alive")
        ],
    }


def making_the_application() -> object:
    """Contract 11, names: ``make_application(static_wrapper=…)`` wraps the default application."""
    table = {"ASGI_APPLICATION": "scenarios.live_server._application", "STATIC_URL": "/static/"}
    with override_settings(**table):
        bare = make_application(static_wrapper=None)
        wrapped = make_application(static_wrapper=ASGIStaticFilesHandler)
        return [
            bare is _application,
            type(wrapped).__name__,
            outcome(make_application, ASGIStaticFilesHandler),
        ]


def setting_the_database_connection() -> object:
    """Contract 11, names: ``set_database_connection()`` switches ``default`` to the test name."""
    settings_dict = connections["default"].settings_dict
    before = settings_dict["NAME"]
    try:
        set_database_connection()
        return [
            settings_dict["NAME"] != before,
            Path(connections["default"].settings_dict["NAME"]).name,
        ]
    finally:
        settings_dict["NAME"] = before


def in_memory_databases_are_recognised() -> object:
    """Contract 11, names: ``_is_in_memory_db(connection)``."""
    case = ChannelsLiveServerTestCase("run")
    return bool(case._is_in_memory_db(connections["default"]))

"""A Django project whose tests use the live server; its test database is in a file or in memory.

    python -m project.live_probe file|memory DIRECTORY

Run in a process of its own; prints what the tests saw, as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

KIND, DIRECTORY = sys.argv[1], Path(sys.argv[2])
seen: dict[str, Any] = {}


def configure() -> None:
    """Set Django up with a test database in a file or in memory."""
    test = {"NAME": str(DIRECTORY / "live-test.sqlite3")} if KIND == "file" else {}
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(DIRECTORY / "live.sqlite3"),
        "TEST": test,
    }
    (DIRECTORY / "assets").mkdir(exist_ok=True)
    (DIRECTORY / "assets" / "note.txt").write_text("a static file")
    settings.configure(
        SECRET_KEY="compat-only",
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.staticfiles",
            "channels",
        ],
        ASGI_APPLICATION="project.application.application",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        STATIC_URL="/static/",
        STATICFILES_DIRS=[str(DIRECTORY / "assets")],
        LOGGING_CONFIG=None,
        DEBUG=True,
    )
    logging.disable(logging.CRITICAL)
    django.setup()


configure()

import unittest  # noqa: E402

from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.test import TransactionTestCase  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402

from channels.testing import ChannelsLiveServerTestCase  # noqa: E402
from project.sockets import fetch, handshake, leave, read_text, send_text  # noqa: E402


class Live(ChannelsLiveServerTestCase):
    """What a project's own live test would do."""

    def test_everything(self) -> None:
        """Look at the server from outside and at the case from inside."""
        get_user_model().objects.create_user("ann")
        url = self.live_server_url
        seen["page"] = fetch(f"{url}/page")
        seen["static"] = fetch(f"{url}/static/note.txt")
        seen["urls"] = [
            url == f"http://{self.host}:{self._port}",
            self.live_server_ws_url == f"ws://{self.host}:{self._port}",
            isinstance(self._port, int),
        ]
        connection, status = handshake(self._port, "/chat")
        send_text(connection, "hello")
        seen["socket"] = [status, read_text(connection)]
        leave(connection)
        seen["allowed hosts"] = list(settings.ALLOWED_HOSTS)
        seen["class"] = [
            self.host,
            self.serve_static,
            self.static_wrapper is ASGIStaticFilesHandler,
            isinstance(self, TransactionTestCase),
            self._server_process is not None,
        ]

    def test_the_server_is_one_for_the_class(self) -> None:
        """Note the port of another test."""
        seen["same port"] = seen.setdefault("port", self._port) == self._port


class WithoutStatic(ChannelsLiveServerTestCase):
    """A case that serves no static files."""

    serve_static = False

    def test_static(self) -> None:
        """Static paths reach the application."""
        seen["static off"] = fetch(f"{self.live_server_url}/static/note.txt")


def main() -> None:
    """Run the cases in a test database and print what they saw."""
    runner = DiscoverRunner(verbosity=0, interactive=False)
    before = runner.setup_databases()
    try:
        suite = unittest.TestSuite()
        for case in (Live, WithoutStatic):
            suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
        result = unittest.TestResult()
        suite.run(result)
    finally:
        runner.teardown_databases(before)
    seen["errors"] = [
        text.strip().splitlines()[-1].partition(":")[0].rpartition(".")[2]
        for _, text in (*result.errors, *result.failures)
    ]
    seen["allowed hosts after"] = list(settings.ALLOWED_HOSTS)
    seen.pop("port", None)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()

"""The lines of the log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from channels.serving import logs
from channels.serving.options import Options


def record(name: str = "channels.server", *args: Any, **more: Any) -> logging.LogRecord:
    text = '%s - "%s %s HTTP/%s" %d' if args else "a line"
    return logging.LogRecord(name, logging.INFO, __file__, 1, text, args, more.get("exc_info"))


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, access = root.handlers[:], logging.getLogger(logs.ACCESS)
    levels = {name: logging.getLogger(name).level for name in (*logs.OWN, logs.ACCESS)}
    yield
    root.handlers[:] = handlers
    access.filters.clear()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_of_json_says_when_who_and_what() -> None:
    line = json.loads(logs.JsonFormatter().format(record()))

    assert line["message"] == "a line"
    assert line["level"] == "info"
    assert line["logger"] == "channels.server"
    assert line["time"].endswith("Z")
    assert "exception" not in line


def test_a_request_has_its_parts() -> None:
    request = record(logs.ACCESS, "127.0.0.1:1", "GET", "/a?b=1", "1.1", 200)

    line = json.loads(logs.JsonFormatter().format(request))

    assert line["message"] == '127.0.0.1:1 - "GET /a?b=1 HTTP/1.1" 200'
    assert {key: line[key] for key in logs.ACCESS_FIELDS} == {
        "client": "127.0.0.1:1",
        "method": "GET",
        "path": "/a?b=1",
        "http_version": "1.1",
        "status": 200,
    }


def test_an_error_has_its_traceback_on_the_same_line() -> None:
    try:
        {}["deliberate"]
    except KeyError:
        text = logs.JsonFormatter().format(record(exc_info=sys.exc_info()))

    assert "\n" not in text
    assert "KeyError: 'deliberate'" in json.loads(text)["exception"]


def test_the_root_logger_of_the_project_stays() -> None:
    own = logging.NullHandler()
    logging.getLogger().handlers[:] = [own]

    logs.configure(Options())

    assert logging.getLogger().handlers == [own]


def test_a_format_that_was_asked_for_replaces_it() -> None:
    logging.getLogger().handlers[:] = [logging.NullHandler()]

    logs.configure(Options(log_format="json"))

    [handler] = logging.getLogger().handlers
    assert isinstance(handler.formatter, logs.JsonFormatter)


def test_without_one_there_is_text() -> None:
    logging.getLogger().handlers.clear()

    logs.configure(Options(access_log=False, log_level="warning"))

    [handler] = logging.getLogger().handlers
    assert "INFO channels.server: a line" in handler.format(record())
    assert not logging.getLogger(logs.ACCESS).isEnabledFor(logging.ERROR)
    assert logging.getLogger("channels.server").getEffectiveLevel() == logging.WARNING


def test_what_a_balancer_asks_is_not_logged() -> None:
    logs.leave_out({"/-/ready"})

    access = logging.getLogger(logs.ACCESS)
    assert not access.filter(record(logs.ACCESS, "x:1", "GET", "/-/ready", "1.1", 200))
    assert access.filter(record(logs.ACCESS, "x:1", "GET", "/other", "1.1", 200))


PROJECT = """
import logging, sys
import django
from django.conf import settings

settings.configure(DEBUG=True, LOGGING={logging_setting!r})
django.setup()

from channels.serving import logs
from channels.serving.options import Options

logs.configure(Options(log_format={log_format!r}))
logging.getLogger("django.request").error("a %s", "line")
"""
OWN_HANDLER = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"own": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["own"]}},
}


def lines_of_a_project(log_format: str | None, logging_setting: dict[str, Any]) -> list[str]:
    """Return what a process with ``DEBUG`` writes of one record of Django's."""
    code = PROJECT.format(log_format=log_format, logging_setting=logging_setting)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()


def test_with_debug_a_record_of_django_is_written_once_in_the_format_asked_for() -> None:
    [text] = lines_of_a_project(None, {})
    [line] = lines_of_a_project("json", {})

    assert text.endswith("ERROR django.request: a line")
    assert json.loads(line)["message"] == "a line"


def test_a_handler_that_the_project_gave_to_a_logger_stays() -> None:
    lines = lines_of_a_project("json", OWN_HANDLER)

    assert lines[0] == "a line"
    assert json.loads(lines[1])["message"] == "a line"
    assert len(lines) == 2

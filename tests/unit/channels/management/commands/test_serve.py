"""``manage.py serve``, from arguments to a supervisor; the integration tests see what that does."""

from __future__ import annotations

import logging
import resource
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels.management.commands import serve
from channels.serving.options import Options

MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class Recorded:
    """Stands in for the supervisor, and notes how it was made."""

    made: tuple[Options, bool, int]
    status = 0

    def __init__(self, options: Options, listener: socket.socket, number: int) -> None:
        is_listening = bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        type(self).made = options, is_listening, number

    async def run(self) -> int:
        return self.status


@pytest.fixture(autouse=True)
def _supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(serve, "Supervisor", Recorded)
    monkeypatch.setattr(Recorded, "status", 0)
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {}
    for name in ("uvicorn", "channels", "django.channels", "uvicorn.access"):
        levels[name] = logging.getLogger(name).level
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with override_settings(ASGI_APPLICATION="tests.unit.x", CHANNEL_LAYERS=MEMORY):
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def run(*arguments: str) -> tuple[Options, bool, int]:
    call_command("serve", "--port", "0", *arguments)
    return Recorded.made


def test_the_defaults_are_those_of_the_options() -> None:
    assert run() == (Options(port=0), True, 1)


def test_arguments_become_options() -> None:
    options, _, number = run(
        *("--workers", "3", "--drain-window", "2.5", "--no-access-log", "--no-proxy-headers"),
        *("--log-format", "json", "--log-level", "warning", "--unix-mode", "600"),
    )

    assert number == 3
    assert options == Options(
        port=0,
        workers=3,
        drain_window=2.5,
        access_log=False,
        proxy_headers=False,
        log_format="json",
        log_level="warning",
        unix_mode=0o600,
    )


def test_a_layer_with_a_broker_has_a_worker_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3, 4})
    layers = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
    with override_settings(CHANNEL_LAYERS=layers):
        assert run()[2] == 5
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "no.such.Layer"}}):
        assert run()[2] == 5


def test_where_a_process_cannot_be_bound_to_cores_all_of_them_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    layers = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}

    with override_settings(CHANNEL_LAYERS=layers):
        assert run()[2] == 7


@pytest.mark.parametrize(
    ("now", "asked"), [(256, [(10_240, resource.RLIM_INFINITY)]), (10_240, [])]
)
def test_a_system_without_a_limit_on_open_files_is_asked_for_what_it_takes(
    now: int, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (now, resource.RLIM_INFINITY))
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", lambda kind, limits: taken.append(limits))
        run()

    assert taken == asked


def test_the_status_of_the_supervisor_is_that_of_the_command() -> None:
    Recorded.status = 1
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--drain-window", "60"), "must not be shorter than --drain-window"),
        (("--workers", "0"), "0 is too few; expected at least 1"),
        (("--hang-timeout", "-1"), "-1 is no time; expected seconds from 0 on"),
        (("--host", "203.0.113.1"), "cannot listen: "),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run(*arguments)


def test_a_project_without_asgi_application_is_told() -> None:
    with (
        override_settings(ASGI_APPLICATION=None),
        pytest.raises(CommandError, match="serve needs the setting ASGI_APPLICATION"),
    ):
        run()


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None

    monkeypatch.setattr(serve.util, "find_spec", find)
    with pytest.raises(CommandError, match=r'serve needs uvicorn: pip install "seaway\[server\]"'):
        run()


def test_other_systems_are_told_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(serve.os, "name", "nt")
        windows.setitem(sys.modules, "resource", None)
        windows.delitem(sys.modules, "channels.management.commands.serve")

        with pytest.raises(CommandError, match="serve needs Unix"):
            run()

"""The command ``runworker``: what it starts, and what it says when it cannot."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels.consumer import AsyncConsumer
from channels.layers import BaseChannelLayer, get_channel_layer
from channels.management.commands.runworker import Command
from channels.worker import Worker

application = AsyncConsumer.as_asgi()
HERE = f"{__name__}.application"
MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}


class DistantLayer(BaseChannelLayer):
    """Stands for a layer that other processes reach."""


class BareLayer:
    """A layer that checks no names."""


class RecordingWorker(Worker):
    """A worker that notes that it was started, and returns."""

    started: list[Worker] = []  # noqa: RUF012 - shared on purpose

    def run(self) -> None:
        self.started.append(self)


class RecordingCommand(Command):
    worker_class = RecordingWorker


@pytest.fixture(autouse=True)
def started() -> list[Worker]:
    RecordingWorker.started.clear()
    return RecordingWorker.started


def run(*arguments: str, **options: Any) -> str:
    errors = io.StringIO()
    call_command(RecordingCommand(stderr=errors), *arguments, **options)
    return errors.getvalue()


@override_settings(ASGI_APPLICATION=HERE)
def test_worker_gets_the_application_the_channels_and_the_layer(
    started: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "django.channels.worker")

    run("one", "two")

    [worker] = started
    assert worker.application is application
    assert worker.channels == ["one", "two"]
    assert worker.channel_layer is get_channel_layer()
    assert caplog.messages == ["Running worker for channels ['one', 'two']"]


@override_settings(
    ASGI_APPLICATION=HERE,
    CHANNEL_LAYERS={"default": MEMORY, "jobs": {"BACKEND": f"{__name__}.DistantLayer"}},
)
def test_layer_is_chosen_by_its_alias(started: list[Worker]) -> None:
    errors = run("one", "--layer", "jobs")

    assert isinstance(started[0].channel_layer, DistantLayer)
    assert errors == ""


@override_settings(ASGI_APPLICATION=HERE)
def test_memory_layer_is_said_to_be_out_of_reach() -> None:
    errors = run("one")

    assert errors == "No other process can reach this worker: its layer is in memory.\n"


def test_at_least_one_channel_is_needed() -> None:
    with pytest.raises(CommandError, match="the following arguments are required: channels"):
        run()


@override_settings(ASGI_APPLICATION=HERE, CHANNEL_LAYERS={"default": MEMORY, "bulk": MEMORY})
def test_unknown_alias_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError) as caught:
        run("one", layer="blk")

    assert str(caught.value) == "CHANNEL_LAYERS has no layer 'blk'; configured: bulk, default."


@override_settings(ASGI_APPLICATION=HERE, CHANNEL_LAYERS={})
def test_missing_configuration_is_refused() -> None:
    with pytest.raises(CommandError) as caught:
        run("one")

    assert str(caught.value) == "CHANNEL_LAYERS has no layer 'default'; configured: none."


@override_settings(ASGI_APPLICATION=HERE, CHANNEL_LAYERS={"default": {}})
def test_layer_without_a_backend_is_refused() -> None:
    with pytest.raises(CommandError, match="Channel layer 'default' has no BACKEND"):
        run("one")


@override_settings(ASGI_APPLICATION=HERE)
def test_bad_channel_name_is_refused() -> None:
    with pytest.raises(CommandError, match="Got 'no spaces'"):
        run("no spaces")


@override_settings(
    ASGI_APPLICATION=HERE,
    CHANNEL_LAYERS={"default": {"BACKEND": f"{__name__}.BareLayer"}},
)
def test_layer_without_name_checks_is_used_as_it_is(started: list[Worker]) -> None:
    run("no spaces")

    assert started[0].channels == ["no spaces"]


@override_settings(ASGI_APPLICATION=None)
def test_missing_application_is_refused() -> None:
    with pytest.raises(CommandError, match="ASGI_APPLICATION is None; expected the dotted path"):
        run("one")


@override_settings(ASGI_APPLICATION=HERE)
def test_backend_that_cannot_be_built_raises_its_own_error() -> None:
    layers = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"x": 1}}}

    with override_settings(CHANNEL_LAYERS=layers), pytest.raises(TypeError, match="no option x"):
        run("one")


def test_command_starts_our_worker_unless_told_otherwise() -> None:
    assert Command.worker_class is Worker
    assert Command.leave_locale_alone is True

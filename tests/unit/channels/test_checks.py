"""The system checks: for each id what brings it up, what it says, and what does not."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.db import connections
from django.test import override_settings

from channels import checks, conf
from channels.topics import Topic, topic
from tests.unit.channels.topics.conftest import room  # noqa: F401 - a fixture

BASE = "channels.layers.BaseChannelLayer"
MEMORY = "channels.layers.InMemoryChannelLayer"
ASGI = override_settings(ASGI_APPLICATION="mysite.asgi.application")


@pytest.fixture(autouse=True)
def no_topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(topic, "_classes", {})
    topic._find.cache_clear()
    yield
    topic._find.cache_clear()


def found(*, deploy: bool = False) -> list[CheckMessage]:
    """Return our messages, as ``manage.py check`` gets them."""
    return django_checks.run_checks(tags=[checks.TAG], include_deployment_checks=deploy)


def ids(*, deploy: bool = False) -> list[str | None]:
    return [message.id for message in found(deploy=deploy)]


@ASGI
def test_sound_project_gets_no_message() -> None:
    assert found(deploy=True) == []


@ASGI
def test_app_is_named_as_django_names_apps() -> None:
    from django.apps import apps

    config = apps.get_app_config("channels")

    assert config.name == "channels"
    assert config.verbose_name == "Channels"


@ASGI
@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], "CHANNEL_LAYERS is not a dict."),
        ({"default": MEMORY}, "Channel layer 'default' is not a dict."),
        ({"default": {}}, "Channel layer 'default' has no BACKEND."),
        ({"default": {"BACKEND": "memory"}}, "BACKEND of channel layer 'default' is 'memory'."),
        (
            {"default": {"BACKEND": MEMORY, "ROUTING": "mysite.routing"}},
            "Channel layer 'default' has a ROUTING key, which Channels 1 used.",
        ),
        (
            {"default": {"BACKEND": MEMORY, "CONFIG": 100}},
            "CONFIG of channel layer 'default' is not a dict.",
        ),
    ],
)
def test_unusable_channel_layer_is_e001(layers: object, text: str) -> None:
    with override_settings(CHANNEL_LAYERS=layers):
        [message] = found()

    assert message.id == "channels.E001"
    assert message.is_serious()
    assert message.msg == text
    assert message.hint


@ASGI
@pytest.mark.parametrize(
    ("value", "text", "hint"),
    [
        (
            {"CHECK_ORIGINS": True},
            "CHANNELS has no key 'CHECK_ORIGINS'.",
            f"Known keys: {', '.join(conf.RULES)}.",
        ),
        ({"CHECK_ORIGIN": "no"}, "CHANNELS['CHECK_ORIGIN'] is 'no'.", "Expected True or False."),
        (
            {"DISCONNECT_GRACE": 0},
            "CHANNELS['DISCONNECT_GRACE'] is 0.",
            "Expected a number of seconds above 0.",
        ),
        (
            {"SYNC_THREADS": 2.5},
            "CHANNELS['SYNC_THREADS'] is 2.5.",
            "Expected a whole number of threads above 0.",
        ),
        (
            True,
            "CHANNELS is not a dict.",
            f"Known keys: {', '.join(conf.RULES)}.",
        ),
    ],
)
def test_unusable_setting_is_e002(value: object, text: str, hint: str) -> None:
    with override_settings(CHANNELS=value):
        [message] = found()

    assert message.id == "channels.E002"
    assert message.is_serious()
    assert message.msg == text
    assert message.hint == hint


@ASGI
@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels_reddis.core.Layer"}})
def test_backend_that_cannot_be_imported_is_e003() -> None:
    [message] = found()

    assert message.id == "channels.E003"
    assert message.is_serious()
    assert message.msg == (
        "BACKEND 'channels_reddis.core.Layer' of channel layer 'default' cannot be imported: "
        "No module named 'channels_reddis'"
    )
    assert message.hint == "Check the path, and that its distribution is installed."


@ASGI
@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}})
def test_backend_without_what_it_needs_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "channels_redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)

    [message] = found()

    assert message.id == "channels.E003"
    assert message.hint == 'Install what it needs: pip install "seaway[redis]".'


@ASGI
@override_settings(
    CHANNEL_LAYERS={"default": {"BACKEND": f"{__name__}.NeverBuilt", "CONFIG": {"hosts": []}}}
)
def test_checking_a_backend_does_not_build_it() -> None:
    assert found() == []


class NeverBuilt:
    """A layer that says when it is built."""

    def __init__(self, **options: Any) -> None:
        raise AssertionError("a check must not connect to anything")


@pytest.mark.parametrize("path", ["application", 5, ""])
def test_malformed_asgi_application_is_e004(path: object) -> None:
    with override_settings(ASGI_APPLICATION=path):
        [message] = found()

    assert message.id == "channels.E004"
    assert message.is_serious()
    assert message.msg == f"ASGI_APPLICATION is {path!r}, which is no dotted path."
    assert "ASGI_APPLICATION = 'mysite.asgi.application'" in str(message.hint)


@ASGI
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "There are topics, but the channel layer 'default' is not configured."),
        (
            {"default": {"BACKEND": BASE}},
            f"There are topics, but the channel layer 'default' ({BASE}) cannot keep them.",
        ),
    ],
)
def test_topics_without_a_layer_that_keeps_them_are_e005(
    room: Any,  # noqa: F811
    layers: dict[str, Any],
    message: str,
) -> None:
    with override_settings(CHANNEL_LAYERS=layers):
        [found_] = found()

    assert (found_.id, found_.msg) == ("channels.E005", message)
    assert "channels.layers.InMemoryChannelLayer" in str(found_.hint)


@ASGI
def test_topics_with_a_layer_that_keeps_them_are_no_problem(room: Any) -> None:  # noqa: F811
    assert found() == []


@ASGI
@pytest.mark.parametrize(
    ("one", "other"),
    [("room.<int:pk>", "room.<int:room>"), ("log.<line>.x", "log.<str:text>.x")],
)
def test_topic_classes_that_match_the_same_names_are_w006(one: str, other: str) -> None:
    first = type("First", (Topic,), {}, pattern=one)
    second = type("Second", (Topic,), {}, pattern=other)

    [message] = found()

    assert (message.id, message.is_serious()) == ("channels.W006", False)
    assert message.msg == (
        f"{second.__module__}.Second ({other!r}) serves no topic: "
        f"{first.__module__}.First ({one!r}) matches the same names."
    )
    assert message.hint == (
        "Give each topic class a pattern of its own, such as one that begins with its app's name."
    )


@ASGI
@pytest.mark.parametrize("other", ["room.<slug:pk>", "room.7", "rooms.<int:pk>", "room.<int:pk>.x"])
def test_topic_classes_that_match_other_names_too_are_no_problem(other: str) -> None:
    for number, pattern in enumerate(("room.<int:pk>", other)):
        type(f"Class{number}", (Topic,), {}, pattern=pattern)

    assert found() == []


def test_missing_asgi_application_is_w001() -> None:
    [message] = found()

    assert message.id == "channels.W001"
    assert not message.is_serious()
    assert message.msg == "ASGI_APPLICATION is not set, so runserver serves no WebSockets."


@ASGI
@override_settings(INSTALLED_APPS=["django.contrib.staticfiles", "channels"])
def test_runserver_shadowed_by_staticfiles_is_w002() -> None:
    [message] = found()

    assert message.id == "channels.W002"
    assert not message.is_serious()
    assert message.msg == (
        "runserver is that of 'django.contrib.staticfiles', which serves no WebSockets."
    )
    assert message.hint == ("Put 'channels' before 'django.contrib.staticfiles' in INSTALLED_APPS.")


@ASGI
@override_settings(INSTALLED_APPS=["channels", "django.contrib.staticfiles"])
def test_channels_before_staticfiles_is_right() -> None:
    assert found() == []


@override_settings(INSTALLED_APPS=["django.contrib.staticfiles", "channels"])
def test_order_of_apps_does_not_matter_without_an_asgi_application() -> None:
    assert ids() == ["channels.W001"]


@pytest.fixture
def other_app(module_directory: Path) -> Path:
    """An installed app ``other_app`` with a ``runserver`` of its own, to be filled in."""
    commands = module_directory / "other_app" / "management" / "commands"
    commands.mkdir(parents=True)
    for folder in (commands, commands.parent, commands.parent.parent):
        (folder / "__init__.py").touch()
    return commands / "runserver.py"


@ASGI
def test_runserver_of_another_app_is_w002(other_app: Path) -> None:
    other_app.write_text("from django.core.management.commands.runserver import Command\n")

    with override_settings(INSTALLED_APPS=["other_app", "channels"]):
        [message] = found()

    assert message.id == "channels.W002"
    assert message.hint == "Put 'channels' before 'other_app' in INSTALLED_APPS."


@ASGI
def test_runserver_that_is_built_on_ours_is_right(other_app: Path) -> None:
    other_app.write_text("from channels.management.commands.runserver import Command\n")

    with override_settings(INSTALLED_APPS=["other_app", "channels"]):
        messages = found()

    assert messages == []


@ASGI
def test_runserver_of_daphne_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_apps_with_runserver", lambda: iter(["daphne", "channels"]))

    assert found() == []


class FakeDistribution(metadata.Distribution):
    """A distribution that is installed, as far as its metadata go."""

    def __init__(self, name: str, *requirements: str) -> None:
        lines = [f"Name: {name}", "Version: 1", *(f"Requires-Dist: {r}" for r in requirements)]
        self._text = "\n".join(lines)

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[FakeDistribution]:
    """Distributions found in place of those of this environment."""
    present: list[FakeDistribution] = []

    def distributions(name: str | None = None) -> list[FakeDistribution]:
        return [one for one in present if name in (None, one.name)]

    monkeypatch.setattr(metadata, "distributions", distributions)
    return present


@ASGI
def test_upstream_distribution_is_w003(installed: list[FakeDistribution]) -> None:
    installed.append(FakeDistribution("channels"))

    [message] = found()

    assert message.id == "channels.W003"
    assert not message.is_serious()
    assert message.msg == (
        "The distribution 'channels' is installed beside this one. Both write to the package "
        "'channels', so one has overwritten files of the other."
    )
    assert message.hint == (
        "With pip: pip uninstall channels, then pip install --force-reinstall --no-deps seaway "
        "(./seaway, a checkout, until there is a release); "
        "install what requires channels with --no-deps. With uv: put override-dependencies = "
        "[\"channels; sys_platform == 'never'\"] under [tool.uv], then uv sync "
        "--reinstall-package seaway."
    )


@ASGI
def test_w003_names_what_requires_the_upstream_distribution(
    installed: list[FakeDistribution],
) -> None:
    installed += [
        FakeDistribution("channels-redis", "redis>=4.6", "channels (>=4.2.2)"),
        FakeDistribution("chat-widgets", "Channels_Redis~=4.0"),
        FakeDistribution("chat-rooms", "channels-redis; python_version > '3'"),
        FakeDistribution("channels-redis-metrics", "channels-redis-tools"),
    ]

    [message] = found()

    assert message.id == "channels.W003"
    assert message.msg.startswith(
        "The distribution 'channels-redis' is installed beside this one, required by chat-rooms, "
        "chat-widgets. Both write to the package 'channels_redis'"
    )


@ASGI
@override_settings(ALLOWED_HOSTS=["*"])
def test_every_allowed_host_is_w004_when_deployed() -> None:
    [message] = found(deploy=True)

    assert message.id == "channels.W004"
    assert not message.is_serious()
    assert "pages of every site may open WebSockets here" in message.msg
    assert ids() == []


@ASGI
@override_settings(ALLOWED_HOSTS=["*"], CHANNELS={"CHECK_ORIGIN": False})
def test_hosts_do_not_matter_when_origins_are_not_checked() -> None:
    assert ids(deploy=True) == []


@ASGI
@pytest.mark.parametrize("age", [600, None])
def test_persistent_database_connections_are_w005_when_deployed(
    age: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", age)

    [message] = found(deploy=True)

    assert message.id == "channels.W005"
    assert not message.is_serious()
    assert message.msg == (
        f"Database 'default' has CONN_MAX_AGE {age!r}: under ASGI each thread keeps a connection "
        "open."
    )
    assert ids() == []


def test_every_id_has_a_row_in_the_reference() -> None:
    reference = Path(__file__).parents[3] / "docs" / "reference" / "checks.md"

    used = set(re.findall(r'"([EW]\d{3})"', Path(checks.__file__).read_text()))
    listed = re.findall(r"^\| `channels\.([EW]\d{3})` \|", reference.read_text(), re.MULTILINE)

    assert listed == sorted(used)

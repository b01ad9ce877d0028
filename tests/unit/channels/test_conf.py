"""Settings: what is accepted, and what a developer reads about what is not."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from pytest_django.fixtures import Settings

from channels import conf
from channels.conf import ChannelsSettings, LayerConfig, Problem, ServerSettings
from channels.exceptions import InvalidChannelLayerError

MEMORY = "channels.layers.InMemoryChannelLayer"
BACKEND_HINT = "Give the dotted path of a class, such as 'channels.layers.InMemoryChannelLayer'."


@pytest.mark.parametrize(
    ("entry", "config"),
    [
        ({"BACKEND": MEMORY}, LayerConfig(MEMORY, {}, None)),
        (
            {"BACKEND": MEMORY, "CONFIG": {"capacity": 5}},
            LayerConfig(MEMORY, {"capacity": 5}, None),
        ),
        ({"BACKEND": MEMORY, "TEST_CONFIG": {}}, LayerConfig(MEMORY, {}, {})),
        ({"BACKEND": "no.such.Layer", "EXTRA": 1}, LayerConfig("no.such.Layer", {}, None)),
    ],
)
def test_a_good_entry_has_a_backend_and_options(entry: dict[str, Any], config: LayerConfig) -> None:
    assert conf.parse_layers({"default": entry}) == ({"default": config}, [])


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        (None, "Channel layer 'default' is not a dict.", "Give it a BACKEND."),
        (MEMORY, "Channel layer 'default' is not a dict.", "Give it a BACKEND."),
        ({}, "Channel layer 'default' has no BACKEND.", BACKEND_HINT),
        ({"CONFIG": {}}, "Channel layer 'default' has no BACKEND.", BACKEND_HINT),
        ({"BACKEND": ""}, "Channel layer 'default' has no BACKEND.", BACKEND_HINT),
        ({"BACKEND": "redis"}, "BACKEND of channel layer 'default' is 'redis'.", BACKEND_HINT),
        (
            {"BACKEND": dict},
            "BACKEND of channel layer 'default' is <class 'dict'>.",
            BACKEND_HINT,
        ),
        (
            {"BACKEND": MEMORY, "ROUTING": "app.routing.channel_routing"},
            "Channel layer 'default' has a ROUTING key, which Channels 1 used.",
            "Remove it; routing starts at ASGI_APPLICATION.",
        ),
        (
            {"BACKEND": MEMORY, "CONFIG": ["capacity"]},
            "CONFIG of channel layer 'default' is not a dict.",
            "Map options to values.",
        ),
        (
            {"BACKEND": MEMORY, "TEST_CONFIG": None},
            "TEST_CONFIG of channel layer 'default' is not a dict.",
            "Map options to values.",
        ),
    ],
)
def test_a_bad_entry_is_a_problem_with_a_hint(entry: object, message: str, hint: str) -> None:
    assert conf.parse_layers({"default": entry}) == ({}, [Problem("default", message, hint)])


def test_a_bad_entry_does_not_spoil_a_good_one() -> None:
    good, bad = conf.parse_layers({"good": {"BACKEND": MEMORY}, "bad": {}})

    assert list(good) == ["good"]
    assert [problem.name for problem in bad] == ["bad"]


@pytest.mark.parametrize("raw", [None, [], "channels.layers.InMemoryChannelLayer"])
def test_channel_layers_that_are_no_dict_are_one_problem(raw: object) -> None:
    assert conf.parse_layers(raw) == (
        {},
        [Problem("*", "CHANNEL_LAYERS is not a dict.", "Map aliases to dicts.")],
    )


@override_settings(CHANNEL_LAYERS={"good": {"BACKEND": MEMORY}, "bad": {"BACKEND": "redis"}})
def test_an_alias_gives_its_entry_or_says_why_not() -> None:
    assert conf.layer_config("good") == LayerConfig(MEMORY, {}, None)
    with pytest.raises(InvalidChannelLayerError) as caught:
        conf.layer_config("bad")
    assert str(caught.value) == f"BACKEND of channel layer 'bad' is 'redis'. {BACKEND_HINT}"
    with pytest.raises(KeyError, match="unknown"):
        conf.layer_config("unknown")


@override_settings(CHANNEL_LAYERS=None)
def test_no_alias_can_be_used_where_channel_layers_are_no_dict() -> None:
    with pytest.raises(
        InvalidChannelLayerError, match=r"^CHANNEL_LAYERS is not a dict\. Map aliases to dicts\.$"
    ):
        conf.layer_config("default")


def test_channel_layers_are_read_as_they_are_now(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"a": {}}
    assert conf.raw_layers() == {"a": {}}

    del settings.CHANNEL_LAYERS

    assert conf.raw_layers() == {}


def test_the_asgi_application_is_a_path_or_nothing(settings: Settings) -> None:
    settings.ASGI_APPLICATION = "site.asgi.application"
    assert conf.asgi_application() == "site.asgi.application"

    del settings.ASGI_APPLICATION

    assert conf.asgi_application() is None


@pytest.mark.parametrize(
    ("debug", "hosts", "allowed"),
    [
        (False, [], []),
        (False, ["example.com"], ["example.com"]),
        (True, ["example.com"], ["example.com"]),
        (True, [], ["localhost", "127.0.0.1", "[::1]", ".localhost"]),
    ],
)
def test_allowed_hosts_have_djangos_default_while_debugging(
    debug: bool, hosts: list[str], allowed: list[str]
) -> None:
    with override_settings(DEBUG=debug, ALLOWED_HOSTS=hosts):
        assert conf.allowed_hosts() == allowed


@override_settings(
    CSRF_TRUSTED_ORIGINS=("https://example.com",), AUTHENTICATION_BACKENDS=("a.B", "c.D")
)
def test_lists_of_djangos_settings_are_lists() -> None:
    assert conf.trusted_origins() == ["https://example.com"]
    assert conf.authentication_backends() == ["a.B", "c.D"]


def test_the_server_has_upstreams_limits_and_serves_at_the_root() -> None:
    assert conf.server_settings() == ServerSettings(
        debug=False,
        settings_module="tests.settings",
        root_path="",
        max_message_bytes=1048576,
        max_frame_bytes=1048576,
    )


@override_settings(
    DEBUG=True,
    FORCE_SCRIPT_NAME="/app/",
    DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE=5,
    DAPHNE_WEBSOCKET_MAX_FRAME_SIZE=0,
)
def test_the_servers_settings_are_read_as_they_are_now() -> None:
    found = conf.server_settings()

    assert (found.debug, found.root_path) == (True, "/app")
    assert (found.max_message_bytes, found.max_frame_bytes) == (5, 0)


def test_without_channels_every_default_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASGI_THREADS", raising=False)

    assert conf.parse_channels({}) == (ChannelsSettings(), [])
    assert ChannelsSettings()[:3] == (True, 10.0, 8)


def test_each_key_sets_its_own_value() -> None:
    raw = {"CHECK_ORIGIN": False, "DISCONNECT_GRACE": 2, "SYNC_THREADS": 3}

    assert conf.parse_channels(raw) == (ChannelsSettings(False, 2, 3), [])


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("CHECK_ORIGIN", "no", "Expected True or False."),
        ("CHECK_ORIGIN", 0, "Expected True or False."),
        ("DISCONNECT_GRACE", 0, "Expected a number of seconds above 0."),
        ("DISCONNECT_GRACE", -1.5, "Expected a number of seconds above 0."),
        ("DISCONNECT_GRACE", float("nan"), "Expected a number of seconds above 0."),
        ("DISCONNECT_GRACE", float("inf"), "Expected a number of seconds above 0."),
        ("DISCONNECT_GRACE", "10", "Expected a number of seconds above 0."),
        ("DISCONNECT_GRACE", True, "Expected a number of seconds above 0."),
        ("SYNC_THREADS", 0, "Expected a whole number of threads above 0."),
        ("SYNC_THREADS", 1.5, "Expected a whole number of threads above 0."),
        ("SYNC_THREADS", True, "Expected a whole number of threads above 0."),
    ],
)
def test_a_value_that_cannot_be_used_keeps_its_default_and_is_a_problem(
    key: str, value: object, hint: str
) -> None:
    values, problems = conf.parse_channels({key: value})

    assert values == ChannelsSettings()
    assert problems == [Problem(key, f"CHANNELS[{key!r}] is {value!r}.", hint)]


def test_an_unknown_key_is_a_problem_that_lists_the_known_ones() -> None:
    _, [problem] = conf.parse_channels({"GRACE": 5})

    assert problem.message == "CHANNELS has no key 'GRACE'."
    assert problem.hint == f"Known keys: {', '.join(conf.RULES)}."


def test_channels_that_are_no_dict_are_one_problem() -> None:
    values, [problem] = conf.parse_channels(["DISCONNECT_GRACE"])

    assert values == ChannelsSettings()
    assert problem.message == "CHANNELS is not a dict."


@pytest.mark.parametrize(
    ("asked", "threads"), [("3", 3), ("", 8), ("0", 8), ("-1", 8), ("many", 8), ("2.5", 8)]
)
def test_asgi_threads_is_the_default_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, asked: str, threads: int
) -> None:
    monkeypatch.setenv("ASGI_THREADS", asked)

    assert conf.parse_channels({})[0].sync_threads == threads
    assert conf.parse_channels({"SYNC_THREADS": 5})[0].sync_threads == 5


def test_settings_are_read_once_and_again_when_a_test_changes_them() -> None:
    before = conf.channels_settings()

    with override_settings(CHANNELS={"DISCONNECT_GRACE": 1}):
        assert conf.channels_settings().disconnect_grace == 1
    with override_settings(USE_TZ=False):
        assert conf.channels_settings() is conf.channels_settings()
    assert conf.channels_settings() == before

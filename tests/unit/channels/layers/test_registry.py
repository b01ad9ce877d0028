"""Aliases and their layers: built once, on first use, and words for what cannot be built."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import override_settings

from channels.exceptions import InvalidChannelLayerError
from channels.layers import (
    ChannelLayerManager,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
)

MEMORY = "channels.layers.InMemoryChannelLayer"
HERE = __name__


@pytest.fixture
def manager() -> ChannelLayerManager:
    return ChannelLayerManager()


@pytest.fixture(autouse=True)
def _fresh_singleton() -> Iterator[None]:
    channel_layers.backends = {}
    yield
    channel_layers.backends = {}


class SlowLayer:
    """Takes its time to be built, so that threads meet."""

    built = 0
    release = threading.Event()

    def __init__(self) -> None:
        type(self).built += 1
        self.release.wait(10)


class ProxyLayer:
    """Stands before another layer, which it asks for while it is built."""

    def __init__(self, alias: str) -> None:
        self.inner = get_channel_layer(alias)


class NeedsKey:
    """Raises what a backend's constructor may raise."""

    def __init__(self, **options: Any) -> None:
        options["hosts"]


class TestBuilding:
    @pytest.fixture(autouse=True)
    def _two_layers(self, manager: ChannelLayerManager) -> Iterator[None]:
        layers = {
            "default": {
                "BACKEND": MEMORY,
                "CONFIG": {"capacity": 5},
                "TEST_CONFIG": {"capacity": 7},
            },
            "bulk": {"BACKEND": MEMORY},
        }
        with override_settings(CHANNEL_LAYERS=layers):
            yield

    def test_a_layer_is_built_on_first_use_and_kept(self, manager: ChannelLayerManager) -> None:
        assert manager.backends == {}

        layer = manager["default"]

        assert isinstance(layer, InMemoryChannelLayer)
        assert layer.capacity == 5
        assert manager["default"] is layer
        assert manager.backends == {"default": layer}

    def test_each_alias_has_a_layer_of_its_own(self, manager: ChannelLayerManager) -> None:
        assert manager["default"] is not manager["bulk"]
        assert manager["bulk"].capacity == 100

    def test_make_backend_keeps_nothing(self, manager: ChannelLayerManager) -> None:
        assert manager.make_backend("default").capacity == 5
        assert manager.make_backend("default") is not manager.make_backend("default")
        assert manager.backends == {}

    def test_make_test_backend_takes_the_test_options_and_keeps_nothing(
        self, manager: ChannelLayerManager
    ) -> None:
        assert manager.make_test_backend("default").capacity == 7
        assert manager.backends == {}

    def test_an_alias_without_test_options_says_so(self, manager: ChannelLayerManager) -> None:
        with pytest.raises(InvalidChannelLayerError) as caught:
            manager.make_test_backend("bulk")

        assert str(caught.value) == (
            "Channel layer 'bulk' has no TEST_CONFIG. Map options to values there."
        )

    def test_in_asks_the_settings_and_not_what_is_built(self, manager: ChannelLayerManager) -> None:
        manager.set("extra", object())

        assert "default" in manager
        assert "extra" not in manager

    def test_set_returns_what_was_built_before(self, manager: ChannelLayerManager) -> None:
        first, second = object(), object()

        assert manager.set("default", first) is None
        assert manager.set("default", second) is first
        assert manager["default"] is second

    def test_configs_are_the_settings(self, manager: ChannelLayerManager) -> None:
        assert set(manager.configs) == {"default", "bulk"}

    def test_a_built_layer_can_be_taken_out_and_is_built_again(
        self, manager: ChannelLayerManager
    ) -> None:
        layer = manager["default"]

        assert manager.backends.pop("default") is layer
        assert manager.backends.get("default") is None
        assert manager["default"] is not layer

    @pytest.mark.parametrize("ask", ["__getitem__", "make_backend", "make_test_backend"])
    def test_an_unknown_alias_is_a_key_error(self, manager: ChannelLayerManager, ask: str) -> None:
        with pytest.raises(KeyError, match="unknown"):
            getattr(manager, ask)("unknown")


class TestSettingsThatChange:
    def test_every_layer_is_forgotten(self, manager: ChannelLayerManager) -> None:
        before = manager["default"]
        backends = manager.backends

        with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}}):
            assert manager.backends == {}
            assert manager.backends is not backends
            assert manager["default"] is not before

        assert manager.backends == {}

    def test_other_settings_change_nothing(self, manager: ChannelLayerManager) -> None:
        before = manager["default"]

        with override_settings(USE_TZ=False):
            assert manager["default"] is before

    def test_a_manager_that_is_gone_is_told_nothing(self) -> None:
        manager = ChannelLayerManager()
        del manager

        with override_settings(CHANNEL_LAYERS={}):
            assert "default" not in channel_layers


class TestMistakes:
    @pytest.mark.parametrize("ask", ["__getitem__", "make_backend", "make_test_backend"])
    @pytest.mark.parametrize(
        ("entry", "text"),
        [
            (
                {"CONFIG": {}},
                (
                    "Channel layer 'default' has no BACKEND. Give the dotted path of a class, such "
                    "as 'channels.layers.InMemoryChannelLayer'."
                ),
            ),
            (
                {"BACKEND": "redis"},
                (
                    "BACKEND of channel layer 'default' is 'redis'. Give the dotted path of a "
                    "class, such as 'channels.layers.InMemoryChannelLayer'."
                ),
            ),
            (
                {"BACKEND": MEMORY, "ROUTING": "site.routing"},
                (
                    "Channel layer 'default' has a ROUTING key, which Channels 1 used. Remove it; "
                    "routing starts at ASGI_APPLICATION."
                ),
            ),
            ("memory", "Channel layer 'default' is not a dict. Give it a BACKEND."),
            (
                {"BACKEND": MEMORY, "CONFIG": [1]},
                "CONFIG of channel layer 'default' is not a dict. Map options to values.",
            ),
            (
                {"BACKEND": "no_such_package.Layer", "TEST_CONFIG": {}},
                (
                    "Cannot import BACKEND 'no_such_package.Layer' of channel layer 'default': "
                    "No module named 'no_such_package'"
                ),
            ),
            (
                {"BACKEND": "channels.layers.NoSuchLayer", "TEST_CONFIG": {}},
                (
                    "Cannot import BACKEND 'channels.layers.NoSuchLayer' of channel layer "
                    "'default': "
                    'Module "channels.layers" does not define a "NoSuchLayer" attribute/class'
                ),
            ),
        ],
        ids=["no BACKEND", "no path", "ROUTING", "no dict", "CONFIG", "no module", "no class"],
    )
    def test_an_entry_that_cannot_be_used_says_why_and_what_to_do(
        self, manager: ChannelLayerManager, entry: Any, text: str, ask: str
    ) -> None:
        with (
            override_settings(CHANNEL_LAYERS={"default": entry}),
            pytest.raises(InvalidChannelLayerError) as caught,
        ):
            getattr(manager, ask)("default")

        assert str(caught.value) == text
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("raw", [None, [], ["default"], "default", 7])
    @pytest.mark.parametrize("ask", [get_channel_layer, channel_layers.__getitem__])
    def test_channel_layers_that_are_no_dict_say_so(
        self, raw: object, ask: Callable[[str], Any]
    ) -> None:
        with (
            override_settings(CHANNEL_LAYERS=raw),
            pytest.raises(InvalidChannelLayerError) as caught,
        ):
            ask("default")

        assert str(caught.value) == "CHANNEL_LAYERS is not a dict. Map aliases to dicts."

    @override_settings(
        CHANNEL_LAYERS={"default": {"BACKEND": MEMORY, "CONFIG": {"hosts": [], "capacity": 1}}}
    )
    def test_an_unknown_option_is_named_beside_the_known_ones(
        self, manager: ChannelLayerManager
    ) -> None:
        with pytest.raises(TypeError) as caught:
            manager["default"]

        assert str(caught.value) == (
            "InMemoryChannelLayer has no option hosts; "
            "expected expiry, group_expiry, capacity or channel_capacity"
        )

    @override_settings(
        CHANNEL_LAYERS={
            "default": {
                "BACKEND": "channels_redis.core.RedisChannelLayer",
                "CONFIG": {"host": "redis://cache", "capacity": 1},
            }
        }
    )
    def test_an_unknown_option_is_named_with_the_setting_it_stands_in(
        self, manager: ChannelLayerManager
    ) -> None:
        said = (
            r"^CHANNEL_LAYERS\['default'\]\['CONFIG'\] has unknown options: host; "
            "expected any of hosts, prefix, expiry, "
        )
        with pytest.raises(TypeError, match=said):
            manager["default"]

    @override_settings(CHANNEL_LAYERS={"default": {"BACKEND": f"{HERE}.NeedsKey"}})
    @pytest.mark.parametrize("ask", [get_channel_layer, channel_layers.__getitem__])
    def test_a_key_error_of_a_backends_constructor_is_not_hidden(
        self, ask: Callable[[str], Any]
    ) -> None:
        with pytest.raises(KeyError, match="hosts"):
            ask("default")

    @override_settings(CHANNEL_LAYERS={"good": {"BACKEND": MEMORY}, "bad": {}})
    def test_a_mistake_in_one_entry_spares_the_others(self, manager: ChannelLayerManager) -> None:
        assert isinstance(manager["good"], InMemoryChannelLayer)


class TestGetChannelLayer:
    def test_it_gives_the_one_layer_of_the_alias(self) -> None:
        layer = get_channel_layer()

        assert isinstance(layer, InMemoryChannelLayer)
        assert get_channel_layer("default") is layer
        assert channel_layers.backends == {"default": layer}

    def test_an_alias_that_is_not_configured_is_none(self) -> None:
        assert get_channel_layer("unknown") is None
        with override_settings(CHANNEL_LAYERS={}):
            assert get_channel_layer() is None

    def test_a_layer_that_was_set_by_hand_needs_no_setting(self) -> None:
        double = object()
        channel_layers.set("by-hand", double)

        assert get_channel_layer("by-hand") is double


class TestThreads:
    @override_settings(CHANNEL_LAYERS={"default": {"BACKEND": f"{HERE}.SlowLayer"}})
    def test_threads_that_come_first_together_get_one_layer(self) -> None:
        SlowLayer.built = 0
        SlowLayer.release.clear()
        found: list[object] = []
        threads = [
            threading.Thread(target=lambda: found.append(get_channel_layer())) for _ in range(8)
        ]

        for thread in threads:
            thread.start()
        SlowLayer.release.set()
        for thread in threads:
            thread.join()

        assert len(found) == 8
        assert len(set(map(id, found))) == 1
        assert SlowLayer.built == 1

    @override_settings(
        CHANNEL_LAYERS={
            "default": {"BACKEND": f"{HERE}.ProxyLayer", "CONFIG": {"alias": "inner"}},
            "inner": {"BACKEND": MEMORY},
        }
    )
    def test_a_layer_may_ask_for_another_while_it_is_built(
        self, seconds: Callable[[float], float]
    ) -> None:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(get_channel_layer()), daemon=True)

        thread.start()
        thread.join(seconds(5))

        assert isinstance(found[0].inner, InMemoryChannelLayer)

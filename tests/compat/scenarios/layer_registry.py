"""Contract 08: the manager of channel layers and ``get_channel_layer``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import override_settings

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import (
    BaseChannelLayer,
    ChannelLayerManager,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
)
from support import outcome

MEMORY = "channels.layers.InMemoryChannelLayer"


class _Base(BaseChannelLayer):
    pass


class PickyLayer(_Base):
    """A layer whose constructor fails with what its options ask for."""

    def __init__(self, error: str = "", **kwargs: Any) -> None:
        if error:
            raise {"key": KeyError, "type": TypeError, "value": ValueError}[error](error)
        super().__init__(**kwargs)


PICKY = "scenarios.layer_registry.PickyLayer"


def layers_are_built_once() -> object:
    """Contract 08, manager: built on first use from ``CONFIG`` and cached."""
    table = {
        "default": {"BACKEND": MEMORY},
        "bulk": {"BACKEND": MEMORY, "CONFIG": {"capacity": 500}},
    }
    with override_settings(CHANNEL_LAYERS=table):
        before = dict(channel_layers.backends)
        bulk = channel_layers["bulk"]
        return [
            before,
            channel_layers["bulk"] is bulk,
            bulk.capacity,
            sorted(channel_layers.backends),
            get_channel_layer("bulk") is bulk,
            get_channel_layer() is channel_layers["default"],
            get_channel_layer(DEFAULT_CHANNEL_LAYER) is get_channel_layer(),
            isinstance(channel_layers, ChannelLayerManager),
        ]


def misconfigured_layers() -> object:
    """Contract 08, manager: InvalidChannelLayerError for ROUTING, no BACKEND, unknown BACKEND."""
    entries: dict[str, Any] = {
        "routing": {"BACKEND": MEMORY, "ROUTING": "project.routing.channels"},
        "no backend": {"CONFIG": {}},
        "unknown module": {"BACKEND": "no.such.module.Layer"},
        "unknown attribute": {"BACKEND": "channels.layers.NoSuchLayer"},
        "no dots": {"BACKEND": "Layer"},
        "unknown option": {"BACKEND": MEMORY, "CONFIG": {"unknown": 1}},
        "constructor ValueError": {"BACKEND": PICKY, "CONFIG": {"error": "value"}},
    }
    seen = {}
    for name, entry in entries.items():
        with override_settings(CHANNEL_LAYERS={"default": entry}):
            seen[name] = [
                outcome(lambda: channel_layers["default"]),
                outcome(get_channel_layer),
                channel_layers.backends,
            ]
    return seen


def a_key_error_in_a_constructor() -> object:
    """Contract 08, manager: a constructor's KeyError stays a KeyError."""
    table = {"default": {"BACKEND": PICKY, "CONFIG": {"error": "key"}}}
    with override_settings(CHANNEL_LAYERS=table):
        return outcome(lambda: channel_layers["default"])


def get_channel_layer_and_a_key_error() -> object:
    """Contract 08, quirks: ``get_channel_layer`` and a constructor's KeyError."""
    table = {"default": {"BACKEND": PICKY, "CONFIG": {"error": "key"}}}
    with override_settings(CHANNEL_LAYERS=table):
        return outcome(get_channel_layer)


def unknown_aliases() -> object:
    """Contract 08, manager: KeyError from the manager, None from ``get_channel_layer``."""
    seen = [outcome(lambda: channel_layers["absent"]), get_channel_layer("absent")]
    with override_settings(CHANNEL_LAYERS={}):
        seen.append(get_channel_layer())
    with override_settings():
        del settings.CHANNEL_LAYERS
        seen.extend([get_channel_layer(), channel_layers.configs])
    return seen


def backends_for_tests() -> object:
    """Contract 08, make_test_backend: ``TEST_CONFIG``, missing is an error, not cached."""
    table = {
        "default": {"BACKEND": MEMORY, "CONFIG": {"capacity": 1}, "TEST_CONFIG": {"capacity": 2}},
        "other": {"BACKEND": MEMORY},
    }
    with override_settings(CHANNEL_LAYERS=table):
        layer = channel_layers.make_test_backend("default")
        return [
            layer.capacity,
            channel_layers.make_test_backend("default") is layer,
            channel_layers.backends,
            outcome(channel_layers.make_test_backend, "other"),
            channel_layers.make_backend("default").capacity,
            channel_layers.backends,
        ]


def containment_looks_at_settings() -> object:
    """Contract 08, manager: ``alias in channel_layers`` looks at settings, not at the cache."""
    channel_layers.set("by.hand", InMemoryChannelLayer())
    return ["default" in channel_layers, "by.hand" in channel_layers, "absent" in channel_layers]


def set_returns_the_previous_layer() -> object:
    """Contract 08, set: stores and returns the previous cached object or None."""
    first, second = InMemoryChannelLayer(), InMemoryChannelLayer()
    return [
        channel_layers.set("default", first) is None,
        channel_layers.set("default", second) is first,
        get_channel_layer() is second,
    ]


def settings_changes_empty_the_cache() -> object:
    """Contract 08, manager: after the setting changed ``backends`` is a new empty dict."""
    get_channel_layer()
    before = channel_layers.backends
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}}):
        inside = [channel_layers.backends == {}, channel_layers.backends is not before, len(before)]
        get_channel_layer()
    with override_settings(DEBUG=True):
        pass
    return [inside, channel_layers.backends]


def the_cache_may_be_poked() -> object:
    """Contract 08, names: tests use ``backends.get``, ``.pop`` and replace entries or the dict."""
    layer = get_channel_layer()
    seen = [channel_layers.backends.get("default") is layer]
    seen.append(channel_layers.backends.pop("default") is layer)
    seen.append(get_channel_layer() is not layer)
    channel_layers.backends = {}
    seen.append(get_channel_layer() is not layer)
    channel_layers.backends["default"] = marker = object()
    seen.append(get_channel_layer() is marker)
    return seen


def configs_are_read_lazily() -> object:
    """Contract 08, manager: ``configs`` reads the setting each time; own managers work."""
    manager = ChannelLayerManager()
    table = {"default": {"BACKEND": MEMORY, "CONFIG": {"capacity": 3}}}
    with override_settings(CHANNEL_LAYERS=table):
        return [manager.configs == table, manager["default"].capacity, manager.backends != {}]

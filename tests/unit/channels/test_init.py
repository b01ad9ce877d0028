"""What the package says of itself."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import pytest

import channels


def test_it_has_the_version_of_the_interface_and_its_own() -> None:
    assert channels.__version__ == "4.3.2"
    assert channels.seaway_version == version("seaway")


def test_the_default_alias_is_default() -> None:
    assert channels.DEFAULT_CHANNEL_LAYER == "default"


def test_it_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="module 'channels' has no attribute 'anything'"):
        channels.anything  # noqa: B018


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [
        ("channels.consumer", "async_to_sync", "asgiref.sync"),
        ("channels.consumer", "await_many_dispatch", "channels.utils"),
        ("channels.layers", "ChannelFull", "channels.exceptions"),
        ("channels.layers", "DEFAULT_CHANNEL_LAYER", "channels"),
        ("channels.layers", "InvalidChannelLayerError", "channels.exceptions"),
        ("channels_redis.core", "BaseChannelLayer", "channels.layers"),
        ("channels_redis.core", "_consistent_hash", "channels_redis.utils"),
        ("channels_redis.core", "create_pool", "channels_redis.utils"),
        ("channels_redis.core", "decode_hosts", "channels_redis.utils"),
        ("channels_redis.pubsub", "_consistent_hash", "channels_redis.utils"),
        ("channels_redis.pubsub", "create_pool", "channels_redis.utils"),
        ("channels_redis.pubsub", "decode_hosts", "channels_redis.utils"),
    ],
)
def test_a_name_can_be_imported_from_where_projects_import_it(
    module: str, name: str, home: str
) -> None:
    assert getattr(import_module(module), name) is getattr(import_module(home), name)


def test_daphnes_process_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    daphne = ModuleType("daphne.testing")
    process = daphne.DaphneProcess = type("DaphneProcess", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "daphne", ModuleType("daphne"))
    monkeypatch.setitem(sys.modules, "daphne.testing", daphne)

    from channels.testing.live import DaphneProcess

    assert DaphneProcess is process


def test_the_live_module_has_no_other_attributes_on_demand() -> None:
    live = import_module("channels.testing.live")

    with pytest.raises(AttributeError, match=r"'channels\.testing\.live' has no attribute 'any'"):
        live.any  # noqa: B018


def test_no_op_does_nothing() -> None:
    application = import_module("channels.testing.application")

    assert application.no_op() is None

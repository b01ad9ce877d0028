"""What the package says of itself."""

from __future__ import annotations

from importlib.metadata import version

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
